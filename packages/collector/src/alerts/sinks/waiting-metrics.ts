/** How long notifications have been waiting, for /metrics: an alert that nobody is told of is worse than none. */
import type { MetricFamily } from '../../api/metrics-text.ts';
import type { Store } from '../../store/store.ts';

export interface WaitingSink {
  /** Of its queue in the store. */
  readonly name: string;
  readonly url: string;
}

/**
 * Seconds of the oldest of each sink; 0: nothing waits. Sinks go by their position in the configuration, counted from 1, and their
 * host: the path and query of a URL may be all that is secret about it, and whoever sees a graph need not know them.
 */
export function waitingMetrics(store: Pick<Store, 'pendingNotifications'>, sinks: readonly WaitingSink[], now: number): MetricFamily[] {
  return [
    {
      name: 'relight_notification_oldest_waiting_seconds',
      help: 'Age of the oldest notification that its sink has not taken yet; 0 when none waits.',
      type: 'gauge',
      samples: sinks.map(({ name, url }, index) => {
        const oldest = store.pendingNotifications(1, name)[0];
        // The wall clock may have been set back meanwhile.
        const age = oldest === undefined ? 0 : Math.max(0, now - oldest.createdAt) / 1_000;
        return { labels: { sink: String(index + 1), receiver: new URL(url).host }, value: age };
      }),
    },
  ];
}
