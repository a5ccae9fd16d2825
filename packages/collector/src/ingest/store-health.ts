/**
 * Whether the store takes what is written to it. A full disk fails every write of every session, once a second: one line
 * when it begins and one when it is over tell a person more than ten thousand do, and `/readyz` says it as long as it lasts.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { isoTime } from '@relight/shared/api';
import { RelightError, toRelightError } from '@relight/shared/errors';
import type { Store } from '../store/store.ts';

type WrittenStore = Pick<
  Store,
  'commitEvents' | 'commitBlock' | 'commitGap' | 'commitIncident' | 'commitIncidentEvidence' | 'commitOwnEvent' | 'putHost'
>;

/**
 * What waits to be written is tried again every second. Without a failure for this long nothing waits any more (its agents
 * have gone), and nobody knows of trouble: a collector kept out of service by an old verdict would never write again.
 */
const staleMs = 30_000;
/**
 * A disk without room still takes a small write now and then, into space that was kept, and refuses the next one. What was refused is
 * tried again every second: without a failure for this long, it has been taken.
 */
const calmMs = 3_000;

export interface StoreHealthOptions {
  readonly clock: Clock;
  readonly warn: (message: string, error: RelightError) => void;
  readonly info: (message: string) => void;
}

export class StoreHealth {
  readonly #options: StoreHealthOptions;
  /** The first failure since the store was well. `since`: by the wall clock; `last`: monotonic. */
  #trouble: { readonly error: RelightError; readonly since: number; readonly last: number } | null = null;
  /** Says that it is over, unless something fails before. */
  #over: Timer | null = null;

  constructor(options: StoreHealthOptions) {
    this.#options = options;
  }

  /** For a person; null while writes succeed, or when none is tried. */
  trouble(): RelightError | null {
    if (this.#trouble === null || this.#options.clock.monotonic() - this.#trouble.last > staleMs) return null;
    const { error, since } = this.#trouble;
    return new RelightError(
      'store-failed',
      `nothing can be stored since ${isoTime(since)}: ${error.message}; agents keep what they have, and it is tried again every second`,
      { cause: error },
    );
  }

  /** The same store; what becomes of its writes is watched. */
  watch<S extends WrittenStore>(store: S): S {
    return {
      ...store,
      commitEvents: (...args) => this.#see(store.commitEvents(...args)),
      commitBlock: (...args) => this.#see(store.commitBlock(...args)),
      commitGap: (...args) => this.#see(store.commitGap(...args)),
      commitIncident: (...args) => this.#see(store.commitIncident(...args)),
      commitIncidentEvidence: (...args) => this.#see(store.commitIncidentEvidence(...args)),
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
    this.#over?.cancel();
    this.#over = null;
    const last = this.#options.clock.monotonic();
    if (this.#trouble !== null) {
      this.#trouble = { ...this.#trouble, last };
      return;
    }
    this.#trouble = { error, since: this.#options.clock.now(), last };
    this.#options.warn('nothing can be stored; agents keep what they have, and it is tried again every second', error);
  }

  #succeeded(): void {
    if (this.#trouble === null || this.#over !== null) return;
    const seconds = Math.round((this.#options.clock.now() - this.#trouble.since) / 1_000);
    this.#over = this.#options.clock.after(calmMs, () => {
      this.#trouble = null;
      this.#over = null;
      this.#options.info(`the store takes writes again, after ${seconds} s`);
    });
  }
}
