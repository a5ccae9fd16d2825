/** Retention, once an hour. A failure is reported and tried again an hour later; the store grows meanwhile, nothing breaks. */
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { RetentionConfig } from './config.ts';
import type { Store } from './store/store.ts';

const everyMs = 3_600_000;
/** Not in the first moments, when the whole fleet comes back. */
const firstMs = 300_000;

export interface RetentionDeps {
  readonly store: Pick<Store, 'prune'>;
  readonly clock: Clock;
  readonly limits: RetentionConfig;
  readonly logger: { info(data: object, message: string): void; error(data: object, message: string): void };
}

export function startRetention({ store, clock, limits, logger }: RetentionDeps): { close(): Promise<void> } {
  let work: Promise<void> = Promise.resolve();
  let timer: Timer;
  let closed = false;
  const prune = async (): Promise<void> => {
    const now = clock.now();
    try {
      const { events, pieces } = await store.prune({
        eventsBefore: now - limits.eventsMs,
        logsBefore: now - limits.logsMs,
        logsBytesMax: limits.logsBytesMax,
      });
      if (events + pieces > 0) logger.info({ events, pieces }, 'retention removed what was too old or too much');
    } catch (error) {
      logger.error({ err: error }, `retention failed: ${errorMessage(error)}`);
    }
    if (!closed) schedule(everyMs);
  };
  const schedule = (ms: number): void => {
    timer = clock.after(ms, () => {
      work = prune();
    });
  };
  schedule(firstMs);
  return {
    async close() {
      closed = true;
      timer.cancel();
      await work;
    },
  };
}
