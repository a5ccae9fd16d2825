/**
 * What somebody was refused whose token is known: an entry of the audit log each time, on every way in. One token from one address gets so
 * many entries and no more, and so do those of one host from all addresses; the rest is counted: whoever has one token could fill the disk
 * else. What others do counts for nothing here, or requests without any token, which are never written down, would hide what is tried with
 * a stolen one.
 */
import type { Clock } from '@relight/shared/clock';
import type { Store } from '../store/store.ts';
import type { Deed } from './deed.ts';
import type { Visitor } from './doorkeeper.ts';
import { TokenCounts } from './token-counts.ts';

export const refusalsMax = 10;
/** From all addresses: some 6 MB of entries a day at most. */
export const refusalsInAllMax = 100;
export const refusalsWindowMs = 600_000;

export class RefusalBook {
  readonly #store: Pick<Store, 'appendAudit'>;
  readonly #clock: Clock;
  readonly #counts: TokenCounts;

  constructor({ store, clock }: { readonly store: Pick<Store, 'appendAudit'>; readonly clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
    this.#counts = new TokenCounts(clock, { max: refusalsMax, inAllMax: refusalsInAllMax, windowMs: refusalsWindowMs });
  }

  /** False: it happens so often that it is only counted, and is worth no line elsewhere either. */
  async write(
    { token, address }: Visitor,
    { action, target, detail }: Deed,
    reason: string,
    outcome: 'refused' | 'failed' = 'refused',
  ): Promise<boolean> {
    const { listened, missed, missedInAll } = this.#counts.count(address, token);
    if (!listened) return false;
    const { id: actor, name, role } = token;
    const leftOut = {
      ...(missed === 0 ? {} : { notWrittenBefore: missed }),
      ...(missedInAll === 0 ? {} : { notWrittenInAll: missedInAll }),
    };
    const more = { ...detail, reason, ...leftOut };
    await this.#store.appendAudit({ at: this.#clock.now(), action, outcome, target, actor, name, role, address, detail: more });
    return true;
  }
}
