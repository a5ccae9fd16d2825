import { expect, test } from 'vitest';
import { hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
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
