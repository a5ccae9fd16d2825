/** Every event of the fleet as it arrives at an operator's terminal, each once, in the order of arrival, over restarts of the collector. */
import { follow, parseData } from '@relight/collector/cli/follow';
import { firstTime } from '@relight/collector/cli/resume-filter';
import type { ApiEvent } from '@relight/shared/api';
import { systemClock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetClient } from './fleet-client.ts';

/** A place in the feed: everything after it is later. */
export type FeedMark = number;

interface Waiter {
  readonly from: FeedMark;
  readonly matches: (event: ApiEvent) => boolean;
  readonly resolve: (event: ApiEvent) => void;
  readonly reject: (error: unknown) => void;
}

const retryMs = 50;

export class EventFeed {
  readonly #events: ApiEvent[] = [];
  readonly #fresh = firstTime();
  readonly #waiters = new Set<Waiter>();
  readonly #listeners = new Set<(event: ApiEvent) => void>();
  readonly #stop = new AbortController();
  #broken: unknown;

  /** The collector may come and go, also at this very moment. */
  constructor(fleet: FleetClient) {
    void this.#read(fleet);
  }

  get events(): readonly ApiEvent[] {
    return this.#events;
  }

  mark(): FeedMark {
    return this.#events.length;
  }

  since(mark: FeedMark): readonly ApiEvent[] {
    return this.#events.slice(mark);
  }

  /** Called for every event from now on. */
  listen(listener: (event: ApiEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** The first event behind `from` that matches; waits for it. */
  async next(from: FeedMark, matches: (event: ApiEvent) => boolean, what: string, timeoutMs = 60_000): Promise<ApiEvent> {
    const known = this.since(from).find(matches);
    if (known !== undefined) return known;
    if (this.#broken !== undefined) throw new Error('the event stream is broken', { cause: this.#broken });
    const { promise, resolve, reject } = Promise.withResolvers<ApiEvent>();
    const waiter = { from, matches, resolve, reject };
    this.#waiters.add(waiter);
    const timer = setTimeout(() => {
      const seen = this.since(from).map(({ kind, message }) => `  ${kind}: ${message}`);
      reject(new Error(`waited ${timeoutMs} ms for ${what}; events meanwhile:\n${seen.join('\n')}`));
    }, timeoutMs);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(waiter);
    }
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  async #read(fleet: FleetClient): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        return await this.#follow(fleet);
      } catch (error) {
        // A follower wants its first connection at once; here the collector may be killed before it has come.
        if (error instanceof RelightError && error.code === 'collector-unreachable') await sleep(retryMs);
        else return this.#break(error);
      }
    }
  }

  #break(error: unknown): void {
    this.#broken = error;
    for (const waiter of this.#waiters) waiter.reject(error);
  }

  async #follow(fleet: FleetClient): Promise<void> {
    const ignore = (): void => {};
    const stream = follow(
      fleet.api,
      'stream',
      {},
      {
        clock: systemClock,
        signal: this.#stop.signal,
        // From the first event there ever was.
        lastId: '0',
        onLost: ignore,
        onBack: ignore,
      },
    );
    for await (const { messages } of stream) {
      for (const message of messages) if (message.event === 'event') this.#add(parseData(message) as ApiEvent);
    }
  }

  #add(event: ApiEvent): void {
    if (!this.#fresh(event.id)) return;
    const at = this.#events.push(event) - 1;
    for (const listener of this.#listeners) listener(event);
    for (const waiter of this.#waiters) if (at >= waiter.from && waiter.matches(event)) waiter.resolve(event);
  }
}
