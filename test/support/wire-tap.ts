/** Somebody who listens between an agent and a plain collector: passes everything on and keeps what both have said, unmasked. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { opcodes, readFrames } from './fuzz/web-socket-bytes.ts';

interface Heard {
  readonly from: 'agent' | 'collector';
  readonly isText: boolean;
  readonly payload: Buffer;
}

export interface WireTap extends AsyncDisposable {
  /** Instead of the collector's. */
  readonly url: string;
  /** Their messages, in order; without the requests that open connections, which carry the agent's token, and without pings. */
  readonly heard: readonly Heard[];
}

export async function startWireTap(collectorUrl: string): Promise<WireTap> {
  const { hostname, port } = new URL(collectorUrl);
  const heard: Heard[] = [];
  const open = new Set<Socket>();
  const server = createServer((agent) => {
    const collector = connect(Number(port), hostname);
    for (const [from, one, other] of [
      ['agent', agent, collector],
      ['collector', collector, agent],
    ] as const) {
      open.add(one);
      one.once('close', () => {
        open.delete(one);
        other.destroy();
      });
      one.on('error', () => one.destroy());
      one.pipe(other);
      listen(one, (isText, payload) => void heard.push({ from, isText, payload }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function listen(socket: Socket, onMessage: (isText: boolean, payload: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  let isOpened = false;
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    if (!isOpened) {
      const end = rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      isOpened = true;
      rest = rest.subarray(end + 4);
    }
    const { frames, rest: behind } = readFrames(rest);
    rest = behind;
    for (const { opcode, payload } of frames)
      if (opcode === opcodes.text || opcode === opcodes.binary) onMessage(opcode === opcodes.text, payload);
  });
}
