/**
 * What is open on a token is closed when the token is valid no more, whoever revoked it: here, or a command beside the service, which is
 * looked for every second.
 */
import { onBeat } from '@relight/shared/beat';
import type { Clock, Timer } from '@relight/shared/clock';
import type { SqliteStore } from '../store/sqlite-store.ts';
import type { TokenRecord } from '../store/store.ts';

export const lookMs = 1_000;

export interface Holding {
  readonly token: Pick<TokenRecord, 'id' | 'expiresAt'>;
  readonly end: (reason: string) => void;
}

export class Revocations {
  readonly #store: Pick<SqliteStore, 'revokedTokenIds' | 'revocationMark'>;
  readonly #clock: Clock;
  readonly #open = new Map<string, Set<Holding>>();
  #mark = '';
  #timer: Timer;

  constructor({ store, clock }: { readonly store: Pick<SqliteStore, 'revokedTokenIds' | 'revocationMark'>; readonly clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
    this.#timer = onBeat(clock, lookMs, () => this.#look());
  }

  /** Until disposed. `end` is called at most once. */
  hold(holding: Holding): { dispose(): void } {
    const { id } = holding.token;
    const all = this.#open.get(id) ?? new Set();
    this.#open.set(id, all.add(holding));
    return {
      dispose: () => {
        all.delete(holding);
        if (all.size === 0 && this.#open.get(id) === all) this.#open.delete(id);
      },
    };
  }

  /** At once, for what was revoked by this process. */
  revoked(id: string, reason = 'the token was revoked'): void {
    const all = this.#open.get(id);
    this.#open.delete(id);
    for (const { end } of all ?? []) end(reason);
  }

  close(): void {
    this.#timer.cancel();
  }

  #look(): void {
    const now = this.#clock.now();
    const mark = this.#store.revocationMark();
    if (mark !== this.#mark) for (const id of this.#store.revokedTokenIds()) this.revoked(id);
    this.#mark = mark;
    for (const [id, all] of this.#open) {
      const expired = [...all].some(({ token }) => token.expiresAt !== null && now >= token.expiresAt);
      if (expired) this.revoked(id, 'the token has expired');
    }
    this.#timer = onBeat(this.#clock, lookMs, () => this.#look());
  }
}
