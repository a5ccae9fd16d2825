/** What workloads depend on, as far as they see it: a port on which somebody answers, or not; it may move. */
import { createServer, type Server } from 'node:net';
import { freePort } from './ports.ts';

export class Head {
  #server: Server | undefined;
  #port = 0;

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** At an address where it was not before. */
  async open(): Promise<void> {
    const before = this.#port;
    while (this.#port === before) this.#port = await freePort();
    await this.reopen();
  }

  /** Where it was. */
  async reopen(): Promise<void> {
    const server = createServer((socket) => socket.destroy());
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  }
}
