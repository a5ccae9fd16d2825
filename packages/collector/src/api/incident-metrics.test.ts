/** What is counted as it comes is what the store says, however it came there. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@relight/shared/manual-clock';
import type { Incident } from '@relight/shared/incident';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { exampleIncident } from '../../../../test/support/incidents.ts';
import { Bus } from '../bus.ts';
import { openStore, type SqliteStore } from '../store/sqlite-store.ts';
import { IncidentMetrics } from './incident-metrics.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

let clock: ManualClock;
let store: SqliteStore;
let bus: Bus;
let count = 0;

beforeEach(async () => {
  clock = new ManualClock();
  bus = new Bus();
  const dataDir = mkdtempSync(join(tmpdir(), 'relight-incident-metrics-'));
  store = await openStore({ dataDir, clock });
  onTestFinished(async () => {
    await store.close();
    rmSync(dataDir, { recursive: true });
  });
});

/** `from` and `to`: how long ago. */
function incident(from: number, to: number | null, more: Partial<Incident> = {}): Incident {
  count += 1;
  const closedAt = to === null ? null : clock.now() - to;
  const openedAt = clock.now() - from;
  const id = `20260101-000000-${String(count).padStart(6, '0')}`;
  return {
    ...exampleIncident(),
    id,
    revision: 1,
    openedAt,
    closedAt,
    timeToRecoverMs: closedAt === null ? null : 1,
    byHand: false,
    ...more,
  };
}

/** As the ingest does it. */
async function comes(host: string, ...all: readonly Incident[]): Promise<void> {
  for (const one of all) {
    const receivedAt = clock.now();
    const commit = await store.commitIncident(host, one, receivedAt);
    if (commit === null) continue;
    for (const closed of [...commit.superseded, { host, receivedAt, incident: one }]) bus.publish('incident', closed);
  }
}

async function started(turn?: () => Promise<unknown>): Promise<IncidentMetrics> {
  const metrics = new IncidentMetrics({ store, bus, clock, ...(turn === undefined ? {} : { turn }) });
  await metrics.loaded;
  return metrics;
}

const samplesOf = (metrics: IncidentMetrics, name: string) => metrics.families(clock.now()).find((family) => family.name === name)?.samples;

/** Everything read at once, as it is stored. */
function stored(): { open: number; ratio: number } {
  const recent = store.incidents({ since: clock.now() - day, limit: 10_000 }).filter(({ incident: { workload } }) => workload !== null);
  const alone = recent.filter(
    ({ incident: { closedAt, timeToRecoverMs, byHand } }) => closedAt !== null && timeToRecoverMs !== null && !byHand,
  );
  return {
    open: store.incidents({ open: true, limit: 10_000 }).length,
    ratio: recent.length === 0 ? 1 : alone.length / recent.length,
  };
}

function told(metrics: IncidentMetrics): { open: number; ratio: number } {
  const open = (samplesOf(metrics, 'relight_incidents_open') ?? []).reduce((sum, { value }) => sum + value, 0);
  return { open, ratio: samplesOf(metrics, 'relight_recovery_success_ratio')?.[0]?.value ?? NaN };
}

const some = (): readonly Incident[] => [
  incident(5 * hour, 4 * hour),
  incident(4 * hour, 3 * hour, { byHand: true }),
  incident(3 * hour, 2 * hour),
  incident(30 * hour, 20 * hour),
  incident(30 * hour, 28 * hour),
  incident(2 * hour, 1 * hour, { workload: null }),
  // The next two: the agent has lost its state, the store closes the first.
  incident(90 * minute, null, { workload: 'other' }),
  incident(80 * minute, null, { workload: 'other' }),
];

test('as it is stored at the start', async () => {
  await comes('a', ...some(), incident(9 * day, null, { workload: 'forgotten' }));
  const metrics = await started();
  expect(told(metrics)).toEqual(stored());
  expect(stored()).toEqual({ open: 2, ratio: 3 / 7 });
});

