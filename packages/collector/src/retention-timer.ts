/**
 * Retention. Logs every minute: a fleet that writes 30 MB a second would be a hundred gigabytes above `retention.logs_bytes` after an hour.
 * Everything else once an hour. A failure is reported and tried again a minute later; the store grows meanwhile, nothing breaks.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { Bus } from './bus.ts';
import type { RetentionConfig } from './config.ts';
import type { Store } from './store/store.ts';

const everyMs = 60_000;
const wholeEveryMs = 3_600_000;
/** Not in the first moments, when the whole fleet comes back. */
const wholeFirstMs = 300_000;

export interface RetentionDeps {
  readonly store: Pick<Store, 'prune' | 'pruneLogs' | 'pruneOpenIncidents'>;
  readonly bus: Pick<Bus, 'publish'>;
  readonly clock: Clock;
  readonly limits: RetentionConfig;
  readonly logger: { info(data: object, message: string): void; error(data: object, message: string): void };
}

export function startRetention({ store, bus, clock, limits, logger }: RetentionDeps): { close(): Promise<void> } {
  let work: Promise<void> = Promise.resolve();
  let timer: Timer;
  let closed = false;
  let wholeAt = clock.monotonic() + wholeFirstMs;
  const prune = async (): Promise<void> => {
    const now = clock.now();
    const logs = { logsBefore: now - limits.logsMs, logsBytesMax: limits.logsBytesMax };
    const whole = clock.monotonic() >= wholeAt;
    try {
      // First, and whatever becomes of the rest: on a full disk, where nothing else can be removed, it is what gives room.
      const pieces = await store.pruneLogs(logs);
      if (pieces > 0) logger.info({ pieces }, 'retention removed logs that were too old or too much');
      if (!whole) return;
      const eventsBefore = now - limits.eventsMs;
      // By themselves, for whoever counts what is open.
      const open = await store.pruneOpenIncidents(eventsBefore);
      if (open.length > 0) bus.publish('incidentsRemoved', open);
      const removed = await store.prune({ ...logs, eventsBefore });
      wholeAt = clock.monotonic() + wholeEveryMs;
      if (removed.events + removed.pieces > 0) logger.info(removed, 'retention removed what was too old or too much');
    } catch (error) {
      logger.error({ err: error }, `retention failed: ${errorMessage(error)}`);
    } finally {
      if (!closed) schedule();
    }
  };
  const schedule = (): void => {
    timer = clock.after(everyMs, () => {
      work = prune();
    });
  };
  schedule();
  return {
    async close() {
      closed = true;
      timer.cancel();
      await work;
    },
  };
}
