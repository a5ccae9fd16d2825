/**
 * Requests that were refused, counted per address. Tokens have 256 random bits, so this is not what keeps them from being guessed: it
 * keeps somebody who tries from filling log and audit, and from learning anything. A valid token is let in all the same, or one
 * bad neighbour behind the same NAT could lock a whole fleet out. Pure but for the clock.
 */
import type { Clock } from '@relight/shared/clock';
import { networkOf } from './client-address.ts';

export const failuresMax = 30;
export const windowMs = 60_000;
/** Addresses remembered at once; who has more of them than that is held up elsewhere. */
const addressesMax = 10_000;

export class Failures {
  readonly #clock: Clock;
  readonly #max: number;
  readonly #windowMs: number;
  readonly #counts = new Map<string, { count: number; readonly until: number }>();

  constructor(clock: Clock, limits: { readonly max: number; readonly windowMs: number } = { max: failuresMax, windowMs }) {
    this.#clock = clock;
    this.#max = limits.max;
    this.#windowMs = limits.windowMs;
  }

  /** Counts one. False: there were too many already. */
  failed(address: string): boolean {
    return this.count(address).listened;
  }

  /**
   * Counts one, for `whose` alone where that is given. `listened`: there were not too many already; `missed`: so many were too many in the
   * window that has ended.
   */
  count(address: string, whose = ''): { readonly listened: boolean; readonly missed: number } {
    const now = this.#clock.monotonic();
    const key = `${networkOf(address)} ${whose}`;
    const known = this.#counts.get(key);
    if (known !== undefined && now < known.until) {
      known.count += 1;
      return { listened: known.count <= this.#max, missed: 0 };
    }
    this.#counts.delete(key);
    const oldest = this.#counts.keys().next().value;
    if (this.#counts.size >= addressesMax && oldest !== undefined) this.#counts.delete(oldest);
    this.#counts.set(key, { count: 1, until: now + this.#windowMs });
    return { listened: true, missed: Math.max(0, (known?.count ?? 0) - this.#max) };
  }

  /** Seconds until failures of this address are listened to again. */
  retryAfterS(address: string): number {
    const until = this.#counts.get(`${networkOf(address)} `)?.until ?? 0;
    return Math.max(1, Math.ceil((until - this.#clock.monotonic()) / 1_000));
  }
}