test('as it comes: closed, revised once more, superseded; and as a day goes by', async () => {
  const metrics = await started();
  expect(told(metrics)).toEqual({ open: 0, ratio: 1 });
  const open = incident(10 * minute, null, { workload: 'third' });
  await comes('a', ...some());
  await comes('b', ...some(), open);
  expect(told(metrics)).toEqual(stored());
  const closed = { ...open, revision: 2, closedAt: clock.now(), timeToRecoverMs: 5 };
  await comes('b', closed, { ...closed, revision: 3 });
  expect(told(metrics)).toEqual(stored());
  expect(samplesOf(metrics, 'relight_incidents_closed_total')).toMatchObject([{ value: 15 }]);
  for (let hours = 0; hours < 26; hours += 1) {
    // To the minute.
    clock.advance(hour + 2 * minute);
    expect([hours, told(metrics)]).toEqual([hours, stored()]);
  }
});

test('what comes while the stored ones are read, a slice at a time, is counted once; until then there is no sample', async () => {
  const known = Array.from({ length: 450 }, (_, index) =>
    incident(3 * hour - index, index % 3 === 0 ? null : hour, { workload: `w${index}` }),
  );
  for (const one of known) await store.commitIncident('a', one, clock.now());
  const revisions = known.flatMap((one) =>
    one.closedAt === null ? { ...one, revision: 2, closedAt: clock.now(), timeToRecoverMs: 5 } : [],
  );
  let turns = 0;
  const turn = async (): Promise<void> => {
    turns += 1;
    // The first one is asked for before there is anything to ask.
    await Promise.resolve();
    expect(samplesOf(metrics, 'relight_recovery_success_ratio')).toEqual([]);
    await comes('a', ...revisions.splice(0, 30));
  };
  // Each read takes long.
  const slow = { now: () => clock.now(), monotonic: () => (clock.advance(20), clock.monotonic()) };
  const metrics = new IncidentMetrics({ store, bus, clock: slow, turn });
  await metrics.loaded;
  expect(turns).toBe(5);
  expect(told(metrics)).toEqual(stored());
  expect(stored()).toEqual({ open: 0, ratio: 1 });
  // Told again after a restart of the agent, with a further revision.
  await comes('a', ...known.filter(({ closedAt }) => closedAt !== null).map((one) => ({ ...one, revision: 4 })));
  expect(told(metrics)).toEqual(stored());
});

test.each(['retention', 'a host that is forgotten'])('open ones that %s takes away are open no more', async (what) => {
  const metrics = await started();
  const left = incident(9 * day, null, { workload: 'left' });
  await comes('a', left);
  clock.advance(30 * day);
  await comes('a', ...some());
  await comes('b', incident(hour, null));
  expect(told(metrics)).toEqual(stored());
  const before = stored().open;
  if (what === 'retention') bus.publish('incidentsRemoved', await store.pruneOpenIncidents(clock.now() - 20 * day));
  else for (const closed of (await store.closeIncidents('a', clock.now())).closed) bus.publish('incident', closed);
  expect(told(metrics)).toEqual(stored());
  expect([before, stored().open]).toEqual([3, what === 'retention' ? 2 : 1]);
  // Late words of an agent that is back after all.
  await comes('a', { ...left, revision: 2 });
  expect(told(metrics).open).toBe(stored().open);
  await comes('a', { ...left, revision: 9 });
  expect(told(metrics).open).toBe(stored().open);
  await comes('a', { ...left, revision: 10, closedAt: clock.now(), timeToRecoverMs: 1 });
  expect(told(metrics).open).toBe(stored().open);
});

test('a store that cannot be read leaves both gauges without a sample, and ends nothing', async () => {
  const fails = (): never => {
    throw new Error('disk I/O error');
  };
  const metrics = new IncidentMetrics({ store: { incidentPositions: fails, incidentOutcomes: fails }, bus, clock });
  await metrics.loaded;
  await comes('a', incident(hour, 0));
  expect(samplesOf(metrics, 'relight_incidents_open')).toEqual([]);
  expect(samplesOf(metrics, 'relight_incidents_closed_total')).toMatchObject([{ value: 1 }]);
});
