import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CollectorBench, type Ended } from './collector-process.test-data.ts';

let bench: CollectorBench;
beforeEach(() => {
  bench = new CollectorBench();
});
afterEach(() => bench[Symbol.asyncDispose]());

const nobody = 65_534;
const isRoot = process.getuid?.() === 0;

/** From its first command on: the sources may be for root alone. */
const becomeNobody = `process.setgroups([]); process.setgid(${nobody}); process.setuid(${nobody});`;

test.runIf(isRoot).each([
  ['data directory', (dataDir: string) => dataDir],
  ['directory above it', dirname],
])('who forgot sudo is told so where the %s is closed, not to take another directory or to change owners', (_, closed) => {
  bench.dataDir = join(bench.dir, 'lib', 'data');
  mkdirSync(bench.dataDir, { recursive: true });
  writeFileSync(join(bench.dataDir, 'relight.db'), '');
  for (const above of [bench.dir, dirname(bench.dir)]) chmodSync(above, 0o755);
  chmodSync(closed(bench.dataDir), 0o700);
  const dir = ['--data-dir', bench.dataDir];
  const commands = [
    ['token', 'list'],
    ['token', 'create', '--kind', 'join'],
    ['init', '--no-operator-file'],
    ['verify'],
    ['backup', 'x'],
    ['certificate', 'show'],
    ['certificate', 'renew'],
    ['serve', '--listen', '127.0.0.1:0'],
  ];
  const [checked, ...refused] = bench.collectors(
    [['check'], ...commands].map((command) => [...command, ...dir]),
    becomeNobody,
  );
  const err = `relight-collector: the data directory ${bench.dataDir} cannot be read: permission denied\nRun this command as root: sudo relight-collector …\n`;
  expect(refused).toEqual(commands.map((command) => ({ command: [...command, ...dir], code: 2, out: '', err })));
  expect(checked).toMatchObject({ code: 1, err: '' });
  expect(checked?.out).toMatch(/^warning this is neither root nor the account of the service: .*\n +→ sudo relight-collector check$/m);
  expect(checked?.out).toContain(`data_dir ${bench.dataDir} cannot be written: permission denied (${closed(bench.dataDir)})`);
});

test.runIf(isRoot)('a restored file that is still of root is named, with what gives it to the account of the service', async () => {
  mkdirSync(bench.dataDir, { mode: 0o700 });
  chownSync(bench.dataDir, nobody, nobody);
  for (const above of [bench.dir, dirname(bench.dir)]) chmodSync(above, 0o755);
  const create = (): Promise<Ended> => bench.collector(['token', 'create', '--kind', 'join', '--data-dir', bench.dataDir]);
  expect(await create()).toMatchObject({ code: 0 });
  const database = join(bench.dataDir, 'relight.db');
  expect(existsSync(database)).toBe(true);
  chownSync(database, 0, 0);
  expect(await create()).toEqual({
    code: 2,
    out: '',
    err: `relight-collector: ${database} cannot be opened: permission denied\nAll of ${bench.dataDir} has to belong to the account of the service. As root: chown -R --reference=${bench.dataDir} ${bench.dataDir}\n`,
  });
  chownSync(database, nobody, nobody);
  expect(await create()).toMatchObject({ code: 0 });
});
