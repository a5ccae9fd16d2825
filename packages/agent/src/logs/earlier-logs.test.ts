import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ModelCollector } from '../../../../test/support/model-collector.ts';
import { openBelow } from '../../../../test/support/open-descriptors.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import { createRunFiles, makeRunDirectory, runDirectoryOf, runRootOf, segmentOfBase } from '../stages/run-files.ts';
import type { RunHandle, RunRef } from '../supervisor/op.ts';
import { formatRunId } from '../supervisor/run-id.ts';
import { EarlierLogs } from './earlier-logs.ts';
import { FollowingShipper } from './following-shipper.ts';
import type { SegmentFile } from './log-shipper.ts';

const run = (n: number): RunRef => ({
  runId: formatRunId({ owner: 'owner', workload: 'w', generation: 1, n, kind: 'process', name: '' }),
  kind: 'process',
  name: '',
});
const container = { id: 'c', pid: 7, labels: {} } as ContainerFacts;

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'relight-earlier-'));
});
afterEach(() => {
  rmSync(stateDir, { recursive: true });
});

function world(list: () => Promise<RunHandle[]>) {
  const runRoot = runRootOf(stateDir);
  const ids = [run(1), run(2)].map((ref) => {
    const { base, log } = createRunFiles(runRoot, ref);
    writeFileSync(log, 'line\n');
    return segmentId(segmentOfBase(ref, base));
  });
  const calls = { follow: [] as string[], finish: [] as string[], warn: 0 };
  const logs = new EarlierLogs({
    runRoot,
    runs: { list },
    shipper: {
      follow: ({ key }) => void calls.follow.push(segmentId(key)),
      finish: (key) => void calls.finish.push(segmentId(key)),
      segments: () => [],
    },
    logger: { warn: () => void (calls.warn += 1) },
  });
  return { logs, calls, ids };
}

it('follows all that is there, and finishes once what no run writes any more', async () => {
  const { logs, calls, ids } = world(() => Promise.resolve([{ ...run(2), pid: 9 } as RunHandle]));
  logs.follow();
  expect(calls.follow.toSorted()).toEqual(ids.toSorted());
  await logs.observed([container]);
  await logs.observed([container]);
  expect(calls.finish).toEqual([ids[0]]);
});

it('finishes nothing while it cannot be told what still runs, and asks again', async () => {
  let answers = false;
  const { logs, calls, ids } = world(() => (answers ? Promise.resolve([]) : Promise.reject(new Error('grep cannot be started'))));
  logs.follow();
  await logs.observed([container]);
  expect(calls).toMatchObject({ finish: [], warn: 1 });
  answers = true;
  await logs.observed([container]);
  expect(calls.finish.toSorted()).toEqual(ids.toSorted());
});

/** Ten runs of one source, of which three are followed at once, and a collector. */
function multitude(alive: readonly RunHandle[]) {
  const runRoot = runRootOf(stateDir);
  for (let n = 1; n <= 10; n += 1) writeFileSync(createRunFiles(runRoot, run(n)).log, `line of ${n}\n`);
  const clock = new ManualClock();
  const collector = new ModelCollector();
  const said: unknown[] = [];
  const logger = { info: () => undefined, warn: (data: unknown) => void said.push(data), error: (data: unknown) => void said.push(data) };
  const shipper = new FollowingShipper({ directory: join(stateDir, 'logs'), clock, logger, delivering: true, rateLimit: () => null });
  const logs = new EarlierLogs({ runRoot, runs: { list: () => Promise.resolve([...alive]) }, shipper, logger, followedMax: 3 });
  const sent: string[] = [];
  const deliver = (): void => {
    for (let frame = shipper.nextFrame(); frame !== null; frame = shipper.nextFrame()) {
      if (frame.kind !== 'block') throw new Error('a gap');
      sent.push(frame.block.header.segment.run);
      for (const { segment, offset, rewind } of collector.takeBlock(frame.block).segments) shipper.committed(segment, offset, rewind);
    }
  };
  return { runRoot, clock, said, shipper, logs, sent, deliver };
}

it('follows so many at once that are delivered, the oldest first, and in the end all of a multitude', async () => {
  const { runRoot, clock, said, shipper, logs, sent, deliver } = multitude([{ ...run(10), pid: 9 } as RunHandle]);
  const followed = (): string[] => shipper.segments().map(({ run: name }) => name);
  const look = async (): Promise<void> => {
    await logs.observed([container]);
    clock.advance(10_000);
    expect(openBelow(runRoot)).toBeLessThanOrEqual(3);
  };
  logs.follow();
  expect(said).toEqual([{ waiting: 7 }]);
  // The collector is away.
  await look();
  await look();
  expect(followed()).toEqual(['1', '2', '3']);
  shipper.resume([]);
  for (let looks = 0; looks < 5; looks += 1) {
    deliver();
    await look();
    // While any is left, it shows that something waits.
    expect(shipper.lagBytes() > 0).toBe(sent.length < 9);
  }
  // Whoever found the tenth alive follows it.
  expect(sent).toEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9']);
  shipper.close();
});

