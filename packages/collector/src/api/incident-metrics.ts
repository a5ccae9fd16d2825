/** What becomes of incidents, for /metrics: how many, of which cause, how fast they were noticed and mended, by whom. */
import { catalogue } from '@relight/shared/errors';
import type { Incident } from '@relight/shared/incident';
import type { Bus } from '../bus.ts';
import { Histogram } from '../ingest/histogram.ts';
import type { Store, StoredIncident } from '../store/store.ts';
import type { MetricFamily } from './metrics-text.ts';

const secondBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3_600];
/** Of incidents that have just been closed: later revisions of them are not counted again. */
const rememberedMax = 10_000;
const dayMs = 86_400_000;
const openMax = 100_000;

export class IncidentMetrics {
  readonly #store: Pick<Store, 'incidents'>;
  readonly #counted = new Set<string>();
  readonly #closed = new Map<string, number>();
  readonly #byHand = { yes: 0, no: 0 };
  readonly #detect = new Histogram(secondBuckets);
  readonly #recover = new Histogram(secondBuckets);

  constructor(store: Pick<Store, 'incidents'>, bus: Bus) {
    this.#store = store;
    bus.subscribe('incident', (stored) => this.#take(stored));
  }

  families(now: number): MetricFamily[] {
    const open = this.#store.incidents({ open: true, limit: openMax });
    return [
      { name: 'relight_incidents_open', help: 'Incidents that are not over, by code of the cause.', type: 'gauge', samples: byCode(open) },
      {
        name: 'relight_incidents_closed_total',
        help: 'Incidents that are over, by code and level of the cause.',
        type: 'counter',
        samples: [...this.#closed].map(([key, value]) => {
          const [code = '', level = ''] = key.split(' ');
          return { labels: { code, level }, value };
        }),
      },
      {
        name: 'relight_recoveries_total',
        help: 'Incidents that are over, by whether a person acted meanwhile.',
        type: 'counter',
        samples: Object.entries(this.#byHand).map(([hand, value]) => ({ labels: { hand }, value })),
      },
      {
        name: 'relight_recovery_success_ratio',
        help: 'Of the incidents of the last 24 h: the share that is over without a person. 1 when there were none.',
        type: 'gauge',
        samples: [{ value: this.#successRatio(now) }],
      },
      {
        name: 'relight_incident_detection_seconds',
        help: 'From the failure to its being noticed.',
        type: 'histogram',
        samples: this.#detect.samples(),
      },
      {
        name: 'relight_incident_recovery_seconds',
        help: 'From the failure to ready.',
        type: 'histogram',
        samples: this.#recover.samples(),
      },
    ];
  }

  #take({ host, incident }: StoredIncident): void {
    const key = `${host}/${incident.id}`;
    if (incident.closedAt === null || this.#counted.has(key)) return;
    this.#counted.add(key);
    const oldest = this.#counted.size > rememberedMax ? this.#counted.values().next().value : undefined;
    if (oldest !== undefined) this.#counted.delete(oldest);
    const cause = `${codeLabel(incident.code)} ${incident.level}`;
    this.#closed.set(cause, (this.#closed.get(cause) ?? 0) + 1);
    this.#byHand[incident.byHand ? 'yes' : 'no'] += 1;
    this.#detect.observe(incident.timeToDetectMs / 1_000);
    if (incident.timeToRecoverMs !== null) this.#recover.observe(incident.timeToRecoverMs / 1_000);
  }

  #successRatio(now: number): number {
    const recent = this.#store.incidents({ since: now - dayMs, limit: openMax }).filter(({ incident }) => incident.workload !== null);
    if (recent.length === 0) return 1;
    return recent.filter(({ incident }) => mendedAlone(incident)).length / recent.length;
  }
}

/** One of the catalogue: a newer agent may know more, and none can make series without end. */
const codeLabel = (code: string): string => (code === '' ? 'unknown' : Object.hasOwn(catalogue, code) ? code : 'other');

const mendedAlone = ({ closedAt, timeToRecoverMs, byHand }: Incident): boolean => closedAt !== null && timeToRecoverMs !== null && !byHand;

function byCode(open: readonly StoredIncident[]): MetricFamily['samples'] {
  const counts = new Map<string, number>();
  for (const { incident } of open) {
    const code = codeLabel(incident.code);
    counts.set(code, (counts.get(code) ?? 0) + 1);
  }
  return [...counts].map(([code, value]) => ({ labels: { code }, value }));
}
