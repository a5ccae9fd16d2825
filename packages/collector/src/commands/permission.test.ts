import { spawnSync } from 'node:child_process';
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

/** As nobody from its first command on: the sources may be for root alone. */
function asNobody(...args: readonly string[]): Ended {
  const program = `import { runProgram } from ${JSON.stringify(join(import.meta.dirname, '../program.ts'))};
    process.setgroups([]); process.setgid(${nobody}); process.setuid(${nobody});
    process.exitCode = await runProgram(['node', 'relight-collector', ...${JSON.stringify(args)}]);`;
  const done = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
    env: bench.env,
    timeout: 60_000,
  });
  return { code: done.status, out: done.stdout, err: done.stderr };
}

test.runIf(isRoot)('who forgot sudo is told so, not to take another directory or to change owners', () => {
  mkdirSync(bench.dataDir, { mode: 0o700 });
  writeFileSync(join(bench.dataDir, 'relight.db'), '');
  for (const above of [bench.dir, dirname(bench.dir)]) chmodSync(above, 0o755);
  const dir = ['--data-dir', bench.dataDir];
  const commands = [['token', 'list'], ['token', 'create', '--kind', 'join'], ['init', '--no-operator-file'], ['verify'], ['backup', 'x']];
  for (const command of commands) {
    expect({ command, ...asNobody(...command, ...dir) }).toEqual({
      command,
      code: 2,
      out: '',
      err: `relight-collector: the data directory ${bench.dataDir} cannot be read: permission denied\nRun this command as root: sudo relight-collector …\n`,
    });
  }
  const checked = asNobody('check', ...dir);
  expect(checked.code).toBe(1);
  expect(checked.out).toMatch(/^warning this is neither root nor the account of the service: .*\n +→ sudo relight-collector check$/m);
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
