/**
 * How many agents may come at once: a token bucket of upgrades per second and a bound on connections that have not said
 * hello yet. A collector that restarts under ten thousand agents must not drown in their handshakes. Before that a bucket of each
 * host whose own token is shown: whoever has one of them would use up what is for all. By network address as well: who has stolen a
 * host's token would keep that host out from wherever he is. Pure but for the clock.
 */
import type { Clock } from '@relight/shared/clock';
import type { Visitor } from '../access/doorkeeper.ts';
import { networkOf } from '../access/client-address.ts';
import { Buckets } from './buckets.ts';

export interface AdmissionLimits {
  readonly perSecond: number;
  readonly handshakesMax: number;
}
export const defaultAdmission: AdmissionLimits = { perSecond: 200, handshakesMax: 500 };

/** An agent dials at once when it is told to, seldom twice in a second, and each try waits longer than the one before. */
const ofOneHost = { atOnce: 20, perSecond: 1 };

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #clock: Clock;
  readonly #ofOneHost: Buckets;
  #tokens: number;
  #filledAt: number;
  #handshakes = 0;

  constructor(limits: AdmissionLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#ofOneHost = new Buckets(ofOneHost, clock);
    this.#tokens = limits.perSecond;
    this.#filledAt = clock.monotonic();
  }

  /** `done` must be called once, when the hello has come or the connection is gone. Null: come back later. */
  admit({
    address,
    token: { host },
  }: {
    readonly address: string;
    readonly token: Pick<Visitor['token'], 'host'>;
  }): { done(): void } | null {
    if (host !== null && !this.#ofOneHost.take(`${networkOf(address)} ${host}`)) return null;
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

  /** Called now and then. */
  forget(): void {
    this.#ofOneHost.forget();
  }
}
