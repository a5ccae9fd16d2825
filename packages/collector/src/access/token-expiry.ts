/**
 * Tokens that run out and that nobody renews by himself: those of operators, and those of agents that a person has made. An agent that has
 * joined renews its own, and tells when it cannot.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import type { MetricFamily } from '../api/metrics-text.ts';
import type { CollectorEvent, TokenRecord } from '../store/store.ts';
import { tokenRefusal } from './token-refusal.ts';

const lookMs = 60_000;
const dayMs = 86_400_000;
const warningMs = 14 * dayMs;

export interface TokenExpiryDeps {
  readonly store: { tokens(): readonly TokenRecord[] };
  readonly clock: Clock;
  readonly warn: (message: string, error: RelightError) => void;
  readonly tell: (event: CollectorEvent) => void;
}

type Ending = TokenRecord & { readonly expiresAt: number };

const endsByItself = (token: TokenRecord): token is Ending =>
  token.expiresAt !== null && token.revokedAt === null && (token.kind === 'operator' || (token.kind === 'agent' && token.agentId === null));

/** In its last fortnight, and in the last quarter of its life; one that was made for a day or less is meant to end. Pure. */
export function expiresSoon(token: TokenRecord, now: number): boolean {
  if (!endsByItself(token) || tokenRefusal(token, now) !== null) return false;
  const life = token.expiresAt - token.createdAt;
  return life > dayMs && token.expiresAt - now <= Math.min(warningMs, life / 4);
}

/** It would have been told of in time, had anybody listened. */
const expiredToday = (token: TokenRecord, now: number): boolean =>
  endsByItself(token) && token.expiresAt - token.createdAt > dayMs && token.expiresAt <= now && now - token.expiresAt < dayMs;

export class TokenExpiry {
  readonly #deps: TokenExpiryDeps;
  #ending: readonly Ending[] = [];
  /** Since when, monotonic, it is known of a token that it ends or has ended. */
  #told = new Map<string, { readonly expired: boolean; readonly at: number }>();
  #timer: Timer | null = null;

  constructor(deps: TokenExpiryDeps) {
    this.#deps = deps;
  }

  /** From now on tokens and time are looked at. */
  start(): void {
    this.#look();
  }

  close(): void {
    this.#timer?.cancel();
  }

  /** As they were at the last look. */
  families(): MetricFamily[] {
    return [
      {
        name: 'relight_collector_token_expiry_timestamp_seconds',
        help: 'When a token that nobody renews by himself runs out, in seconds since the epoch: of operators, and of agents that did not join.',
        type: 'gauge',
        samples: this.#ending.map(({ id, kind, name, expiresAt }) => ({
          labels: { token: id, kind, name: name ?? '' },
          value: expiresAt / 1_000,
        })),
      },
    ];
  }

  #look(): void {
    const { clock, store } = this.#deps;
    const now = clock.now();
    const all = store.tokens();
    this.#ending = all.filter(endsByItself).filter(({ expiresAt }) => expiresAt > now);
    const told = this.#told;
    this.#told = new Map();
    for (const token of all) {
      const expired = expiredToday(token, now);
      if (!expired && !expiresSoon(token, now)) continue;
      const before = told.get(token.id);
      const due = before === undefined || before.expired !== expired || (!expired && clock.monotonic() - before.at >= dayMs);
      this.#told.set(token.id, due ? { expired, at: clock.monotonic() } : before);
      if (due) this.#tell(token, expired, now);
    }
    this.#timer = clock.after(lookMs, () => this.#look());
  }

  #tell({ id, kind, name, host, expiresAt }: TokenRecord, expired: boolean, now: number): void {
    const at = new Date(expiresAt ?? 0).toISOString();
    const whose = name === null ? id : `${id} (${name})`;
    const message = `the ${kind} token ${whose} ${expired ? 'expired' : 'expires'} at ${at}`;
    const advice = `Make another one for whoever uses it: relight-collector token create --kind ${kind}.`;
    this.#deps.warn(message, new RelightError('unauthorized', message, { advice }));
    const severity = expired ? 'error' : 'warning';
    const data = { token: id, expiresAt, advice };
    this.#deps.tell({ at: now, host: host ?? '', workload: null, generation: null, kind: 'host.notice', severity, message, data });
  }
}
