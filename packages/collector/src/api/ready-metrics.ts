/** How long it takes to become ready, in all and by stage, for /metrics: counted from the events `workload.ready` as they come. */
import * as z from 'zod';
import type { Bus } from '../bus.ts';
import { Histogram } from '../ingest/histogram.ts';
import type { MetricFamily } from './metrics-text.ts';

/** From one exec to a large image over a slow line. */
const secondBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_500];
/** There are about a dozen kinds; what an agent sends is not trusted to make more series than this. */
const kindsMax = 32;

const readyData = z.object({
  timeToReadyMs: z.number().nonnegative(),
  stages: z.array(z.object({ kind: z.string().regex(/^[a-z-]{1,32}$/), ms: z.number().nonnegative() })).catch([]),
});

export class ReadyMetrics {
  readonly #total = new Histogram(secondBuckets);
  readonly #stages = new Map<string, Histogram>();

  constructor(bus: Bus) {
    bus.subscribe('events', (events) => {
      for (const { kind, data } of events) if (kind === 'workload.ready') this.#take(data);
    });
  }

  #take(data: Readonly<Record<string, unknown>>): void {
    const { success, data: ready } = readyData.safeParse(data);
    if (!success) return;
    this.#total.observe(ready.timeToReadyMs / 1_000);
    for (const { kind, ms } of ready.stages) this.#stage(kind)?.observe(ms / 1_000);
  }

  #stage(kind: string): Histogram | undefined {
    const known = this.#stages.get(kind);
    if (known !== undefined || this.#stages.size >= kindsMax) return known;
    const histogram = new Histogram(secondBuckets);
    this.#stages.set(kind, histogram);
    return histogram;
  }

  families(): MetricFamily[] {
    return [
      {
        name: 'relight_time_to_ready_seconds',
        help: 'From the beginning of an attempt to ready.',
        type: 'histogram',
        samples: this.#total.samples(),
      },
      {
        name: 'relight_stage_seconds',
        help: 'Time spent in each kind of stage on the way to ready.',
        type: 'histogram',
        samples: [...this.#stages].flatMap(([stage, histogram]) =>
          histogram.samples().map((sample) => ({ ...sample, labels: { stage, ...sample.labels } })),
        ),
      },
    ];
  }
}
