/**
 * Long answers: sent as they are found, to those who fetch them. How many are open at a time is bounded, and so is how long one waits for
 * a reader that takes nothing: each of them keeps a place, and what it has found so far, in a thread that others need.
 */
import type { FastifyReply } from 'fastify';
import { delay, type Clock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';

/** Of all readers together. Two threads answer; more questions at a time only make each of them take longer. */
export const answersMax = 64;
/** A reader that has taken nothing for so long is sent away. A pager that somebody reads page by page takes something now and then. */
export const stallMs = 600_000;
const headersAfterMs = 1_000;

export class OpenAnswers {
  readonly #clock: Clock;
  #open = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The work ends when whoever asked has gone. Throws `overloaded`, and what the answer throws before it has begun. */
  async send(reply: FastifyReply, type: string, answer: (signal: AbortSignal) => AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#open >= answersMax) {
      throw new RelightError('overloaded', `${answersMax} questions about stored logs are being answered already`, {
        advice: 'Try again in a moment, ask one after the other, and end what nobody reads any more.',
      });
    }
    this.#open += 1;
    try {
      await this.#send(reply, type, answer);
    } finally {
      this.#open -= 1;
    }
  }

  async #send(reply: FastifyReply, type: string, answer: (signal: AbortSignal) => AsyncIterable<Uint8Array>): Promise<void> {
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    const found = answer(gone.signal)[Symbol.asyncIterator]();
    const first = found.next();
    // What fails at once is told as a problem; what is rare must not look like a server that does not answer.
    await Promise.race([first, delay(this.#clock, headersAfterMs)]);
    reply.hijack();
    reply.raw.writeHead(200, { 'content-type': type, 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
    reply.raw.flushHeaders();
    try {
      for (let next = await first; next.done !== true && !gone.signal.aborted; next = await found.next()) {
        if (!reply.raw.write(next.value)) await drained(reply.raw, this.#clock, gone.signal);
      }
      reply.raw.end();
    } catch (error) {
      // Cut off in the middle, so that nobody takes it for all there is.
      if (!gone.signal.aborted) reply.request.log.error({ err: error }, 'an answer failed');
      reply.raw.destroy();
    } finally {
      await found.return?.(undefined);
    }
  }
}

/** Resolves when there is room again. Throws when the reader is gone, or takes nothing for `stallMs`: then the caller ends it. */
export function drained(reply: FastifyReply['raw'], clock: Clock, gone: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (gone.aborted) return reject(new RelightError('cancelled', 'the reader has left'));
    const end = (settle: () => void): void => {
      reply.off('drain', onDrain);
      gone.removeEventListener('abort', onGone);
      timer.cancel();
      settle();
    };
    const onDrain = (): void => end(resolve);
    const onGone = (): void => end(() => reject(new RelightError('cancelled', 'the reader has left')));
    const timer = clock.after(stallMs, () =>
      end(() => reject(new RelightError('overloaded', `the reader has taken nothing for ${stallMs / 1_000} s`))),
    );
    reply.on('drain', onDrain);
    gone.addEventListener('abort', onGone);
  });
}
