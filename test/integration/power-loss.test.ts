/** The fault itself is tested: what it undoes must be what had no fsync, and nothing else. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Power } from '../support/log-faults/power-loss.ts';

let directory: string;
let root: string;
let power: Power;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'relight-power-'));
  root = join(directory, 'root');
  mkdirSync(root);
  power = await Power.over({ root, directory: join(directory, 'power'), except: ['theirs'] });
});

afterEach(() => rmSync(directory, { recursive: true }));

/** Runs a script in a process with the shim; it ends without any sync of its own. */
function run(script: string): string {
  const node = [process.execPath, '--input-type=module', '-e', `import fs from 'node:fs'; ${script}`];
  return execFileSync('sh', ['-c', 'exec "$@"', 'sh', ...power.through, ...node], { cwd: root, encoding: 'utf8' });
}

const names = (): string[] =>
  readdirSync(root)
    .filter((name) => !name.startsWith('.'))
    .toSorted();
const text = (name: string): string => readFileSync(join(root, name), 'utf8');
const syncFile = (name: string): string => `{ const fd = fs.openSync('${name}', 'r+'); fs.fsyncSync(fd); fs.closeSync(fd); }`;
const syncDirectory = `{ const fd = fs.openSync(process.cwd(), 'r'); fs.fsyncSync(fd); fs.closeSync(fd); }`;
const all = { kept: 0, zeros: false };

test('what was written over, appended and cut behind the last fsync is as it was', () => {
  run(`fs.writeFileSync('a', '0123456789'); ${syncFile('a')} ${syncDirectory}
       const fd = fs.openSync('a', 'r+'); fs.writeSync(fd, 'XY', 4); fs.appendFileSync('a', 'more'); fs.ftruncateSync(fd, 3);`);
  expect(text('a')).toBe('012');
  expect(power.lose(all)).toBe(3);
  expect(text('a')).toBe('0123456789');
});

test('what was synced stays, also when it was done in another thread', () => {
  run(
    `await fs.promises.writeFile('a', 'one', { flush: true }); ${syncDirectory} await fs.promises.appendFile('a', 'two', { flush: true });`,
  );
  expect(power.lose(all)).toBe(0);
  expect(text('a')).toBe('onetwo');
});

test('a file that was replaced or removed is back as long as its directory was not synced', () => {
  run(`for (const name of ['a', 'b', 'c']) { fs.writeFileSync(name, name, { flush: true }); } fs.mkdirSync('d'); ${syncDirectory}
       fs.writeFileSync('a.new', 'replaced', { flush: true }); fs.renameSync('a.new', 'a'); fs.rmSync('b'); fs.rmdirSync('d'); fs.mkdirSync('e');
       fs.writeFileSync('e/f', 'f', { flush: true });`);
  expect(names()).toEqual(['a', 'c', 'e']);
  power.lose(all);
  expect(names()).toEqual(['a', 'b', 'c', 'd']);
  expect(['a', 'b', 'c'].map(text)).toEqual(['a', 'b', 'c']);
});

test('a replacement whose directory was synced is the new one, with its content', () => {
  run(`fs.writeFileSync('a', 'old'); fs.writeFileSync('a.new', 'new', { flush: true }); fs.renameSync('a.new', 'a'); ${syncDirectory}`);
  power.lose(all);
  expect([names(), text('a')]).toEqual([['a'], 'new']);
});

test('some of it may have reached the disk: the earliest, or only its size', () => {
  run(
    `fs.writeFileSync('a', '', { flush: true }); ${syncDirectory} for (const word of ['one ', 'two ', 'three']) fs.appendFileSync('a', word);`,
  );
  expect(power.lose({ kept: 0.7, zeros: true })).toBe(1);
  expect(text('a')).toBe('one two \0\0\0\0\0');
});

test('a file that was replaced without an fsync may be there, and empty', () => {
  run(`fs.writeFileSync('a', 'old', { flush: true }); ${syncDirectory} fs.writeFileSync('a.new', 'new'); fs.renameSync('a.new', 'a');`);
  power.lose({ ...all, namesStay: true });
  expect([names(), text('a')]).toEqual([['a'], '']);
});

test('the files of others are left alone, and nothing is undone twice', () => {
  run(`fs.mkdirSync('theirs'); ${syncDirectory} fs.writeFileSync('theirs/log', 'line'); fs.writeFileSync('a', 'lost');`);
  power.lose(all);
  expect([names(), text('theirs/log')]).toEqual([['theirs'], 'line']);
  run(`fs.writeFileSync('b', 'kept');`);
  power.settle();
  expect(power.lose(all)).toBe(0);
  expect(existsSync(join(root, 'b'))).toBe(true);
});

test('a process that was killed leaves to the next one what has no fsync, also what the next one syncs', () => {
  run(`fs.writeFileSync('a', 'one'); fs.writeFileSync('b', 'lost'); fs.writeFileSync('c', 'lost');`);
  run(`fs.appendFileSync('a', 'two', { flush: true }); ${syncDirectory} fs.appendFileSync('b', 'lost');`);
  power.lose(all);
  expect([text('a'), text('b'), text('c')]).toEqual(['onetwo', '', '']);
});

test('its wall clock goes ahead or behind, its monotonic one does not, and its children have the time of the machine', () => {
  power.moveClock(3_600_000);
  const script = `import { execFileSync } from 'node:child_process'; console.log(JSON.stringify([Date.now(), execFileSync('date', ['+%s000'], { encoding: 'utf8' })]))`;
  const before = Date.now();
  const [own = 0, child = 0] = (JSON.parse(run(script)) as (number | string)[]).map(Number);
  const after = Date.now();
  // However long that took. `date` drops the milliseconds.
  expect(own - 3_600_000).toBeGreaterThanOrEqual(before);
  expect(own - 3_600_000).toBeLessThanOrEqual(after);
  expect(child).toBeGreaterThan(before - 2_000);
  expect(child).toBeLessThanOrEqual(after);
});
