/** What the collector said last of the clock of this host. It is its word and outlasts the connection; how old it is goes along. */
import type { Clock } from '@relight/shared/clock';

export interface ToldSkew {
  /** Positive: this host is ahead of the collector. */
  readonly skewMs: number;
  /** Since it was said. */
  readonly ageMs: number;
}

/** NTP that slews does so to both clocks of a machine, and comes nowhere near it. */
const setByMs = 1_000;

export class ClockWord {
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>;
  #last: { readonly skewMs: number; readonly wall: number; readonly mono: number } | null = null;

  constructor(clock: Pick<Clock, 'now' | 'monotonic'>) {
    this.#clock = clock;
  }

  hear(skewMs: number): void {
    this.#last = { skewMs, wall: this.#clock.now(), mono: this.#clock.monotonic() };
  }

  /** Null: nothing was said, or it was said of a clock that has been set since (a machine that slept looks the same). */
  said(): ToldSkew | null {
    if (this.#last === null) return null;
    const { skewMs, wall, mono } = this.#last;
    const ageMs = this.#clock.monotonic() - mono;
    return Math.abs(this.#clock.now() - wall - ageMs) > setByMs ? null : { skewMs, ageMs: Math.round(ageMs) };
  }
}
