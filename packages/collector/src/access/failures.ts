/**
 * Requests without a valid token, counted per address. Tokens have 256 random bits, so this is not what keeps them from being guessed: it
 * keeps somebody who tries from filling log and audit, and from learning anything. A valid token is let in all the same, or one
 * bad neighbour behind the same NAT could lock a whole fleet out. Pure but for the clock.
 */
import type { Clock } from '@relight/shared/clock';
import { isIPv6 } from 'node:net';

export const failuresMax = 30;
export const windowMs = 60_000;
/** Addresses remembered at once; who has more of them than that is held up elsewhere. */
const addressesMax = 10_000;

export class Failures {
  readonly #clock: Clock;
  readonly #counts = new Map<string, { count: number; readonly until: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts one. False: there were too many already. */
  failed(address: string): boolean {
    const now = this.#clock.monotonic();
    const key = networkOf(address);
    const known = this.#counts.get(key);
    if (known !== undefined && now < known.until) {
      known.count += 1;
      return known.count <= failuresMax;
    }
    this.#counts.delete(key);
    const oldest = this.#counts.keys().next().value;
    if (this.#counts.size >= addressesMax && oldest !== undefined) this.#counts.delete(oldest);
    this.#counts.set(key, { count: 1, until: now + windowMs });
    return true;
  }

  /** Seconds until failures of this address are listened to again. */
  retryAfterS(address: string): number {
    const until = this.#counts.get(networkOf(address))?.until ?? 0;
    return Math.max(1, Math.ceil((until - this.#clock.monotonic()) / 1_000));
  }
}

/** Whoever has one IPv6 address has a whole /64 of them. */
function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head.split(':').filter((group) => group !== '');
  const after = (tail ?? '').split(':').filter((group) => group !== '');
  const zeros = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - groups.length - after.length) }, () => '0');
  return [...groups, ...zeros, ...after].slice(0, 4).join(':');
}
