/** Output of an exec: frames of an 8-byte header (stream, three zeros, length as u32 big-endian) and payload. */
import { RelightError } from '@relight/shared/errors';

/** Takes frames apart that chunks may cut anywhere. Payload is passed on as it comes, without copying or waiting for the rest. */
export class FrameDemuxer {
  readonly #sink: (stream: 'stdout' | 'stderr', payload: Buffer) => void;
  readonly #header = Buffer.alloc(8);
  #headerBytes = 0;
  readonly #frameEnd: (stream: 'stdout' | 'stderr') => void;
  #payloadLeft = 0;

  /** `frameEnd`: what the sink was given last was the end of a frame. */
  constructor(sink: (stream: 'stdout' | 'stderr', payload: Buffer) => void, frameEnd: (stream: 'stdout' | 'stderr') => void = () => {}) {
    this.#sink = sink;
    this.#frameEnd = frameEnd;
  }

  /** Fails with engine-error when the bytes are no frames. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft === 0) {
        const taken = chunk.copy(this.#header, this.#headerBytes, at, at + 8 - this.#headerBytes);
        at += taken;
        this.#headerBytes += taken;
        if (this.#headerBytes < 8) return;
        this.#headerBytes = 0;
        this.#payloadLeft = this.#payloadLength();
      } else {
        const payload = chunk.subarray(at, at + this.#payloadLeft);
        at += payload.length;
        this.#payloadLeft -= payload.length;
        const stream = this.#header[0] === 2 ? 'stderr' : 'stdout';
        this.#sink(stream, payload);
        if (this.#payloadLeft === 0) this.#frameEnd(stream);
      }
    }
  }

  #payloadLength(): number {
    if ((this.#header[0] ?? 0) > 2 || this.#header.readUIntBE(1, 3) !== 0) {
      throw new RelightError('engine-error', `the engine sent output that is not framed: ${this.#header.toString('hex')}`);
    }
    return this.#header.readUInt32BE(4);
  }
}

/** Keeps the last `maxBytes` of what it is given: the end is where errors are. */
export class TailBuffer {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    // Compacting only at twice the size keeps this linear for many small chunks.
    if (this.#bytes > 2 * this.#maxBytes) this.#compact();
  }

  /** As UTF-8; a character cut at the front is left out. */
  text(): string {
    this.#compact();
    const [bytes = Buffer.alloc(0)] = this.#chunks;
    let start = 0;
    while (start < Math.min(3, bytes.length) && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
    return bytes.toString('utf8', start);
  }

  #compact(): void {
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [Buffer.from(all.subarray(Math.max(0, all.length - this.#maxBytes)))];
    this.#bytes = this.#chunks[0]?.length ?? 0;
  }
}
