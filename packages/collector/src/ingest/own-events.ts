/**
 * What this collector itself has to tell of its hosts, on its way to the store: in one queue for all of them, and charged to the host.
 * What an agent can bring about as often as it likes (it comes and goes, its clock is wrong and right again) is told so often and no
 * more: the latest of it is told when there is room again, with how much was left out. Records, states and alerts are made of none of
 * this, and miss nothing. What only time brings about (a host is suspect, or dead), and what a person did, is always told.
 */
import type { Clock } from '@relight/shared/clock';
import type { RelightError } from '@relight/shared/errors';
import type { MetricFamily } from '../api/metrics-text.ts';
import type { Bus } from '../bus.ts';
import type { CollectorEvent, Store, StoredEvent } from '../store/store.ts';
import { rowBytes, type Allowances } from './allowances.ts';
import { Buckets } from './buckets.ts';
import { Lane } from './lane.ts';

export interface OwnEventsDeps {
  readonly store: Pick<Store, 'commitOwnEvent'>;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly allowances?: Pick<Allowances, 'charge'>;
  readonly warn: (message: string, error: RelightError) => void;
}

/** Of one host and matter. An agent whose network is bad dials four times a minute, and each time is two events. */
const often = { atOnce: 20, perSecond: 0.2 };

export class OwnEvents {
  readonly #allowances: OwnEventsDeps['allowances'];
  readonly #lane: Lane<CollectorEvent, StoredEvent>;
  readonly #buckets: Buckets;
  /** By host and matter: the latest that was not told, and how many. */
  readonly #untold = new Map<string, { readonly event: CollectorEvent; readonly count: number }>();
  #leftOut = 0;

  constructor({ store, bus, clock, allowances, warn }: OwnEventsDeps) {
    this.#allowances = allowances;
    this.#buckets = new Buckets(often, clock);
    this.#lane = new Lane({
      window: 64,
      retryMs: 1_000,
      clock,
      commit: (event) => store.commitOwnEvent(event),
      committed: (_, stored) => bus.publish('events', [stored]),
      failed: (error) => warn('an event of the collector could not be stored', error),
    });
  }

  tell(event: CollectorEvent): void {
    const matter = matterOf(event);
    if (matter === null) return this.#store(event);
    const key = `${event.host}\n${matter}`;
    const before = this.#untold.get(key);
    if (before === undefined && this.#buckets.take(key)) return this.#store(event);
    if (before !== undefined) this.#leftOut += 1;
    this.#untold.set(key, { event, count: (before?.count ?? 0) + 1 });
  }

  /** Called regularly: what could not be told before. */
  look(): void {
    for (const [key, untold] of this.#untold) if (this.#buckets.take(key)) this.#tellUntold(key, untold);
    this.#buckets.forget();
  }

  /** At the end: the latest of everything is told. Resolves when that is stored, or when the store fails. */
  async finish(): Promise<void> {
    for (const [key, untold] of this.#untold) this.#tellUntold(key, untold);
    await this.#lane.idle();
  }

  families(): MetricFamily[] {
    return [
      {
        name: 'relight_collector_events_left_out_total',
        help: 'Events about hosts that came and went, or became well and ill again, too often to tell each time.',
        type: 'counter',
        samples: [{ value: this.#leftOut }],
      },
    ];
  }

  #tellUntold(key: string, { event, count }: { readonly event: CollectorEvent; readonly count: number }): void {
    this.#untold.delete(key);
    if (count === 1) return this.#store(event);
    const leftOut = count - 1;
    this.#store({ ...event, message: `${event.message} (${leftOut} more just before it are left out)`, data: { ...event.data, leftOut } });
  }

  #store(event: CollectorEvent): void {
    this.#allowances?.charge(event.host, JSON.stringify(event).length + rowBytes);
    this.#lane.push(event);
  }
}

/** Of what an agent can bring about again and again; the latest of one matter makes those before it old. Null: of anything else. */
function matterOf({ kind, data }: CollectorEvent): string | null {
  if (kind === 'agent.connected' || kind === 'agent.disconnected') return 'agent';
  if (kind !== 'host.notice' || data['forgotten'] === true) return null;
  if (typeof data['condition'] === 'string') return data['condition'];
  // Who has a name now, and who had it, stands nowhere else: no other notice takes its place.
  return ['fenced', 'former'].find((field) => data[field] !== undefined) ?? 'notice';
}
