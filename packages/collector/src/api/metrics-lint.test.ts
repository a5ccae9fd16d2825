/** /metrics whatever hosts say: strictly right, and with no more series than hosts, workloads and what each may report. */
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { catalogue } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { findProgram } from '../../../../test/support/engine-install.ts';
import { FakeFleet, hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import { lintMetrics } from '../../../../test/support/metrics-lint.ts';
import { Bus } from '../bus.ts';
import type { StoredEvent, StoredIncident } from '../store/store.ts';
import { IncidentMetrics } from './incident-metrics.ts';
import { metricsText } from './metrics-text.ts';
import { fleetMetrics, processMetrics } from './metrics.ts';
import { ReadyMetrics } from './ready-metrics.ts';

const nasty = fc.oneof(fc.string(), fc.constantFrom('', 'a"b', String.raw`back\slash`, 'two\nlines', 'same', '{x="y"}', 'é 漢'));

const page = (hosts: readonly ReturnType<typeof hostRecord>[], bus: Bus = new Bus(), subscribe: (bus: Bus) => void = () => {}): string => {
  const fleet = new FakeFleet();
  fleet.put(...hosts);
  const store = new MemoryStore();
  const [ready, incidents] = [new ReadyMetrics(bus), new IncidentMetrics({ store, bus, clock: new ManualClock() })];
  subscribe(bus);
  return metricsText([...fleetMetrics(fleet, store), ...ready.families(), ...incidents.families(0), ...processMetrics('1.0.0')]);
};

const host = fc
  .record({
    name: nasty,
    conditions: fc.array(fc.record({ name: nasty, subject: nasty, severity: fc.constantFrom('warning' as const, 'error' as const) })),
    cards: fc.array(fc.record({ id: nasty, index: fc.nat(2), value: fc.double() })),
    workloads: fc.array(nasty),
  })
  .map(({ name, conditions, cards, workloads }) =>
    hostRecord(name, {
      conditions: conditions.map((condition) => ({ ...condition, since: 0, reason: 'r', advice: '' })),
      accelerators: cards.map(({ id, index, value }) => ({
        kind: 'gpu',
        index,
        id,
        model: 'm',
        health: 'ok',
        reason: '',
        action: '',
        metrics: { temperatureCelsius: value },
      })),
      workloads: workloads.map((workload) => workloadStatus(workload, { recoveries: { attempted: 2, succeeded: 1 } })),
    }),
  );

const ready: StoredEvent = {
  id: 1,
  at: 0,
  receivedAt: 0,
  host: 'a',
  workload: 'w',
  generation: 1,
  kind: 'workload.ready',
  severity: 'info',
  message: '',
  data: { timeToReadyMs: 1_200, stages: [{ stage: 'pull x', kind: 'pull', ms: 1_000 }] },
};

test('it stays right, whatever hosts, workloads, conditions and cards are called, also twice the same', () => {
  fc.assert(
    fc.property(fc.array(host, { maxLength: 4 }), (hosts) => {
      expect(lintMetrics(page(hosts, new Bus(), (bus) => bus.publish('events', [ready])))).toEqual([]);
    }),
    { numRuns: 150 },
  );
});

test('codes of incidents are those of the catalogue, and no others', () => {
  const closed = (code: string, id: string): StoredIncident =>
    ({
      host: 'a',
      incident: { id, code, level: 'process', closedAt: 1, byHand: false, timeToDetectMs: 1, timeToRecoverMs: 2 },
    }) as unknown as StoredIncident;
  const text = page([], new Bus(), (bus) => {
    for (let i = 0; i < 500; i += 1) bus.publish('incident', closed(`made-up "${i}"`, `i${i}`));
    for (const code of ['', 'gpu-lost', 'constructor']) bus.publish('incident', closed(code, `known ${code}`));
  });
  expect(lintMetrics(text)).toEqual([]);
  expect(catalogue).toHaveProperty('gpu-lost');
  expect(
    text
      .split('\n')
      .filter((line) => line.startsWith('relight_incidents_closed_total'))
      .toSorted(),
  ).toEqual([
    'relight_incidents_closed_total{code="gpu-lost",level="process"} 1',
    'relight_incidents_closed_total{code="other",level="process"} 501',
    'relight_incidents_closed_total{code="unknown",level="process"} 1',
  ]);
});

test.each([
  ['# HELP a_total A.\n# TYPE a_total counter\na_total 1\na_total 2\n', /twice/],
  ['# HELP a A.\n# TYPE a counter\na 1\n', /_total is for counters/],
  ['# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 1\n', /base unit/],
  ['# TYPE a gauge\na 1\n', /no HELP/],
  ['# HELP a A.\n# TYPE a gauge\nb 1\n', /not below its TYPE/],
  ['# HELP a A.\n# TYPE a gauge\na{x="a"b"} 1\n', /not a sample/],
  ['# HELP a A.\n# TYPE a gauge\na Infinity\n', /not a sample/],
  ['# HELP a A.\n# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n', /not whole/],
])('the judge finds fault with %j', (text, fault) => {
  expect(lintMetrics(text).join('\n')).toMatch(fault);
});

const promtool = findProgram('promtool');

test.skipIf(promtool === undefined)('promtool agrees', () => {
  const input = page([hostRecord('a"b', { workloads: [workloadStatus('w')] })], new Bus(), (bus) => bus.publish('events', [ready]));
  expect(execFileSync(promtool ?? '', ['check', 'metrics'], { input, encoding: 'utf8' })).toBe('');
});
