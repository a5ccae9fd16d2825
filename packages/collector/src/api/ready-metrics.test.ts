import { expect, test } from 'vitest';
import { Bus } from '../bus.ts';
import type { StoredEvent } from '../store/store.ts';
import { metricsText } from './metrics-text.ts';
import { ReadyMetrics } from './ready-metrics.ts';

const event = (kind: StoredEvent['kind'], data: Record<string, unknown>): StoredEvent => ({
  id: 1,
  at: 0,
  receivedAt: 0,
  host: 'a',
  workload: 'w',
  generation: 1,
  kind,
  severity: 'info',
  message: '',
  data,
});

test('the time to ready is counted in all and for each kind of stage; what is not understood is left out', () => {
  const bus = new Bus();
  const metrics = new ReadyMetrics(bus);
  const stages = [
    { stage: 'pull ray:latest', kind: 'pull', ms: 4_000 },
    { stage: 'setup 1/1: x', kind: 'setup', ms: 100 },
  ];
  bus.publish('events', [
    event('workload.ready', { timeToReadyMs: 4_200, stages }),
    event('workload.ready', { timeToReadyMs: 80, stages: [{ stage: 'from an older agent', ms: 1 }] }),
    event('workload.ready', { timeToReadyMs: 'soon' }),
    event('workload.degraded', { timeToReadyMs: 1 }),
  ]);
  const lines = metricsText(metrics.families()).split('\n');
  expect(lines).toEqual(expect.arrayContaining(['relight_time_to_ready_seconds_count 2', 'relight_time_to_ready_seconds_sum 4.28']));
  expect(lines).toEqual(
    expect.arrayContaining(['relight_stage_seconds_sum{stage="pull"} 4', 'relight_stage_seconds_bucket{stage="setup",le="0.1"} 1']),
  );
  expect(lines.filter((line) => line.startsWith('relight_stage_seconds_count'))).toHaveLength(2);
});

test('an agent cannot make series without end', () => {
  const bus = new Bus();
  const metrics = new ReadyMetrics(bus);
  const stages = Array.from({ length: 100 }, (_, i) => ({ kind: letters(i), ms: 1 }));
  bus.publish('events', [event('workload.ready', { timeToReadyMs: 1, stages })]);
  expect(metricsText(metrics.families()).match(/relight_stage_seconds_count/g)).toHaveLength(32);
});

const letters = (n: number): string => `k${String.fromCodePoint(97 + Math.floor(n / 26), 97 + (n % 26))}`;
