/**
 * Commits in order, at most `window` at a time. Where the store fails (a full disk) or takes no more for now, everything from the first
 * failure on is kept and tried again in the same order: nothing behind it overtakes, nothing is answered meanwhile.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { toRelightError, type RelightError } from '@relight/shared/errors';

export interface LaneOptions<Item, Result> {
  readonly window: number;
  readonly retryMs: number;
  readonly clock: Clock;
  readonly commit: (item: Item) => Promise<Result>;
  readonly committed: (item: Item, result: Result) => void;
  /** The result only says that something before it is missing: while a failure is being retried it means nothing. */
  readonly outOfOrder?: (result: Result) => boolean;
  /** A failure of the store, or too much at once (`retried`), or of the item itself, which is dropped. */
  readonly failed: (error: RelightError, retried: boolean) => void;
}

export class Lane<Item, Result> {
  readonly #options: LaneOptions<Item, Result>;
  #queue: Item[] = [];
  #running = new Map<Item, 'running' | 'again'>();
  #retry: Timer | null = null;
  #failing = false;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(options: LaneOptions<Item, Result>) {
    this.#options = options;
  }

  get pending(): number {
    return this.#queue.length + this.#running.size;
  }

  push(item: Item): void {
    this.#queue.push(item);
    this.#pump();
  }

  /** Resolves when nothing is pending, or when the store fails: then waiting helps nobody. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#tellIdle();
    });
  }

  /**
   * Nothing else is sent to the store. What it has already may still be committed, and is told: whoever sent it will send it again, and
   * then it is no news any more. Nobody is told of failures.
   */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#retry?.cancel();
  }

  #pump(): void {
    while (!this.#failing && !this.#closed && this.#running.size < this.#options.window) {
      const item = this.#queue.shift();
      if (item === undefined) return;
      this.#running.set(item, 'running');
      this.#options.commit(item).then(
        (result) => this.#settle(item, result),
        (error: unknown) => this.#fail(item, toRelightError(error)),
      );
    }
  }

  #settle(item: Item, result: Result): void {
    if (this.#failing && this.#options.outOfOrder?.(result) === true) this.#running.set(item, 'again');
    else {
      this.#running.delete(item);
      this.#options.committed(item, result);
    }
    this.#next();
  }

  #fail(item: Item, error: RelightError): void {
    const retried = error.code === 'store-failed' || error.code === 'overloaded';
    if (retried) {
      this.#failing = true;
      this.#running.set(item, 'again');
    } else this.#running.delete(item);
    if (!this.#closed) this.#options.failed(error, retried);
    this.#next();
  }

  #tellIdle(): void {
    if (this.pending > 0 && !this.#failing) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #next(): void {
    this.#tellIdle();
    if (this.#closed) return;
    if (!this.#failing) return this.#pump();
    if (this.#retry !== null || [...this.#running.values()].includes('running')) return;
    this.#retry = this.#options.clock.after(this.#options.retryMs, () => {
      this.#retry = null;
      this.#failing = false;
      // A Map keeps the order of insertion, which is the order of arrival.
      this.#queue.unshift(...this.#running.keys());
      this.#running = new Map();
      this.#pump();
    });
  }
}
