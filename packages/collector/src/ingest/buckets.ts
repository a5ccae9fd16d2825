/** How often each of many may do something: so many times at once, and so many a second after that. Pure but for the clock. */
import type { Clock } from '@relight/shared/clock';

export interface BucketLimits {
  readonly atOnce: number;
  readonly perSecond: number;
}

export class Buckets {
  readonly #limits: BucketLimits;
  readonly #clock: Clock;
  /** Those that are not full. */
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor(limits: BucketLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** False: it was too often. */
  take(key: string): boolean {
    const left = this.#left(key);
    if (left < 1) return false;
    this.#buckets.set(key, { left: left - 1, at: this.#clock.monotonic() });
    return true;
  }

  /** Called now and then: those that are full again are not remembered. */
  forget(): void {
    for (const key of this.#buckets.keys()) if (this.#left(key) >= this.#limits.atOnce) this.#buckets.delete(key);
  }

  #left(key: string): number {
    const { atOnce, perSecond } = this.#limits;
    const known = this.#buckets.get(key);
    if (known === undefined) return atOnce;
    return Math.min(atOnce, known.left + ((this.#clock.monotonic() - known.at) / 1_000) * perSecond);
  }
}
