/**
 * How many agents may come at once: a token bucket of upgrades per second and a bound on connections that have not said
 * hello yet. A collector that restarts under ten thousand agents must not drown in their handshakes. Pure but for the clock.
 */
import type { Clock } from '@relight/shared/clock';

export interface AdmissionLimits {
  readonly perSecond: number;
  readonly handshakesMax: number;
}
export const defaultAdmission: AdmissionLimits = { perSecond: 200, handshakesMax: 500 };

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #clock: Clock;
  #tokens: number;
  #filledAt: number;
  #handshakes = 0;

  constructor(limits: AdmissionLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#tokens = limits.perSecond;
    this.#filledAt = clock.monotonic();
  }

  /** `done` must be called once, when the hello has come or the connection is gone. Null: come back later. */
  admit(): { done(): void } | null {
    const { perSecond, handshakesMax } = this.#limits;
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(perSecond, this.#tokens + ((now - this.#filledAt) / 1000) * perSecond);
    this.#filledAt = now;
    if (this.#tokens < 1 || this.#handshakes >= handshakesMax) return null;
    this.#tokens -= 1;
    this.#handshakes += 1;
    let open = true;
    return {
      done: () => {
        if (open) this.#handshakes -= 1;
        open = false;
      },
    };
  }
}
