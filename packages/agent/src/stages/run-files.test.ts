import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SegmentFile } from '../logs/log-shipper.ts';
import type { RunRef } from '../supervisor/op.ts';
import {
  createRunFiles,
  findAllRunFiles,
  findRunFiles,
  logsOnDisk,
  makeRunDirectory,
  openRegular,
  readTail,
  runDirectoryOf,
  segmentNamed,
  segmentsOf,
} from './run-files.ts';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'relight-runs-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const segmentsOnDisk = (runRoot: string, earlierMax?: number): SegmentFile[] =>
  logsOnDisk(runRoot, earlierMax).flatMap((left) => left.names().flatMap((name) => segmentNamed(left, name) ?? []));

const run = (n: number, kind: RunRef['kind'], name = '', generation = 1): RunRef => ({
  runId: `owner/work.er/${generation}/${n}/${kind}/${encodeURIComponent(name)}`,
  kind,
  name,
});

it('gives each start its own files and segment, and finds the last one', () => {
  expect(findRunFiles(root, run(3, 'setup', 'ssh keys'))).toBeNull();
  createRunFiles(root, run(3, 'setup', 'ssh keys'));
  const second = createRunFiles(root, run(3, 'setup', 'ssh keys'));
  createRunFiles(root, run(33, 'setup', 'ssh keys'));
  createRunFiles(root, run(3, 'setup', 'ssh keys verify'));
  createRunFiles(root, run(4, 'process'));
  expect(second.segment).toEqual({ workload: 'work.er', generation: 1, source: 'setup', run: '3-ssh-keys~2' });
  expect(findRunFiles(root, run(3, 'setup', 'ssh keys'))).toEqual(second);
  const found = segmentsOnDisk(root).map(({ key }) => `${key.source} ${key.run}`);
  expect(found.toSorted()).toEqual(['process 4', 'setup 3-ssh-keys', 'setup 3-ssh-keys-verify', 'setup 3-ssh-keys~2', 'setup 33-ssh-keys']);
});

it('lets every user append and nobody list', () => {
  const files = createRunFiles(root, run(1, 'process'));
  expect(statSync(files.log).mode & 0o777).toBe(0o622);
  expect(statSync(files.status).mode & 0o777).toBe(0o622);
  expect(statSync(files.directory).mode & 0o777).toBe(0o711);
});

it('does not fall for names that the container has put there', () => {
  const directory = makeRunDirectory(root, 'work.er', 1);
  const secret = join(root, 'secret');
  writeFileSync(secret, 'secret');
  symlinkSync(secret, join(directory, '1.process.log'));
  const files = createRunFiles(root, run(1, 'process'));
  expect(files.base).toBe('1.process~2');
  expect(readTail(join(directory, '1.process.log'), 100)).toBe('');
  execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', join(directory, 'pipe')]);
  expect(openRegular(join(directory, 'pipe'))).toBeNull();
  mkdirSync(join(directory, 'folder'));
  expect(openRegular(join(directory, 'folder'))).toBeNull();
});

it('reads the end of a log from the beginning of a line, without what has been freed', () => {
  const files = createRunFiles(root, run(1, 'process'));
  writeFileSync(files.log, 'first\nsecond\nthird');
  expect(readTail(files.log, 100)).toBe('first\nsecond\nthird');
  expect(readTail(files.log, 14)).toBe('second\nthird');
  expect(readTail(files.log, 3)).toBe('ird');
  writeFileSync(files.log, `${'\0'.repeat(50)}kept\n`);
  expect(readTail(files.log, 100)).toBe('kept\n');
});

it('says whether what it shows has begun before: there a secret may be cut in two', () => {
  const files = createRunFiles(root, run(1, 'process'));
  const shown = (bytes: number): string => readTail(files.log, bytes, (tail, continued) => `${continued ? '…' : ''}${tail.toString()}`);
  writeFileSync(files.log, 'first\nsecond');
  expect([shown(100), shown(9), shown(3)]).toEqual(['first\nsecond', 'second', '…ond']);
  writeFileSync(files.log, `${'\0'.repeat(50)}rest\nsecond`);
  expect(shown(100)).toBe('…rest\nsecond');
  writeFileSync(files.log, '\0'.repeat(50));
  expect(shown(100)).toBe('');
});

