/** WebSockets as bytes (RFC 6455): what a library sends is right, and here it shall not always be. */
import { createHash, randomBytes } from 'node:crypto';

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
  /** Default true. */
  readonly fin?: boolean;
  /** The reserved bits, 0 … 7. */
  readonly reserved?: number;
  /** What clients do and servers do not. */
  readonly masked: boolean;
  /** What the head says instead of the payload's length. */
  readonly length?: number;
}

export function frameBytes({ opcode, payload, fin = true, reserved = 0, masked, length = payload.length }: Frame): Buffer {
  const first = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  const mask = masked ? 0x80 : 0;
  const head =
    length < 126
      ? Buffer.from([first, mask | length])
      : length < 65_536
        ? Buffer.from([first, mask | 126, length >> 8, length & 255])
        : Buffer.concat([Buffer.from([first, mask | 127]), eightBytes(length)]);
  if (!masked) return Buffer.concat([head, payload]);
  const key = randomBytes(4);
  return Buffer.concat([head, key, payload.map((byte, index) => byte ^ (key[index & 3] ?? 0))]);
}

function eightBytes(length: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(length));
  return bytes;
}

/** The text frames at the front of what a server has sent, and what is not a whole frame yet. */
export function readFrames(bytes: Buffer): {
  readonly frames: readonly { readonly opcode: number; readonly payload: Buffer }[];
  readonly rest: Buffer;
} {
  const frames = [];
  let at = 0;
  for (;;) {
    const [first, second] = [bytes[at], bytes[at + 1]];
    if (first === undefined || second === undefined) break;
    const short = second & 127;
    const headBytes = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (bytes.length < at + headBytes) break;
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short;
    const maskBytes = second & 0x80 ? 4 : 0;
    const start = at + headBytes + maskBytes;
    if (bytes.length < start + length) break;
    const key = bytes.subarray(start - maskBytes, start);
    const payload = bytes.subarray(start, start + length);
    frames.push({
      opcode: first & 15,
      payload: maskBytes === 0 ? payload : (payload.map((byte, index) => byte ^ (key[index & 3] ?? 0)) as Buffer),
    });
    at = start + length;
  }
  return { frames, rest: bytes.subarray(at) };
}

/** What a server answers to `Sec-WebSocket-Key`. */
export const acceptOf = (key: string): string => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
