import { ManualClock } from '@relight/shared/manual-clock';
import { RelightError } from '@relight/shared/errors';
import { expect, test } from 'vitest';
import { Allowances, metered } from './allowances.ts';
import type { SessionDeps } from './session.ts';

type Store = SessionDeps['store'];

const burstBytes = 10_000;
const limits = { burstBytes, bytesPerSecond: 100 };
const event = { seq: 1, at: 1, kind: 'check.failed', severity: 'info', message: 'm', data: {} } as const;

function world(commitEvents: Store['commitEvents']) {
  const clock = new ManualClock();
  const warnings: string[] = [];
  const allowances = new Allowances({ clock, limits, warn: (message) => void warnings.push(message) });
  const store = metered({ commitEvents } as Store, allowances);
  const commit = () => store.commitEvents('agent', 'h', 'epoch', [event], 1);
  return { allowances, clock, commit, warnings };
}

test('what a full disk of the collector refuses, again and again, uses up nothing of what a host has', async () => {
  const { allowances, clock, commit, warnings } = world(() => Promise.reject(new RelightError('store-failed', 'the disk is full')));
  for (let attempt = 0; attempt < 1_000; attempt += 1) {
    await expect(commit()).rejects.toMatchObject({ code: 'store-failed' });
    clock.advance(1_000);
  }
  expect([...allowances.spent()]).toEqual([]);
  expect(warnings).toEqual([]);
});

test('who has nothing left waits, is named once, and is taken as fast as it comes back', async () => {
  let stored = 0;
  const { allowances, clock, commit, warnings } = world(() => Promise.resolve({ seq: (stored += 1), stored: [] }));
  const attempts = Array.from({ length: 1_000 }, commit);
  const refused = (await Promise.allSettled(attempts)).filter(({ status }) => status === 'rejected');
  expect(stored).toBeLessThan(100);
  expect(refused).toHaveLength(1_000 - stored);
  expect([...allowances.spent()]).toEqual(['h']);
  expect(warnings).toEqual([expect.stringMatching(/^h sends more/)]);
  clock.advance(10_000);
  await expect(commit()).resolves.toMatchObject({ stored: [] });
  clock.advance(200_000);
  allowances.forget();
  expect([...allowances.spent()]).toEqual([]);
});

test('a segment that begins with a hole costs as much as one that begins with a block; a hole further on what it says', async () => {
  const done = { committed: 1, stored: true, rewind: false };
  const taken = async (from: number): Promise<number> => {
    const clock = new ManualClock();
    const allowances = new Allowances({ clock, limits, warn: () => undefined });
    const store = metered({ commitGap: async () => done } as Partial<Store> as Store, allowances);
    const gap = (run: number) => ({ segment: { workload: 'w', generation: 1, source: 'process', run: `${run}` }, from, to: from + 1 });
    const commits = Array.from({ length: 1_000 }, (_, run) =>
      store.commitGap('agent', 'h', { type: 'gap', ...gap(run), reason: 'r', at: 1 }, 1),
    );
    return (await Promise.allSettled(commits)).filter(({ status }) => status === 'fulfilled').length;
  };
  expect(await taken(0)).toBe(3);
  expect(await taken(1)).toBeGreaterThan(20);
});

test('whoever had to wait is held back until he has not for ten minutes, and counted by the hosts, not by their names', async () => {
  const { allowances, clock, commit } = world(() => Promise.resolve({ seq: 1, stored: [] }));
  const sample = (name: string) => allowances.families().find((family) => family.name === name)?.samples;
  expect(sample('relight_ingest_held_back_hosts')).toEqual([{ value: 0 }]);
  const flood = async () =>
    (await Promise.allSettled(Array.from({ length: 1_000 }, commit))).filter(({ status }) => status === 'rejected').length;
  const since = clock.now();
  let refused = await flood();
  clock.advance(9 * 60_000);
  refused += await flood();
  clock.advance(9 * 60_000);
  allowances.forget();
  expect(allowances.heldBack('h', clock.monotonic())).toMatchObject({ since });
  expect([...allowances.heldBackHosts()]).toEqual(['h']);
  expect(sample('relight_ingest_held_back_hosts')).toEqual([{ value: 1 }]);
  clock.advance(60_000);
  expect(allowances.heldBack('h', clock.monotonic())).toBeNull();
  expect(sample('relight_ingest_held_back_hosts')).toEqual([{ value: 0 }]);
  expect(sample('relight_ingest_held_back_total')).toEqual([{ value: refused }]);
  allowances.forget();
  expect([...allowances.heldBackHosts()]).toEqual([]);
  await flood();
  expect(allowances.heldBack('h', clock.monotonic())).toMatchObject({ since: clock.now() });
});
