/**
 * What is done with a token, counted from each address and from all of them: who has many addresses, or writes another one into a
 * header each time, would be bounded by nothing else. What comes from one address alone uses up little of what there is for all.
 */
import type { Clock } from '@relight/shared/clock';
import type { TokenRecord } from '../store/store.ts';
import { Failures } from './failures.ts';

export interface TokenLimits {
  /** Of one token from one address. */
  readonly max: number;
  /** Of all tokens of one host, or of one that is for no host alone, from all addresses. */
  readonly inAllMax: number;
  readonly windowMs: number;
}

export class TokenCounts {
  readonly #each: Failures;
  readonly #inAll: Failures;

  constructor(clock: Clock, { max, inAllMax, windowMs }: TokenLimits) {
    this.#each = new Failures(clock, { max, windowMs });
    this.#inAll = new Failures(clock, { max: inAllMax, windowMs });
  }

  /**
   * Counts one. `missed`: so many were too many from there in the window that has ended; `missedInAll`: and so many in all, which had not been
   * too many from their addresses.
   */
  count(
    address: string,
    { id, host }: Pick<TokenRecord, 'id' | 'host'>,
    whose = id,
  ): { readonly listened: boolean; readonly missed: number; readonly missedInAll: number } {
    const { listened, missed } = this.#each.count(address, whose);
    if (!listened) return { listened, missed, missedInAll: 0 };
    // By host: who renews a token has another one each time.
    const inAll = this.#inAll.count('', host === null ? `token ${id}` : `host ${host}`);
    return { listened: inAll.listened, missed, missedInAll: inAll.missed };
  }
}
