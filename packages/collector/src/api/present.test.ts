import { expect, test } from 'vitest';
import { hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import { agentSample } from '../ingest/host-record.ts';
import type { HostRecord } from '../store/store.ts';
import { presentHost } from './present.ts';

test('every time is ISO-8601, also the one of the metrics', () => {
  const metrics = { at: Date.UTC(2026, 0, 2, 3, 4, 5, 6), load1: 1, disks: [] };
  expect(presentHost({ ...hostRecord('a'), metrics }, 0).metrics).toEqual({ ...metrics, at: '2026-01-02T03:04:05.006Z' });
});

const agent = {
  at: 5,
  receivedAt: 10,
  oldestEventMs: 200,
  oldestLogMs: 3_000,
  eventBytes: 1,
  eventBytesMax: 10,
  logBytes: 30,
  logBytesMax: 40,
};

test('how far behind a host is: as its agent says while it is connected, and since it was heard when it is not', () => {
  const connected = presentHost(hostRecord('a', { agent, lastSeenAt: 1_000 }), 5_000).delivery;
  expect(connected).toEqual({
    lagMs: 3_000,
    outbox: { bytes: 31, bytesMax: 50, share: 0.75 },
    gaps: { count: 0, lines: 0, bytes: 0, lastAt: null, lastReason: null },
  });
  expect(presentHost(hostRecord('a', { agent, lastSeenAt: 1_000, state: 'dead' }), 65_000).delivery?.lagMs).toBe(64_000);
  expect(presentHost(hostRecord('a', { agent: null }), 5_000).delivery).toMatchObject({ lagMs: null, outbox: null });
  expect(presentHost(hostRecord('a', { state: 'expected', lastSeenAt: null }), 5_000).delivery?.lagMs).toBeNull();
});

test('what has waited and becomes less is being caught up with, at a rate; what becomes more is not', () => {
  const waiting = (at: number, oldestLogMs: number, sentBytes: number) => ({ ...agent, at, oldestLogMs, sentBytes });
  const shown = (before: Parameters<typeof agentSample>[0], sent: ReturnType<typeof waiting>, state: HostRecord['state'] = 'connected') =>
    presentHost(hostRecord('a', { agent: agentSample(before, sent, 1), lastSeenAt: 1, state }), 1);
  const first = agentSample(null, waiting(0, 600_000, 0), 0);
  // Just connected: it has begun to go.
  expect(shown(null, waiting(0, 600_000, 0)).delivery?.catchingUp).toEqual({ bytesPerSecond: null, leftMs: null });
  // A hundred seconds of what waits went in ten, fifty more would do for the rest.
  expect(shown(first, waiting(10_000, 500_000, 10_000_000))).toMatchObject({
    agent: { oldestLogMs: 500_000 },
    delivery: { lagMs: 500_000, catchingUp: { bytesPerSecond: 1_000_000, leftMs: 50_000 } },
  });
  for (const sample of [waiting(10_000, 610_000, 0), waiting(10_000, 605_000, 5_000), waiting(10_000, 9_000, 1)])
    expect(shown(first, sample).delivery).not.toHaveProperty('catchingUp');
  expect(shown(first, waiting(10_000, 500_000, 1), 'suspect').delivery).not.toHaveProperty('catchingUp');
  expect(shown(first, waiting(10_000, 500_000, 1)).agent).not.toHaveProperty('catchingUp');
});

test('holes in the logs of a host, with the last reason', () => {
  const gaps = { count: 2, lines: 40, bytes: 5_120, lastAt: 0, lastReason: 'rate-limit' };
  expect(presentHost(hostRecord('a', { gaps }), 1).delivery?.gaps).toEqual({ ...gaps, lastAt: '1970-01-01T00:00:00.000Z' });
});

test.each([8.64e15 + 1, -8.64e15 - 1, 1e308, Number.MAX_SAFE_INTEGER])('a host whose clock says %d is shown all the same', (at) => {
  const host = presentHost({ ...hostRecord('a'), metrics: { at, disks: [] } }, 0);
  expect(host.metrics?.at).toBe(at > 0 ? '+275760-09-13T00:00:00.000Z' : '-271821-04-20T00:00:00.000Z');
});

test.each([
  ['connected', true],
  ['suspect', true],
  ['disconnected', true],
  ['stopped', false],
  ['dead', false],
  ['unknown', false],
  ['rebooting', false],
] as const)('a workload of a host that is %s is watched: %s', (state, watched) => {
  expect(presentHost(hostRecord('a', { state, workloads: [workloadStatus('w')] }), 1).workloads).toMatchObject([
    { watched, phase: 'ready' },
  ]);
});
