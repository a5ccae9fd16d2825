/**
 * Retention. Logs every minute: a fleet that writes 30 MB a second would be a hundred gigabytes above `retention.logs_bytes` after an hour.
 * Everything else once an hour. A failure is reported and tried again a minute later; the store grows meanwhile, nothing breaks.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { RetentionConfig } from './config.ts';
import type { Store } from './store/store.ts';

const everyMs = 60_000;
const wholeEveryMs = 3_600_000;
/** Not in the first moments, when the whole fleet comes back. */
const wholeFirstMs = 300_000;

export interface RetentionDeps {
  readonly store: Pick<Store, 'prune' | 'pruneLogs'>;
  readonly clock: Clock;
  readonly limits: RetentionConfig;
  readonly logger: { info(data: object, message: string): void; error(data: object, message: string): void };
}

export function startRetention({ store, clock, limits, logger }: RetentionDeps): { close(): Promise<void> } {
  let work: Promise<void> = Promise.resolve();
  let timer: Timer;
  let closed = false;
  let wholeAt = clock.monotonic() + wholeFirstMs;
  const prune = async (): Promise<void> => {
    const now = clock.now();
    const logs = { logsBefore: now - limits.logsMs, logsBytesMax: limits.logsBytesMax };
    const whole = clock.monotonic() >= wholeAt;
    try {
      const { events, pieces } = whole
        ? await store.prune({ ...logs, eventsBefore: now - limits.eventsMs })
        : { events: 0, pieces: await store.pruneLogs(logs) };
      if (whole) wholeAt = clock.monotonic() + wholeEveryMs;
      if (events + pieces > 0) logger.info({ events, pieces }, 'retention removed what was too old or too much');
    } catch (error) {
      logger.error({ err: error }, `retention failed: ${errorMessage(error)}`);
    }
    if (!closed) schedule();
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
