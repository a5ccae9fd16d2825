/** Somebody who listens between an agent and a plain collector: passes everything on and keeps what the agent has sent, unmasked. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { readFrames } from './fuzz/web-socket-bytes.ts';

export interface WireTap extends AsyncDisposable {
  /** Instead of the collector's. */
  readonly url: string;
  /** Payloads of the agent's messages, in order; without the requests that open connections, which carry its token. */
  readonly sent: readonly Buffer[];
}

export async function startWireTap(collectorUrl: string): Promise<WireTap> {
  const { hostname, port } = new URL(collectorUrl);
  const sent: Buffer[] = [];
  const open = new Set<Socket>();
  const server = createServer((agent) => {
    const collector = connect(Number(port), hostname);
    for (const [one, other] of [
      [agent, collector],
      [collector, agent],
    ] as const) {
      open.add(one);
      one.once('close', () => {
        open.delete(one);
        other.destroy();
      });
      one.on('error', () => one.destroy());
      one.pipe(other);
    }
    let rest: Buffer = Buffer.alloc(0);
    let isOpened = false;
    agent.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      if (!isOpened) {
        const end = rest.indexOf('\r\n\r\n');
        if (end < 0) return;
        isOpened = true;
        rest = rest.subarray(end + 4);
      }
      const { frames, rest: behind } = readFrames(rest);
      rest = behind;
      sent.push(...frames.map(({ payload }) => payload));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sent,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
