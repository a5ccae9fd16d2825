/** Who follows the fleet meanwhile: what is stored is shown to them at once, whatever it is. */
import type { IncomingMessage } from 'node:http';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { CollectorTarget } from './collector-target.ts';

export class Watchers implements Disposable {
  readonly #ended: string[] = [];
  readonly #responses: IncomingMessage[] = [];
  bytes = 0;
  #closing = false;

  /** Resolves when they are told. */
  static async open({ endpoint: { port, secure }, tokens }: CollectorTarget): Promise<Watchers> {
    const watchers = new Watchers();
    for (const path of ['/api/v1/stream', '/api/v1/logs/tail', '/api/v1/logs/tail?multiline=1&level=error&linesBefore=2']) {
      const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
      const headers = { authorization: `Bearer ${tokens.view}` };
      const request = (secure ? httpsRequest : httpRequest)(
        { host: '127.0.0.1', port, path, headers, rejectUnauthorized: false, agent: false },
        resolve,
      );
      request.once('error', reject);
      request.end();
      watchers.#follow(path, await promise);
    }
    return watchers;
  }

  /** @throws when somebody was sent away */
  check(): void {
    if (this.#ended.length > 0) throw new Error(`${this.#ended.join(', ')} has ended`);
  }

  [Symbol.dispose](): void {
    this.#closing = true;
    for (const response of this.#responses) response.destroy();
  }

  #follow(path: string, response: IncomingMessage): void {
    if (response.statusCode !== 200) throw new Error(`${path} answered ${response.statusCode}`);
    this.#responses.push(response);
    response.on('data', (bytes: Buffer) => (this.bytes += bytes.length));
    response.on('error', () => undefined);
    response.once('close', () => {
      if (!this.#closing) this.#ended.push(path);
    });
  }
}
