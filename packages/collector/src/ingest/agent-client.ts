/** A real WebSocket client that speaks as an agent does, for tests of this folder. */
import { text } from 'node:stream/consumers';
import { agentPath, subprotocol, type CollectorMessage, type Hello, type Welcome } from '@relight/shared/protocol';
import { encodeBlock, type Block } from '@relight/shared/log-block';
import { once } from 'node:events';
import { WebSocket } from 'ws';

type MessageOf<T extends CollectorMessage['type']> = Extract<CollectorMessage, { type: T }>;

export class AgentClient {
  readonly socket: WebSocket;
  readonly #received: CollectorMessage[] = [];
  readonly #waiting = new Set<() => void>();
  closed: { readonly code: number; readonly reason: string } | null = null;

  constructor(url: string, token: string, protocols: readonly string[] = [subprotocol], headers: Readonly<Record<string, string>> = {}) {
    this.socket = new WebSocket(`${url.replace(/^http/, 'ws')}${agentPath}`, [...protocols], {
      headers: { ...headers, authorization: `Bearer ${token}` },
      perMessageDeflate: false,
    });
    this.socket.on('message', (data: Buffer) => {
      this.#received.push(JSON.parse(data.toString()) as CollectorMessage);
      this.#wake();
    });
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.#wake();
    });
    this.socket.on('error', () => undefined);
  }

  /** Resolves with the HTTP status of a refusal, 101 when it was let in. */
  async upgrade(): Promise<{ readonly status: number; readonly retryAfter: string | undefined; readonly problem: unknown }> {
    return new Promise((resolve, reject) => {
      this.socket.once('open', () => resolve({ status: 101, retryAfter: undefined, problem: null }));
      this.socket.once('unexpected-response', (request, response) => {
        void text(response).then((body) => {
          request.destroy();
          resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'], problem: JSON.parse(body) as unknown });
        }, reject);
      });
      this.socket.once('error', reject);
    });
  }

  async hello(more: Partial<Hello> = {}): Promise<Welcome> {
    if (this.socket.readyState === WebSocket.CONNECTING) await once(this.socket, 'open');
    this.send({
      type: 'hello',
      protocol: 1,
      agentId: 'agent-0001',
      machineId: 'machine-1',
      epoch: 'epoch-1',
      bootId: 'boot-1',
      host: 'h1',
      labels: { pool: 'v5e' },
      version: '1.2.3',
      facts: {},
      remoteActions: true,
      at: Date.now(),
      lastEventSeq: 0,
      segments: [],
      ...more,
    });
    return this.next('welcome');
  }

  send(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  sendBlock(block: Block): void {
    this.socket.send(encodeBlock(block));
  }

  sendEvents(from: number, to: number, epoch = 'epoch-1'): void {
    const events = Array.from({ length: to - from + 1 }, (_, index) => ({
      seq: from + index,
      at: 1_000 + from + index,
      kind: 'host.notice',
      severity: 'info',
      message: `notice ${from + index}`,
    }));
    this.send({ type: 'events', epoch, events });
  }

  /** The next message of this type; others that came before it are dropped. */
  async next<T extends CollectorMessage['type']>(type: T): Promise<MessageOf<T>> {
    for (;;) {
      const index = this.#received.findIndex((message) => message.type === type);
      const found = this.#received[index];
      if (found !== undefined) {
        this.#received.splice(0, index + 1);
        return found as MessageOf<T>;
      }
      if (this.closed !== null) throw new Error(`closed with ${this.closed.code} ${this.closed.reason} while waiting for ${type}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  async end(): Promise<{ readonly code: number; readonly reason: string }> {
    while (this.closed === null) await new Promise<void>((resolve) => this.#waiting.add(resolve));
    return this.closed;
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
