/** Server-sent events (WHATWG HTML, 9.2) over a fastify reply. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock, Timer } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { drained } from './answers.ts';
import { sseText, type SseMessage } from '../sse-text.ts';

/** Proxies and phones drop connections that are silent for longer. */
export const keepAliveMs = 15_000;

export class SseConnection {
  readonly #reply: FastifyReply['raw'];
  readonly #clock: Clock;
  readonly #gone = new AbortController();
  #timer: Timer | null = null;

  /** Answers 200 at once. From here on the connection is ours: errors end it. */
  constructor(request: FastifyRequest, reply: FastifyReply, clock: Clock) {
    this.#clock = clock;
    reply.hijack();
    this.#reply = reply.raw;
    this.#reply.on('close', () => this.end());
    this.#reply.on('error', () => this.end());
    request.raw.socket.setNoDelay(true);
    this.#reply.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    this.#reply.write(': relight\n\n');
    this.#keepAlive();
  }

  /** Aborted when either side has ended the stream. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Resolves when the reader has room for more: await it before the next one. */
  async send(messages: readonly SseMessage[]): Promise<void> {
    if (messages.length > 0) await this.sendText(messages.map(sseText).join(''));
  }

  /** Messages that are text already (sse-text.ts). A reader that takes nothing for long is sent away: it comes back where it was. */
  async sendText(text: string | Uint8Array): Promise<void> {
    if (this.signal.aborted || this.#reply.write(text)) return;
    await drained(this.#reply, this.#clock, this.signal).catch(() => {
      if (this.signal.aborted) return;
      this.end();
      this.#reply.destroy();
    });
  }

  end(): void {
    this.#timer?.cancel();
    this.#gone.abort();
    this.#reply.end();
  }

  #keepAlive(): void {
    this.#timer = this.#clock.after(keepAliveMs, () => {
      if (!this.#reply.writableNeedDrain) this.#reply.write(': keep-alive\n\n');
      this.#keepAlive();
    });
  }
}

/** Tails and live pictures of all readers together. Each may keep what came while it did not read, up to a few megabytes. */
export const streamsMax = 500;

/** The streams that are open, to be ended before the server can close. */
export class OpenStreams {
  readonly #open = new Set<SseConnection>();

  /** Throws `overloaded`. */
  async run(request: FastifyRequest, reply: FastifyReply, clock: Clock, body: (connection: SseConnection) => Promise<void>): Promise<void> {
    if (this.#open.size >= streamsMax) {
      throw new RelightError('overloaded', `${streamsMax} streams are open already`, {
        advice: 'End tails and dashboards that nobody looks at, and try again.',
      });
    }
    const connection = new SseConnection(request, reply, clock);
    this.#open.add(connection);
    try {
      await body(connection);
    } catch (error) {
      if (!connection.signal.aborted) request.log.error({ err: error }, 'a stream failed');
    } finally {
      this.#open.delete(connection);
      connection.end();
    }
  }

  endAll(): void {
    for (const connection of this.#open) connection.end();
  }
}
