/**
 * Whether the store takes what is written to it. A full disk fails every write of every session, once a second: one line
 * when it begins and one when it is over tell a person more than ten thousand do, and `/readyz` says it as long as it lasts.
 */
import type { Clock } from '@relight/shared/clock';
import { isoTime } from '@relight/shared/api';
import { RelightError, toRelightError } from '@relight/shared/errors';
import type { Store } from '../store/store.ts';

type WrittenStore = Pick<Store, 'commitEvents' | 'commitBlock' | 'commitGap' | 'commitOwnEvent' | 'putHost' | 'prune'>;

/** Removes nothing, but writes: whether the disk takes it is the question. */
const nothing = { eventsBefore: 0, logsBefore: 0, logsBytesMax: Number.MAX_SAFE_INTEGER };

export interface StoreHealthOptions {
  readonly clock: Clock;
  readonly warn: (message: string, error: RelightError) => void;
  readonly info: (message: string) => void;
}

export class StoreHealth {
  readonly #options: StoreHealthOptions;
  /** The first failure since the last write that succeeded. */
  #trouble: { readonly error: RelightError; readonly since: number } | null = null;

  #probe: () => Promise<unknown> = () => Promise.resolve();

  constructor(options: StoreHealthOptions) {
    this.#options = options;
  }

  /** As trouble(), asked anew: a collector that is kept out of service because of it has nothing to write and would stay so. */
  async check(): Promise<RelightError | null> {
    if (this.#trouble !== null) await this.#probe().catch(() => undefined);
    return this.trouble();
  }

  /** For a person; null while writes succeed. */
  trouble(): RelightError | null {
    if (this.#trouble === null) return null;
    const { error, since } = this.#trouble;
    return new RelightError(
      'store-failed',
      `nothing can be stored since ${isoTime(since)}: ${error.message}; agents keep what they have, and it is tried again every second`,
      { cause: error },
    );
  }

  /** The same store; what becomes of its writes is watched. */
  watch<S extends WrittenStore>(store: S): S {
    this.#probe = () => this.#see(store.prune(nothing));
    return {
      ...store,
      commitEvents: (...args) => this.#see(store.commitEvents(...args)),
      commitBlock: (...args) => this.#see(store.commitBlock(...args)),
      commitGap: (...args) => this.#see(store.commitGap(...args)),
      commitOwnEvent: (...args) => this.#see(store.commitOwnEvent(...args)),
      putHost: (...args) => this.#see(store.putHost(...args)),
    };
  }

  async #see<T>(write: Promise<T>): Promise<T> {
    try {
      const result = await write;
      this.#succeeded();
      return result;
    } catch (thrown) {
      const error = toRelightError(thrown);
      if (error.code === 'store-failed') this.#failed(error);
      throw thrown;
    }
  }

  #failed(error: RelightError): void {
    if (this.#trouble !== null) return;
    this.#trouble = { error, since: this.#options.clock.now() };
    this.#options.warn('nothing can be stored; agents keep what they have, and it is tried again every second', error);
  }

  #succeeded(): void {
    if (this.#trouble === null) return;
    const seconds = Math.round((this.#options.clock.now() - this.#trouble.since) / 1_000);
    this.#trouble = null;
    this.#options.info(`the store takes writes again, after ${seconds} s`);
  }
}