it('of a multitude the log of the newest run stays for a look on the spot, which was followed before older ones', async () => {
  const { runRoot, clock, shipper, logs, sent, deliver } = multitude([]);
  logs.follow();
  await logs.observed([]);
  const files = createRunFiles(runRoot, run(11));
  shipper.follow({ key: files.segment, path: files.log, format: 'raw' });
  writeFileSync(files.log, 'line of 11\n');
  shipper.resume([]);
  for (let looks = 0; looks < 10; looks += 1) {
    deliver();
    if (looks === 8) shipper.finish(files.segment);
    await logs.observed([]);
    clock.advance(10_000);
  }
  expect(sent).toHaveLength(11);
  clock.advance(120_000);
  expect(readdirSync(runDirectoryOf(runRoot, 'w', 1)).filter((name) => name.endsWith('.log'))).toEqual(['11.process.log']);
  shipper.close();
});

it('of several containers the older come first, each run once, and none that this agent runs itself', async () => {
  const runRoot = runRootOf(stateDir);
  const key = (generation: number, n: number): SegmentKey => ({ workload: 'w', generation, source: 'process', run: String(n) });
  for (const generation of [1, 2, 3, 4]) {
    const directory = makeRunDirectory(runRoot, 'w', generation);
    for (const n of [11, 2]) writeFileSync(join(directory, `${n}.process.log`), '');
  }
  const followed: SegmentFile[] = [];
  const finished: string[] = [];
  const others: SegmentKey[] = [];
  const shipper = {
    follow: (file: SegmentFile) => void followed.push(file),
    finish: (of: SegmentKey) => void finished.push(segmentId(of)),
    // Each but the last is delivered by the next look.
    segments: () => [...others, ...followed.slice(-1).map((file) => file.key)],
  };
  const logs = new EarlierLogs({
    runRoot,
    runs: { list: () => Promise.resolve([]) },
    shipper,
    logger: { warn: () => undefined },
    followedMax: 2,
  });
  logs.follow();
  // A run of this agent in one of the older directories, and one in the newest.
  for (const generation of [2, 4]) writeFileSync(join(runDirectoryOf(runRoot, 'w', generation), '12.process.log'), '');
  others.push(key(2, 12), key(4, 12));
  for (let looks = 0; looks < 10; looks += 1) await logs.observed([]);
  const all = [1, 2, 3, 4].flatMap((generation) => [2, 11].map((n) => segmentId(key(generation, n))));
  expect(followed.map((file) => segmentId(file.key))).toEqual(all);
  expect(finished).toEqual(all);
  const orders = followed.map(({ order = 0 }) => order);
  expect(orders).toEqual(orders.toSorted((a, b) => a - b));
  expect(Math.max(...orders)).toBeLessThan(0);
});

it('what was found before a directory that cannot be read is followed; that one is told once, and tried again', async () => {
  const runRoot = runRootOf(stateDir);
  const fill = (generation: number): void => {
    const directory = makeRunDirectory(runRoot, 'w', generation);
    writeFileSync(join(directory, '1.process.log'), '');
  };
  for (const generation of [1, 2, 3, 4]) fill(generation);
  const followed: number[] = [];
  const warned: unknown[] = [];
  let held: SegmentKey[] = [];
  const logs = new EarlierLogs({
    runRoot,
    runs: { list: () => Promise.resolve([]) },
    shipper: {
      follow: ({ key }: SegmentFile) => {
        followed.push(key.generation);
        held = [key];
      },
      finish: () => undefined,
      segments: () => held,
    },
    logger: { warn: (...words: unknown[]) => void warned.push(words) },
    followedMax: 1,
  });
  logs.follow();
  warned.length = 0;
  // A directory that leads to itself: ELOOP, as good as the EIO of a disk that fails.
  const second = runDirectoryOf(runRoot, 'w', 2);
  rmSync(second, { recursive: true });
  symlinkSync(second, second);
  for (let looks = 0; looks < 3; looks += 1) {
    held = [];
    await logs.observed([]);
  }
  expect(followed).toEqual([1]);
  expect(warned).toEqual([[{ workload: 'w', reason: expect.stringContaining('ELOOP') as string }, expect.any(String)]]);
  rmSync(second);
  fill(2);
  for (let looks = 0; looks < 3; looks += 1) {
    held = [];
    await logs.observed([]);
  }
  expect(followed).toEqual([1, 2, 3, 4]);
});

it('follows two thousand of a multitude that a container has made, and says so', () => {
  const { logs, calls } = world(() => Promise.resolve([]));
  const directory = runDirectoryOf(runRootOf(stateDir), 'w', 1);
  for (let n = 0; n < 2_500; n += 1) writeFileSync(join(directory, `1.process-${n}.log`), '');
  logs.follow();
  expect(calls.follow).toHaveLength(2_000);
  expect(calls.warn).toBe(1);
});
