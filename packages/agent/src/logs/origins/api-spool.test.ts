import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ApiSpool, removeSpool } from './api-spool.ts';
import type { Entry } from './engine-lines.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'api-spool-'));
  path = join(directory, 'w/1/abc.1-json.log');
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

const entry = (n: number, log = `line ${n}\n`): Entry => ({
  stream: 'stdout',
  time: `2026-11-22T08:00:00.${String(n).padStart(9, '0')}Z`,
  log,
});
function reopened(work: (spool: ApiSpool) => void = () => {}): ApiSpool {
  const spool = new ApiSpool(path);
  work(spool);
  spool.close();
  return new ApiSpool(path);
}

it('knows what it holds when it is opened again', () => {
  const spool = reopened((first) => first.append([entry(1), entry(2)]));
  const cursor = spool.cursor(null);
  expect([entry(1), entry(2), entry(3)].map((one) => cursor.take(one))).toEqual(['known', 'known', 'new']);
  spool.close();
});

it('a line that a crash has torn is removed, and comes again', () => {
  reopened((first) => first.append([entry(1), entry(2)])).close();
  fs.appendFileSync(path, '{"log":"line 3\\n","str');
  const spool = new ApiSpool(path);
  const cursor = spool.cursor(null);
  expect([entry(1), entry(2), entry(3)].map((one) => cursor.take(one))).toEqual(['known', 'known', 'new']);
  spool.append([entry(3)]);
  expect(
    fs
      .readFileSync(path, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as Entry).log),
  ).toEqual(['line 1\n', 'line 2\n', 'line 3\n']);
  spool.close();
});

it('is rotated, never larger than eight files, and remembers over the edge', () => {
  const text = `${'x'.repeat(16_000)}\n`;
  const spool = reopened((first) => {
    for (let n = 0; n < 6_000; n += 1) first.append([entry(n, text)]);
  });
  const files = fs.readdirSync(join(directory, 'w/1'));
  expect(files).toHaveLength(8);
  const total = files.reduce((sum, name) => sum + fs.statSync(join(directory, 'w/1', name)).size, 0);
  expect(total).toBeLessThan(8 * 8.1 * 1024 ** 2);
  const cursor = spool.cursor(null);
  expect([entry(5_900, text), entry(5_999, text), entry(6_000, text)].map((one) => cursor.take(one))).toEqual(['known', 'known', 'new']);
  spool.close();
  removeSpool(path);
  expect(fs.readdirSync(join(directory, 'w/1'))).toEqual([]);
});

it('goes on where the spool of an earlier boot has ended, while it is empty', () => {
  reopened((first) => first.append([entry(1)])).close();
  const next = new ApiSpool(join(directory, 'w/1/abc.2-json.log'));
  expect(next.cursor(path).take(entry(1))).toBe('known');
  next.append([entry(2)]);
  expect(next.cursor(path).take(entry(2))).toBe('known');
  next.close();
});
