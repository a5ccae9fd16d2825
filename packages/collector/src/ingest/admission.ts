/**
 * How many agents may come at once: a token bucket of upgrades per second and a bound on connections that have not said
 * hello yet. A collector that restarts under ten thousand agents must not drown in their handshakes. Before that comes what the
 * token of one host may use up of it; one for any host may be that of many, and has no such limit. Pure but for the clock.
 */
import type { Clock } from '@relight/shared/clock';
import type { Visitor } from '../access/doorkeeper.ts';
import { OwnTokens } from './own-tokens.ts';

export interface AdmissionLimits {
  readonly perSecond: number;
  readonly handshakesMax: number;
}
export const defaultAdmission: AdmissionLimits = { perSecond: 200, handshakesMax: 500 };

export interface Place {
  /** To be called when the hello was accepted, and when the connection is gone: the first time counts. */
  done(accepted: boolean): void;
}
/** There are too many of this host, or of all. */
export type TooMany = 'of-host' | 'of-all';

interface Comer {
  readonly address: string;
  readonly token: Pick<Visitor['token'], 'host'>;
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #clock: Clock;
  readonly #ownTokens: OwnTokens;
  #tokens: number;
  #filledAt: number;
  #handshakes = 0;

  constructor(limits: AdmissionLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#ownTokens = new OwnTokens(clock);
    this.#tokens = limits.perSecond;
    this.#filledAt = clock.monotonic();
  }

  /** @param end its connection is to end: it has not said hello, and others of its host have come after it */
  admit({ address, token: { host } }: Comer, end: () => void): Place | TooMany {
    if (host !== null && !this.#ownTokens.take(host, address)) return 'of-host';
    const { perSecond, handshakesMax } = this.#limits;
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(perSecond, this.#tokens + ((now - this.#filledAt) / 1000) * perSecond);
    this.#filledAt = now;
    if (this.#tokens < 1 || this.#handshakes >= handshakesMax) return 'of-all';
    this.#tokens -= 1;
    this.#handshakes += 1;
    let open = true;
    const done = (accepted: boolean): void => {
      if (!open) return;
      open = false;
      this.#handshakes -= 1;
      if (host === null) return;
      this.#ownTokens.end(host, giveWay);
      if (accepted) this.#ownTokens.letIn(host, address);
    };
    const giveWay = (): void => {
      done(false);
      end();
    };
    if (host !== null) this.#ownTokens.begin(host, giveWay);
    return { done };
  }

  /** Called now and then. */
  forget(): void {
    this.#ownTokens.forget();
  }
}
