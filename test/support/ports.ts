/**
 * A port for somebody who must keep it, also while nobody listens there: a collector over its restarts, a head that goes and comes
 * back. The kernel gives ports out of its own range to whoever asks for any, and to every connection that is dialled: one of those
 * may have it when it is wanted back, and whoever dials a free one of them again and again ends up connected to itself.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

/** Above the well-known ones, and above those that `fetch` refuses to ask. */
const first = 12_000;

/** Where the kernel's own range begins. */
function end(): number {
  const [given = 32_768] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/).map(Number);
  return given;
}

export async function freePort(address = '127.0.0.1'): Promise<number> {
  const below = end();
  // A machine that gives away all of them.
  if (below - first < 1_000) return (await tryPort(0, address)) ?? 0;
  for (;;) {
    const port = await tryPort(randomInt(first, below), address);
    if (port !== null) return port;
  }
}

/** The port if it can be listened on; null: somebody has it. */
function tryPort(port: number, address: string): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(null) : reject(error)));
    server.listen(port, address, () => {
      const bound = server.address();
      server.close(() => resolve(bound === null || typeof bound === 'string' ? null : bound.port));
    });
  });
}
