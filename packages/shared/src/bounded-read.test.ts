/** Each through the two that read: what stands behind a name that a person has given. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readBounded, readBoundedSync } from './bounded-read.ts';

const directory = mkdtempSync(join(tmpdir(), 'relight-bounded-'));
afterAll(() => rmSync(directory, { recursive: true }));
const path = (name: string): string => join(directory, name);
function written(name: string, content: string): string {
  writeFileSync(path(name), content);
  return path(name);
}
function fifo(name: string): string {
  execFileSync('mkfifo', [path(name)]);
  return path(name);
}

describe.each<[string, typeof readBounded]>([
  ['without waiting', readBounded],
  ['with the thread', async (...given) => readBoundedSync(...given)],
])('%s', (way, read) => {
  test('a file that fits is read whole, to the last byte, and one more is refused', async () => {
    const file = written(`${way}-file`, 'x'.repeat(100_000));
    expect((await read(file, 100_000)).toString()).toBe('x'.repeat(100_000));
    await expect(read(file, 99_999)).rejects.toThrow('it is longer than 97.7 KiB');
    expect(await read(written(`${way}-empty`, ''), 10)).toHaveLength(0);
    expect(await read('/dev/null', 10)).toHaveLength(0);
    // Its size is said to be 0.
    expect((await read('/proc/self/status', 100_000)).length).toBeGreaterThan(100);
  });

  test('what has no end is read no further than that', async () => {
    await expect(read('/dev/zero', 1_024)).rejects.toThrow('it is longer than 1.0 KiB');
    const sparse = written(`${way}-sparse`, '');
    truncateSync(sparse, 10 * 1024 ** 3);
    await expect(read(sparse, 1_024)).rejects.toThrow('it is longer than 1.0 KiB');
  });

  test('a pipe that nobody writes to, and one that nobody closes', async () => {
    const lonely = fifo(`${way}-lonely`);
    await expect(read(lonely, 10, { patienceMs: 40 })).rejects.toThrow('it is a pipe, and nothing comes from it');
    const open = fifo(`${way}-open`);
    const writer = spawn('sh', ['-c', 'exec 3<>"$1"; printf some >&3; echo; exec sleep 600', 'sh', open], { stdio: 'pipe' });
    try {
      await once(writer.stdout, 'data');
      await expect(read(open, 10, { patienceMs: 40 })).rejects.toThrow('it is a pipe that does not come to an end');
    } finally {
      writer.kill('SIGKILL');
      await once(writer, 'exit');
    }
  });

  test('a pipe whose writer comes later is waited for', async () => {
    const file = fifo(`${way}-late`);
    const writer = spawn('sh', ['-c', 'sleep 0.1; printf "one "; sleep 0.1; printf two', 'sh'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const into = spawn('sh', ['-c', 'cat >"$1"', 'sh', file], { stdio: [writer.stdout, 'ignore', 'inherit'] });
    const ended = once(into, 'exit');
    expect((await read(file, 100)).toString()).toBe('one two');
    await ended;
  });

  test('what is no file, or not there', async () => {
    await expect(read(directory, 10)).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(read(path('none'), 10)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
