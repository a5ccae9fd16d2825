/**
 * How it stands with each sink: whether what is sent is taken, since when not, and why. What the attempts came to is kept in memory; what
 * waits is in the store, and says after a restart of the collector that something failed before it.
 */
import type { Clock } from '@relight/shared/clock';
import type { SinkConfig } from '../../config.ts';
import type { NotificationRecord, Store } from '../../store/store.ts';
import type { SendResult } from './sink.ts';

interface Standing {
  /** Of the first failure after the last success, with what the last one said. */
  readonly failing: { readonly since: number; readonly reason: string } | null;
  readonly deliveredAt: number | null;
}

const nothingSent: Standing = { failing: null, deliveredAt: null };

export class SinkBook {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #standings = new Map<string, Standing>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  note(sink: string, result: SendResult): void {
    const now = this.#clock.now();
    const { failing, deliveredAt } = this.of(sink);
    this.#standings.set(
      sink,
      result.outcome === 'delivered'
        ? { failing: null, deliveredAt: now }
        : { failing: { since: failing?.since ?? now, reason: result.reason }, deliveredAt },
    );
  }

  /**
   * Of a test alert, which goes past the queue: that it is taken says nothing of what is refused there.
   *
   * @param oldest what waits longest for this sink
   */
  noteTest(sink: string, result: SendResult, oldest: Pick<NotificationRecord, 'attempts'> | undefined): void {
    if (result.outcome !== 'delivered' || oldest === undefined || oldest.attempts === 0) this.note(sink, result);
  }

  of(sink: string): Standing {
    return this.#standings.get(sink) ?? nothingSent;
  }
}

/** Times are epoch milliseconds. */
export interface SinkReport {
  /** Its address, without what may be a secret of it. */
  readonly name: string;
  readonly type: SinkConfig['type'];
  /** `unknown`: nothing was sent to it since the collector started. */
  readonly state: 'ok' | 'failing' | 'unknown';
  /** Of failing; null: it does not. */
  readonly failingSince: number | null;
  /** What the last failure said; null: it does not fail. */
  readonly reason: string | null;
  readonly deliveredAt: number | null;
  /** Notifications that it has not taken yet. */
  readonly waiting: number;
  /** When the oldest of them was made; null: none waits. */
  readonly waitingSince: number | null;
}

/** In the order of the configuration. */
export function sinkReports(
  store: Pick<Store, 'pendingNotifications' | 'waitingNotifications'>,
  sinks: readonly Pick<SinkReport, 'name' | 'type'>[],
  book: Pick<SinkBook, 'of'>,
): SinkReport[] {
  return sinks.map(({ name, type }) => {
    const { failing, deliveredAt } = book.of(name);
    const oldest = store.pendingNotifications(1, name)[0];
    const waiting = oldest === undefined ? 0 : store.waitingNotifications(name);
    const common = { name, type, deliveredAt, waiting, waitingSince: oldest?.createdAt ?? null };
    const triedBefore = oldest !== undefined && oldest.attempts > 0 ? oldest.createdAt : null;
    if (failing !== null) {
      // It may have failed for the collector before this one, too; not before it took something, though.
      const since = Math.max(deliveredAt ?? 0, Math.min(failing.since, triedBefore ?? failing.since));
      return { ...common, state: 'failing', failingSince: since, reason: failing.reason };
    }
    if (deliveredAt === null && triedBefore !== null) {
      const reason = `${oldest?.attempts} attempts failed before the collector started; the next one follows within five minutes`;
      return { ...common, state: 'failing', failingSince: triedBefore, reason };
    }
    return { ...common, state: deliveredAt === null ? 'unknown' : 'ok', failingSince: null, reason: null };
  });
}
