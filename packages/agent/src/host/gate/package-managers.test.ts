/** Against real locks: a process takes them as dpkg does, and the kernel's table tells. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { holdLock } from '../../../../../test/support/lock-holder.ts';
import { describeHolder, packageManagerAtWork } from './package-managers.ts';

/** A host whose files lie below a directory. */
function scratchRoot(...files: readonly string[]): string {
  const root = mkdtempSync(join(tmpdir(), 'relight-root-'));
  for (const file of files) write(join(root, file), '');
  return root;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

const frontend = '/var/lib/dpkg/lock-frontend';

describe('a package manager at work', () => {
  test('a lock file that nobody holds says nothing', async () => {
    expect(await packageManagerAtWork({ root: scratchRoot(frontend, '/var/lib/dpkg/lock', '/var/lib/apt/lists/lock') })).toBeNull();
  });

  test.each([frontend, '/var/lib/dpkg/lock', '/var/lib/apt/lists/lock', '/var/cache/apt/archives/lock', '/var/lib/rpm/.rpm.lock'])(
    'whoever holds %s is named, with its pid',
    async (file) => {
      const root = scratchRoot(file);
      const lock = await holdLock(join(root, file));
      const holder = await packageManagerAtWork({ root });
      expect(holder).toEqual({ pid: lock.pid, name: 'apt-get', file: join(root, file) });
      expect(holder === null ? '' : describeHolder(holder)).toBe(`apt-get (pid ${lock.pid}) holds ${join(root, file)}`);
      await lock.release();
      expect(await packageManagerAtWork({ root })).toBeNull();
    },
  );

  test('the real lock of this machine', async ({ skip }) => {
    if (!existsSync(frontend)) skip('no dpkg here');
    const lock = await holdLock(frontend);
    const holder = await packageManagerAtWork();
    await lock.release();
    expect(holder).toEqual({ pid: lock.pid, name: 'apt-get', file: frontend });
  });

  test('a reader (rpm -q) changes nothing', async () => {
    const root = scratchRoot('/var/lib/rpm/.rpm.lock');
    await using _ = await holdLock(join(root, '/var/lib/rpm/.rpm.lock'), 'read');
    expect(await packageManagerAtWork({ root })).toBeNull();
  });

  test('the lock of another file with the same name, as in a container, is not ours', async () => {
    const root = scratchRoot(frontend);
    await using _ = await holdLock(join(scratchRoot(frontend), frontend));
    expect(await packageManagerAtWork({ root })).toBeNull();
  });

  test('further files count, alone or beside the others; flock too', async () => {
    const root = scratchRoot();
    const own = join(root, 'provisioning.lock');
    await using lock = await holdLock(own, 'flock', 'puppet');
    expect(await packageManagerAtWork({ root })).toBeNull();
    const expected = { pid: lock.pid, name: 'puppet', file: own };
    expect(await packageManagerAtWork({ root, furtherFiles: [own] })).toEqual(expected);
    expect(await packageManagerAtWork({ root, furtherFiles: [own], only: 'further' })).toEqual(expected);
    await using _ = await holdLock(join(scratchRoot(), 'x'));
    const other = scratchRoot(frontend);
    await using __ = await holdLock(join(other, frontend));
    expect(await packageManagerAtWork({ root: other, only: 'further' })).toBeNull();
  });

  test('where the kernel shows another device than stat, the open file of the holder decides', async () => {
    const root = scratchRoot(frontend);
    await using lock = await holdLock(join(root, frontend));
    const table = readFileSync('/proc/locks', 'utf8');
    // The same process table, with the device that btrfs would show; the process itself is asked through the real /proc.
    const procRoot = scratchRoot();
    symlinkSync(`/proc/${lock.pid}`, join(procRoot, String(lock.pid)));
    write(join(procRoot, 'locks'), table.replaceAll(/ [\da-f]+:[\da-f]+:(\d+) /g, ' 00:99:$1 '));
    expect(await packageManagerAtWork({ root, procRoot })).toMatchObject({ pid: lock.pid });
  });

  describe('files with a pid', () => {
    const running = (pid: number, name: string): string => {
      const procRoot = scratchRoot('/locks');
      write(join(procRoot, String(pid), 'stat'), `${pid} (${name}) S 1 ${pid} ${pid} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0`);
      return procRoot;
    };

    test.each([
      ['/run/zypp.pid', 'zypper'],
      ['/run/yum.pid', 'yum'],
      ['/var/lib/dnf/rpmdb_lock.pid', 'dnf'],
    ])('%s of a living %s counts', async (file, name) => {
      const root = scratchRoot();
      write(join(root, file), '4242\n');
      expect(await packageManagerAtWork({ root, procRoot: running(4242, name) })).toEqual({ pid: 4242, name, file: join(root, file) });
    });

    test.each([
      ['its process is gone', '4242', 1, 'init'],
      ['its pid is somebody else now', '4242', 4242, 'sshd'],
      ['it holds no pid', 'garbage', 4242, 'yum'],
    ])('one that was left behind says nothing: %s', async (_, text, pid, name) => {
      const root = scratchRoot();
      write(join(root, '/run/yum.pid'), text);
      expect(await packageManagerAtWork({ root, procRoot: running(pid, name) })).toBeNull();
    });
  });

  test('without a table of locks nothing can be told', async () => {
    await expect(packageManagerAtWork({ root: scratchRoot(frontend), procRoot: scratchRoot() })).rejects.toThrow(/ENOENT/);
  });
});
