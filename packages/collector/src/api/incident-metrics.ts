/** What becomes of incidents, for /metrics: how many, of which cause, how fast they were noticed and mended, by whom. */
import { catalogue } from '@relight/shared/errors';
import type { Clock } from '@relight/shared/clock';
import { setImmediate } from 'node:timers/promises';
import type { Bus } from '../bus.ts';
import { Histogram } from '../ingest/histogram.ts';
import { outcomeOf } from '../store/incident-store.ts';
import type { IncidentOutcome, Store, StoredIncident } from '../store/store.ts';
import { IncidentWindow } from './incident-window.ts';
import type { MetricFamily } from './metrics-text.ts';

const secondBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3_600];
/** Of incidents that have just been closed: later revisions of them are not counted again. */
const rememberedMax = 10_000;

/** What those that have ended within a day were opened within: of one that lasted longer and ended before this start nobody knows. */
const knownMs = 2 * 86_400_000;
const loadedAtOnce = 100;
/** Everything else has its turn after this much work. */
const sliceMs = 10;

export interface IncidentMetricsDeps {
  readonly store: Pick<Store, 'incidentPositions' | 'incidentOutcomes'>;
  readonly bus: Bus;
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
  /** Resolves when everything that waits has had its turn. */
  readonly turn?: () => Promise<unknown>;
}

/** What is stored is read once, in slices; from then on each incident is counted as it comes. */
export class IncidentMetrics {
  readonly #deps: IncidentMetricsDeps;
  readonly #window = new IncidentWindow();
  readonly #counted = new Set<string>();
  readonly #closed = new Map<string, number>();
  readonly #byHand = { yes: 0, no: 0 };
  readonly #detect = new Histogram(secondBuckets);
  readonly #recover = new Histogram(secondBuckets);
  /** Those that came while what is stored was being read: they are known better than it says. Null: it is read. */
  #heard: Set<string> | null = new Set();
  /** Settles when what is stored is known, or cannot be read. */
  readonly loaded: Promise<void>;

  constructor(deps: IncidentMetricsDeps) {
    this.#deps = deps;
    deps.bus.subscribe('incident', (stored) => this.#take(stored));
    deps.bus.subscribe('incidentsRemoved', (removed) => {
      for (const gone of removed) this.#window.remove(gone);
    });
    // A store that cannot be read, or is closed meanwhile: what comes is counted all the same, and the two gauges have no sample.
    this.loaded = this.#load().catch(() => undefined);
  }

  families(now: number): MetricFamily[] {
    const known = this.#heard === null;
    return [
      {
        name: 'relight_incidents_open',
        help: 'Incidents that are not over, by code of the cause.',
        type: 'gauge',
        samples: known ? byCode(this.#window.openCodes()) : [],
      },
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
        samples: known ? [{ value: this.#window.successRatio(now) }] : [],
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

  #take(stored: StoredIncident): void {
    const { incident } = stored;
    const outcome = outcomeOf(stored);
    const key = keyOf(outcome);
    this.#heard?.add(key);
    if (incident.closedAt !== null && this.#counted.has(key)) {
      // It may have come once more as open: its host was forgotten, which closed it, and its agent is back.
      this.#window.remove(outcome);
      return;
    }
    this.#window.put(outcome);
    if (incident.closedAt === null) return;
    this.#remember(key);
    const cause = `${codeLabel(incident.code)} ${incident.level}`;
    this.#closed.set(cause, (this.#closed.get(cause) ?? 0) + 1);
    this.#byHand[incident.byHand ? 'yes' : 'no'] += 1;
    this.#detect.observe(incident.timeToDetectMs / 1_000);
    if (incident.timeToRecoverMs !== null) this.#recover.observe(incident.timeToRecoverMs / 1_000);
  }

  #remember(key: string): void {
    this.#counted.add(key);
    const oldest = this.#counted.size > rememberedMax ? this.#counted.values().next().value : undefined;
    if (oldest !== undefined) this.#counted.delete(oldest);
  }

  async #load(): Promise<void> {
    const { store, clock, turn = setImmediate } = this.#deps;
    const positions = store.incidentPositions(clock.now() - knownMs);
    let began = clock.monotonic();
    for (let at = 0; at < positions.length; at += loadedAtOnce) {
      for (const outcome of store.incidentOutcomes(positions.slice(at, at + loadedAtOnce))) {
        const key = keyOf(outcome);
        if (this.#heard?.has(key) === true) continue;
        this.#window.put(outcome);
        if (outcome.closedAt !== null) this.#remember(key);
      }
      if (clock.monotonic() - began < sliceMs) continue;
      await turn();
      began = clock.monotonic();
    }
    this.#heard = null;
  }
}

const keyOf = ({ host, id }: Pick<IncidentOutcome, 'host' | 'id'>): string => `${host}/${id}`;

/** One of the catalogue: a newer agent may know more, and none can make series without end. */
const codeLabel = (code: string): string => (code === '' ? 'unknown' : Object.hasOwn(catalogue, code) ? code : 'other');

function byCode(open: Iterable<string>): MetricFamily['samples'] {
  const counts = new Map<string, number>();
  for (const code of open) {
    const label = codeLabel(code);
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].map(([code, value]) => ({ labels: { code }, value }));
}
