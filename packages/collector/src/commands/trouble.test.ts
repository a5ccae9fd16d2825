/** What a person can meet and do something about is said in two lines: place and next step, never a stack trace. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CollectorBench } from './collector-process.test-data.ts';

let bench: CollectorBench;
beforeEach(() => {
  bench = new CollectorBench();
});
afterEach(() => bench[Symbol.asyncDispose]());

test('a data directory that is none, or whose files are something else', () => {
  const [loop, file, noDatabase, directory, url] = ['loop', 'file', 'no-database', 'directory', 'url'].map((name) => join(bench.dir, name));
  if (!loop || !file || !noDatabase || !directory || !url) throw new Error('names');
  symlinkSync(loop, loop);
  writeFileSync(file, 'mine');
  mkdirSync(noDatabase);
  writeFileSync(join(noDatabase, 'relight.db'), 'no database, but longer than the hundred bytes that the header of one has: '.repeat(3));
  mkdirSync(join(directory, 'relight.db'), { recursive: true });
  mkdirSync(join(url, 'public-url'), { recursive: true });
  const init = ['init', '--no-operator-file', '--no-tls', '--url', 'http://127.0.0.1:1'];
  const create = ['token', 'create', '--kind', 'join'];
  const unusable = (dataDir: string, why: string): string => `relight-collector: the data directory ${dataDir} cannot be used: ${why}`;
  const damaged = unusable(noDatabase, 'file is not a database\nrelight-collector verify says what is damaged');
  const table: readonly (readonly [readonly string[], string, number, string])[] = [
    [create, loop, 2, unusable(loop, 'EEXIST')],
    [init, loop, 2, unusable(loop, 'EEXIST')],
    [init, file, 2, unusable(file, 'unable to open database file\nGive a directory')],
    [['token', 'list'], noDatabase, 2, damaged],
    [create, noDatabase, 2, damaged],
    [init, noDatabase, 2, damaged],
    [['serve', '--listen', '127.0.0.1:0'], noDatabase, 2, damaged],
    [create, directory, 2, unusable(directory, 'unable to open database file')],
    [['verify'], directory, 1, 'relight-collector: 1 damaged\n'],
    [init, url, 2, unusable(url, 'EISDIR')],
    [['backup', file], url, 2, `relight-collector: ${file} is no directory\n`],
    [['certificate', 'renew'], url, 1, 'relight-collector: this collector has no certificate\nMake one: relight-collector init.'],
  ];
  const ended = bench.collectors(table.map(([command, dataDir]) => [...command, '--data-dir', dataDir]));
  expect(ended).toHaveLength(table.length);
  for (const [at, { command, code, err }] of ended.entries()) {
    const [, , wanted, start] = table[at] ?? [];
    expect({ command, code, err }).toEqual({ command, code: wanted, err: expect.stringContaining(start ?? 'none') as string });
    expect(err).not.toMatch(/^ +at /m);
    expect(err.trimEnd().split('\n')).toHaveLength(2);
  }
});

test('verify names what to do for each kind of damage', () => {
  const [logs, both] = ['logs', 'both'].map((name) => join(bench.dir, name));
  if (!logs || !both) throw new Error('names');
  const restore = 'Go on from a backup: see "Restore" in docs/operations.md.\n';
  const alone = 'A damaged log file loses itself alone: see "A damaged log file" in docs/operations.md.\n';
  for (const dataDir of [logs, both]) {
    mkdirSync(join(dataDir, 'logs'), { recursive: true });
    writeFileSync(join(dataDir, 'relight.db'), dataDir === both ? 'no database, and longer than the header of one. '.repeat(3) : '');
    writeFileSync(join(dataDir, 'logs', '2026-11-22.db'), 'nor is this one, and longer than the header of one. '.repeat(3));
  }
  const ended = bench.collectors([logs, both].map((dataDir) => ['verify', '--data-dir', dataDir]));
  expect(ended.map(({ code, err }) => ({ code, err }))).toEqual([
    { code: 1, err: `relight-collector: 1 damaged\n${alone}` },
    { code: 1, err: `relight-collector: 2 damaged\n${restore}${alone}` },
  ]);
});

test('under a unit the step is to open the directory there; started by hand it is not', () => {
  const file = join(bench.dir, 'file');
  writeFileSync(file, 'mine');
  const serve = ['serve', '--listen', '127.0.0.1:0', '--data-dir', file];
  const advice = (): string | undefined => bench.collectors([serve])[0]?.err.split('\n')[1];
  expect(advice()).toBe('Give a directory that this user may write to: --data-dir.');
  bench.env['INVOCATION_ID'] = '0123456789abcdef0123456789abcdef';
  expect(advice()).toMatch(
    new RegExp(`^The unit opens /var/lib/relight-collector alone\\. systemctl edit relight-collector, with ReadWritePaths=${file} in`),
  );
});

test.each([
  ['relight-collector', '../main.ts'],
  ['relight', '../cli/main.ts'],
])('an output of %s that cannot be written is said, and is no success', (name, main) => {
  const full = openSync('/dev/full', 'w');
  const { status, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, main), '--help'], {
    encoding: 'utf8',
    stdio: ['ignore', full, 'pipe'],
    env: bench.env,
  });
  closeSync(full);
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: `${name}: the output cannot be written: ENOSPC: no space left on device, write\n`,
  });
});