it('removes what stood beside a delivered log, and directories with nothing left, but never the present one', () => {
  const first = createRunFiles(root, run(1, 'process'));
  createRunFiles(root, run(2, 'process'));
  unlinkSync(first.log);
  const third = createRunFiles(root, run(3, 'process'));
  expect(readdirSync(first.directory).toSorted()).toEqual(['2.process.log', '2.process.status', '3.process.log', '3.process.status']);
  for (const name of readdirSync(third.directory).filter((name) => name.endsWith('.log'))) unlinkSync(join(third.directory, name));
  const inode = statSync(third.directory).ino;
  const fourth = createRunFiles(root, run(4, 'process'));
  expect(statSync(fourth.directory).ino).toBe(inode);
  unlinkSync(fourth.log);
  makeRunDirectory(root, 'work.er', 2);
  expect(existsSync(runDirectoryOf(root, 'work.er', 1))).toBe(false);
  writeFileSync(join(runDirectoryOf(root, 'work.er', 2), 'own'), '');
  makeRunDirectory(root, 'work.er', 3);
  expect(existsSync(runDirectoryOf(root, 'work.er', 2))).toBe(true);
});

it('looks for no free name without end, however a container has counted up', () => {
  const directory = makeRunDirectory(root, 'work.er', 1);
  createRunFiles(root, run(7, 'process'));
  // One more than this is the same number.
  writeFileSync(join(directory, `7.process~${2 ** 53}.log`), '');
  expect(createRunFiles(root, run(7, 'process')).base).toBe('7.process~2');
  for (let start = 3; start < 200; start += 1) mkdirSync(join(directory, `7.process~${start}.status`));
  expect(() => createRunFiles(root, run(7, 'process'))).toThrow(expect.objectContaining({ code: 'run-directory-lost' }));
});

it('counts no further up than a later look will read', () => {
  const directory = makeRunDirectory(root, 'work.er', 1);
  writeFileSync(join(directory, '7.process~999999999.log'), '');
  // Longer than a run's name ever is there: all that is followed is kept in memory.
  writeFileSync(join(directory, `7.process-${'x'.repeat(49)}.log`), '');
  const files = createRunFiles(root, run(7, 'process'));
  expect(files.base).toBe('7.process');
  expect(findRunFiles(root, run(7, 'process'))).toEqual(files);
  expect(segmentsOnDisk(root).map(({ key }) => key.run)).toEqual(['7']);
  writeFileSync(join(directory, '7.process~99999.log'), '');
  expect(() => createRunFiles(root, run(7, 'process'))).toThrow(expect.objectContaining({ code: 'run-directory-lost' }));
});

it('reads a directory once, however many runs are looked for in it', () => {
  const directory = makeRunDirectory(root, 'work.er', 1);
  touch(directory, 'seq 2000');
  const runs = Array.from({ length: 200 }, (_, index) => run(index + 1, 'process'));
  createRunFiles(root, run(150, 'process'));
  // Of this thread alone: what others do on the machine meanwhile is not counted.
  const costOf = (work: () => unknown): number => {
    const before = process.threadCpuUsage();
    for (let count = 0; count < 10; count += 1) work();
    const { user, system } = process.threadCpuUsage(before);
    return user + system;
  };
  const one = costOf(() => findRunFiles(root, run(1, 'process')));
  const all = costOf(() => findAllRunFiles(root, runs));
  // Read for each of them it takes two hundred times as long.
  expect(all).toBeLessThan(60 * one);
  expect(findAllRunFiles(root, runs).map((files) => files?.base)).toEqual(
    runs.map((_, index) => (index === 149 ? '150.process' : undefined)),
  );
});

it('a directory that a container calls like a file of ours is in the way of no later run', () => {
  mkdirSync(join(makeRunDirectory(root, 'work.er', 1), '1.process.status'));
  expect(createRunFiles(root, run(2, 'process')).base).toBe('2.process');
  expect(() => makeRunDirectory(root, 'work.er', 2)).not.toThrow();
});

/** As somebody in the container would. */
const touch = (directory: string, names: string): void => void execFileSync('sh', ['-c', `${names} | xargs touch`], { cwd: directory });

