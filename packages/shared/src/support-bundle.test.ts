import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { waitFor } from '../../../test/support/wait.ts';
import { writeBundle } from './support-bundle.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-bundle-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

test('what a killed one has left behind is removed by the next; what is young, or something else, stays', async () => {
  const long = new Date(Date.now() - 3_600_000);
  const elsewhere = mkdtempSync(join(tmpdir(), 'relight-elsewhere-'));
  for (const name of ['.relight-support-aaaaaa', '.relight-support-bbbbbb', '.relight-support-notes', '.relight-support-of-mine']) {
    mkdirSync(join(directory, name));
    writeFileSync(join(directory, name, 'status.json'), '{}');
    if (name !== '.relight-support-bbbbbb') utimesSync(join(directory, name), long, long);
  }
  symlinkSync(elsewhere, join(directory, '.relight-support-cccccc'));
  await writeBundle(join(directory, 'bundle.tar.gz'), [{ name: 'a.txt', text: 'a' }]);
  expect(readdirSync(directory).toSorted()).toEqual([
    '.relight-support-bbbbbb',
    '.relight-support-cccccc',
    '.relight-support-notes',
    '.relight-support-of-mine',
    'bundle.tar.gz',
  ]);
  expect(existsSync(elsewhere)).toBe(true);
  rmSync(elsewhere, { recursive: true });
});

test('a directory that may be written to but not listed, and a leftover that cannot be removed, hold up no bundle', async () => {
  const long = new Date(Date.now() - 3_600_000);
  const [left, output] = [join(directory, '.relight-support-aaaaaa'), join(directory, 'bundle.tar.gz')];
  mkdirSync(join(left, 'held'), { recursive: true });
  writeFileSync(join(left, 'held', 'status.json'), '{}');
  chmodSync(join(left, 'held'), 0o500);
  utimesSync(left, long, long);
  const code = `import { writeBundle } from ${JSON.stringify(join(import.meta.dirname, 'support-bundle.ts'))};
    if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }
    await writeBundle(${JSON.stringify(output)}, [{ name: 'a.txt', text: 'a' }]);`;
  const write = async (): Promise<void> => {
    const env = { ...process.env, NODE_OPTIONS: '' };
    await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', code], { env, timeout: 60_000 });
  };
  // Root removes whatever there is: the process is nobody, and what is here is nobody's.
  chmodSync(dirname(directory), statSync(dirname(directory)).mode | 0o011);
  if (process.getuid?.() === 0) for (const path of [directory, left, join(left, 'held')]) chownSync(path, 65_534, 65_534);
  await write();
  expect(readdirSync(directory).toSorted()).toEqual(['.relight-support-aaaaaa', 'bundle.tar.gz']);
  rmSync(output);
  chmodSync(directory, 0o333);
  await write();
  chmodSync(directory, 0o700);
  expect(existsSync(output)).toBe(true);
  chmodSync(join(left, 'held'), 0o700);
});

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s in the middle leaves nothing behind, and ends the process as ever',
  async (signal) => {
    const programs = mkdtempSync(join(tmpdir(), 'relight-programs-'));
    writeFileSync(join(programs, 'tar'), `#!/bin/sh\ntouch ${programs}/started\nexec sleep 60\n`, { mode: 0o755 });
    const code = `import { writeBundle } from ${JSON.stringify(join(import.meta.dirname, 'support-bundle.ts'))};
    await writeBundle(${JSON.stringify(join(directory, 'bundle.tar.gz'))}, [{ name: 'a.txt', text: 'a' }]);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
      env: { ...process.env, PATH: `${programs}:${process.env['PATH'] ?? ''}`, NODE_OPTIONS: '' },
      stdio: 'ignore',
    });
    const ended = once(child, 'exit');
    await waitFor(() => existsSync(join(programs, 'started')), { timeoutMs: 30_000, everyMs: 20, what: 'tar to begin' });
    expect(readdirSync(directory)).toHaveLength(1);
    child.kill(signal);
    expect((await ended)[1]).toBe(signal);
    expect(readdirSync(directory)).toEqual([]);
    rmSync(programs, { recursive: true });
  },
);
