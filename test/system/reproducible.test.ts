/** The same sources give the same packages, whoever builds them, wherever and whenever. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { ownedDirectory } from '../support/owned-directory.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const script = join(root, 'scripts/package.ts');
/** Four archives with a whole Node in each: a minute on a quiet machine, several on one with other work. */
const timeout = 600_000;
let directory: string;

beforeAll(() => {
  directory = ownedDirectory('relight-packages-');
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function digests(of: string): Promise<Record<string, string>> {
  const names = (await readdir(of)).filter((name) => /\.(?:deb|tar\.gz)$/.test(name)).toSorted();
  const sums = names.map(
    async (name) =>
      [
        name,
        createHash('sha256')
          .update(await readFile(join(of, name)))
          .digest('hex'),
      ] as const,
  );
  return Object.fromEntries(await Promise.all(sums));
}

test('a second build under another umask, time zone, language and temporary directory: the same bytes', { timeout }, async () => {
  const env = { ...process.env, TZ: 'Asia/Tokyo', LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', TMPDIR: directory, HOSTNAME: 'elsewhere' };
  await run('sh', ['-c', 'umask 077; exec "$@"', 'sh', process.execPath, script, '--out', join(directory, 'again')], { env, cwd: '/' });
  const first = await digests(inject('packages'));
  expect(Object.keys(first)).toHaveLength(4);
  expect(await digests(join(directory, 'again'))).toEqual(first);
});

test('the date of the sources is the only date in it', async () => {
  const deb = (await readdir(inject('packages'))).find((name) => /^relight-agent_.*\.deb$/.test(name)) ?? '';
  const { stdout } = await run('dpkg-deb', ['--contents', join(inject('packages'), deb)], { env: { ...process.env, TZ: 'UTC' } });
  const dates = new Set(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/).slice(3, 5).join(' ')),
  );
  expect(dates.size).toBe(1);
});

test('for the other processor: the same script, its own Node', { timeout }, async () => {
  const other = process.arch === 'arm64' ? 'amd64' : 'arm64';
  await run(process.execPath, [script, '--arch', other, '--out', join(directory, other)], { cwd: '/' });
  const deb = (await readdir(join(directory, other))).find((name) => /^relight-collector_.*\.deb$/.test(name)) ?? '';
  const { stdout } = await run('dpkg-deb', ['--field', join(directory, other, deb), 'Architecture']);
  expect(stdout.trim()).toBe(other);
  const tree = join(directory, 'tree');
  await run('dpkg-deb', ['--extract', join(directory, other, deb), tree]);
  // e_machine of an ELF file: 62 x86-64, 183 aarch64.
  const library = join(tree, 'usr/lib/relight-collector');
  const binaries = [
    join(library, 'node'),
    join(library, `node_modules/better-sqlite3/prebuilds/linux-${other === 'arm64' ? 'arm64' : 'x64'}.node`),
  ];
  for (const file of binaries) expect(readFileSync(file).readUInt16LE(18)).toBe(other === 'arm64' ? 183 : 62);
});

test.each([
  [['--arch', 'sparc'], '--arch: "sparc" is none of amd64, arm64'],
  [['--version', 'one'], '--version: "one" is no version such as 1.2.3 or 1.2.3~rc1'],
  [['--oops'], "Unknown option '--oops'"],
])('%j is refused with a reason', async (args, reason) => {
  const failed = (await run(process.execPath, [script, ...args]).catch((error: unknown) => error)) as { code?: number; stderr?: string };
  expect(failed.code).toBe(2);
  expect(failed.stderr).toContain(reason);
  expect(failed.stderr).toContain('usage: npm run package');
});
