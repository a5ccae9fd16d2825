/**
 * A host with thousands of log segments: a process that ended again and again while the collector was away, or as many files of `logs.files`.
 *
 *   npm run bench -- segments [SEGMENTS]
 *
 * CPU of the one thread that does it, beside a floor that does nothing but what cannot be left out, in the same run.
 */
import { closeSync, fstatSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, watch, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { FollowingShipper } from '@relight/agent/logs/following-shipper';
import { lastEntries, newestPlace } from '@relight/collector/logs/read';
import { questionOf, type LogSelection } from '@relight/collector/logs/selection';
import { openLogReader } from '@relight/collector/store/logs/reader';
import { openStore } from '@relight/collector/store/sqlite-store';
import { systemClock } from '@relight/shared/clock';
import { packBlock, type Block } from '@relight/shared/log-block';
import type { SegmentKey } from '@relight/shared/log-stream';
import { formatBytes } from '@relight/shared/units';
import { FakeFleet } from '../support/fleet-records.ts';
import { median } from '../support/statistics.ts';

const [host, workload] = ['segments', 'crashing'];
const linesEach = 30;
const asks = 100_000;
const rounds = 5;

export async function run([given = '5000']: readonly string[]): Promise<void> {
  const count = Number(given);
  if (!Number.isSafeInteger(count) || count < 100) throw new Error('SEGMENTS is a whole number from 100 up');
  const directory = mkdtempSync(join(tmpdir(), 'relight-segments-'));
  try {
    const machine = `${availableParallelism()} cores, ${formatBytes(totalmem())}, load ${(loadavg()[0] ?? 0).toFixed(1)}`;
    console.log(`${count} segments of ${linesEach} lines; milliseconds of CPU; ${machine}`);
    console.log(`${' '.repeat(58)}${'floor'.padStart(8)}${'Relight'.padStart(9)}   ratio`);
    const blocks = agentSide(directory, count);
    await collectorSide(directory, blocks);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function agentSide(directory: string, count: number): readonly Block[] {
  const files = Array.from({ length: count }, (_, run) => join(directory, `${run}.log`));
  const text = Array.from(
    { length: linesEach },
    (_, line) => `2026-11-22 09:14:0${line % 10} worker ${line} could not reach its peer\n`,
  ).join('');
  for (const path of files) writeFileSync(path, text);
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const [index, few] = ['index', 'few'].map((name) => join(directory, name)) as [string, string];
  for (const name of [index, few]) mkdirSync(name);
  const shipperOf = (paths: readonly string[], state: string): FollowingShipper => {
    const shipper = new FollowingShipper({ directory: state, clock: systemClock, logger, delivering: true, rateLimit: () => null });
    for (const [run, path] of paths.entries()) shipper.follow({ key: keyOf(run), path, format: 'raw' });
    return shipper;
  };
  const floor = cpuOf(() => files.forEach(readAndWatch));
  let shipper = shipperOf([], few);
  const followed = cpuOf(() => (shipper = shipperOf(files, index)));
  row('each file opened, read and watched: followed', floor, followed);
  shipper.resume(files.map((_, run) => ({ segment: keyOf(run), offset: 0 })));
  const blocks: Block[] = [];
  for (let frame = shipper.nextFrame(); frame !== null; frame = shipper.nextFrame()) if (frame.kind === 'block') blocks.push(frame.block);
  const quiet = shipperOf(files.slice(0, 10), few);
  quiet.resume([]);
  while (quiet.nextFrame() !== null);
  row(
    `${asks} times asked while nothing is due: 10 segments, all`,
    cpuOf(() => ask(quiet)),
    cpuOf(() => ask(shipper)),
  );
  for (const [run] of files.entries()) shipper.finish(keyOf(run));
  const kept = cpuOf(() => blocks.forEach(({ header }) => quiet.committed(header.segment, 0, false)));
  const told = cpuOf(() => blocks.forEach(({ header }) => shipper.committed(header.segment, header.to, false)));
  row('the collector has each: unknown here, ended and let go of', kept, told);
  for (const one of [quiet, shipper]) one.close();
  return blocks;
}

const keyOf = (run: number): SegmentKey => ({ workload, generation: 1, source: 'process', run: String(run) });

function readAndWatch(path: string): void {
  const fd = openSync(path, 'r');
  const { size } = fstatSync(fd);
  readSync(fd, Buffer.alloc(size), 0, size, 0);
  closeSync(fd);
  watch(path, { persistent: false }).close();
}

function ask(shipper: FollowingShipper): void {
  for (let n = 0; n < asks; n += 1) shipper.nextFrame();
}

/** One line each; they have all come at once, as they do when a collector is back. */
async function collectorSide(directory: string, blocks: readonly Block[]): Promise<void> {
  const dataDir = join(directory, 'collector');
  const store = await openStore({ dataDir, clock: systemClock });
  const began = Date.now() - blocks.length * 10_000;
  await Promise.all(
    blocks.map(({ header }, index) => {
      const at = began + index * 10_000;
      const line = { offset: 0, at, approx: false, stream: 'stdout' as const, bytes: Buffer.from(`run ${index} failed`), truncated: false };
      return store.commitBlock(host, host, packBlock(header.segment, 0, header.to, [line]), Date.now());
    }),
  );
  const reader = openLogReader(dataDir);
  const upTo = newestPlace(reader)?.done ?? 0;
  const fleet = new FakeFleet();
  const last = async (selection: LogSelection): Promise<number> => {
    const times: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const before = process.threadCpuUsage();
      await lastEntries(reader, questionOf(selection, fleet), { limit: 100, upTo });
      times.push(msSince(before));
    }
    return median(times);
  };
  const everything: LogSelection = { hosts: [], labels: [], previous: false };
  row('the last 100 lines: of everything, of the workload', await last(everything), await last({ ...everything, workload }));
  reader.close();
  await store.close();
}

function cpuOf(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  return msSince(before);
}

function msSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}

const row = (what: string, floor: number, own: number): void =>
  console.log(`${what.padEnd(58)}${floor.toFixed(1).padStart(8)}${own.toFixed(1).padStart(9)}   ${(own / floor).toFixed(1)}`);