it('a directory that is full of names costs its container, not the logs in it: only when others were made since, it may be given up', () => {
  const directory = makeRunDirectory(root, 'work.er', 1);
  // As runs leave it. Some of the pairs are cut in two, wherever a list ends.
  for (const ending of ['log', 'status']) touch(directory, `seq -f '%.0f.process.${ending}' 50001`);
  expect(() => createRunFiles(root, run(50_002, 'process'))).toThrow(expect.objectContaining({ code: 'run-directory-lost' }));
  makeRunDirectory(root, 'work.er', 2);
  expect(createRunFiles(root, run(50_002, 'process', '', 2)).base).toBe('50002.process');
  expect(segmentsOnDisk(root)).toHaveLength(50_002);
  makeRunDirectory(root, 'work.er', 3);
  expect(readdirSync(directory)).toHaveLength(100_002);
  makeRunDirectory(root, 'work.er', 4, 100_000);
  expect(existsSync(directory)).toBe(false);
  expect(existsSync(`${directory}.given-up`)).toBe(true);
});

it('what containers leave is bounded for all of them together, the newer first, and nothing of it is read twice', () => {
  for (const [generation, count] of [
    [1, 3],
    [2, 40],
    [3, 60],
    [4, 3],
    [5, 2],
  ] as const) {
    const directory = makeRunDirectory(root, 'work.er', generation);
    for (let n = 1; n <= count; n += 1) writeFileSync(join(directory, `${n}.process.log`), '');
  }
  // What the newest has is another matter: it may be in use.
  expect(segmentsOnDisk(root, 50).map(({ key }) => key.generation)).toEqual([
    ...Array(3).fill(1),
    ...Array(40).fill(2),
    ...Array(3).fill(4),
    5,
    5,
  ]);
  expect(readdirSync(join(root, 'work.er')).toSorted()).toEqual(['1', '2', '3.given-up', '4', '5']);
  // Nor the one before: beside a spare it is the one in use.
  makeRunDirectory(root, 'work.er', 6, 42);
  expect(readdirSync(join(root, 'work.er')).toSorted()).toEqual(['1', '2.given-up', '3.given-up', '4', '5', '6']);
  expect(segmentsOf(root, 'work.er', 4)).toHaveLength(3);
});

it('nothing of the container before is given up: beside a spare, which is the newest, it is the one that runs', () => {
  const directory = makeRunDirectory(root, 'work.er', 1);
  for (let n = 1; n <= 60; n += 1) writeFileSync(join(directory, `${n}.process.log`), '');
  makeRunDirectory(root, 'work.er', 2, 50);
  expect(segmentsOnDisk(root, 50)).toHaveLength(60);
});

it('of directories that may be in use the logs are those of the first look, of older ones those that are left', () => {
  const directories = [1, 2, 3].map((generation) => {
    const directory = makeRunDirectory(root, 'work.er', generation);
    for (const n of [10, 9, 1]) writeFileSync(join(directory, `${n}.process.log`), '');
    return directory;
  });
  const left = logsOnDisk(root);
  for (const directory of directories) {
    rmSync(join(directory, '9.process.log'));
    writeFileSync(join(directory, '11.process.log'), '');
  }
  expect(left.map((one) => one.names().map((name) => Number.parseInt(name, 10)))).toEqual([
    [1, 10, 11],
    [1, 9, 10],
    [1, 9, 10],
  ]);
  expect(left.map(({ count }) => count)).toEqual([3, 3, 3]);
});

it('hours of failures each second while the collector is away cost no container', () => {
  const directory = makeRunDirectory(root, 'work.er', 1);
  for (const ending of ['log', 'status', 'session']) touch(directory, `seq -f '%.0f.process.${ending}' 8000`);
  touch(directory, `seq -f '%.0f.process.status' 8001 8100`);
  expect(createRunFiles(root, run(8_101, 'process')).base).toBe('8101.process');
  // What stands beside no log any more has gone.
  expect(readdirSync(directory)).toHaveLength(24_002);
  expect(findRunFiles(root, run(8_000, 'process'))?.base).toBe('8000.process');
  expect(segmentsOnDisk(root)).toHaveLength(8_001);
});
