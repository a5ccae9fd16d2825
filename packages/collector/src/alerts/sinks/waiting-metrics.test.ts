import { expect, test } from 'vitest';
import { MemoryStore } from '../../../../../test/support/memory-store.ts';
import type { AlertRecord } from '../../store/store.ts';
import { waitingMetrics } from './waiting-metrics.ts';

const alert: AlertRecord = {
  id: 'HostDead:a:1',
  rule: 'HostDead',
  severity: 'critical',
  host: 'a',
  workload: null,
  state: 'firing',
  startsAt: 0,
  endsAt: null,
  summary: 'a is silent',
  labels: {},
  data: {},
};
const sinks = [
  { name: 'https://hooks.example/services/secret', url: 'https://hooks.example/services/secret?token=secret' },
  { name: 'http://alerts.example:9095/hook', url: 'http://alerts.example:9095/hook' },
];

test('the oldest that a sink has not taken has its age, by position and host, without what may be secret', async () => {
  const store = new MemoryStore();
  await store.putAlerts([alert], [{ sink: sinks[0]?.name ?? '', body: '1' }], 10_000);
  await store.putAlerts([alert], [{ sink: sinks[0]?.name ?? '', body: '2' }], 30_000);
  const [family] = waitingMetrics(store, sinks, 70_500);
  expect(family?.samples).toEqual([
    { labels: { sink: '1', receiver: 'hooks.example' }, value: 60.5 },
    { labels: { sink: '2', receiver: 'alerts.example:9095' }, value: 0 },
  ]);
  expect(JSON.stringify(family)).not.toContain('secret');
  expect(waitingMetrics(store, sinks, 0)[0]?.samples[0]?.value).toBe(0);
});
