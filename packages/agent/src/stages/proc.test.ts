import { expect, it } from 'vitest';
import { isAlive, normalPath, parseMountinfo, parseStat, readStat, topMountAt } from './proc.ts';

it('reads a stat line whose name holds spaces and parentheses', () => {
  const line = `42 (a) b (c) S 1 40 41 0 -1 4194560 ${'0 '.repeat(12)}987654 1 2 3\n`;
  expect(parseStat(line)).toEqual({
    pid: 42,
    comm: 'a) b (c',
    state: 'S',
    ppid: 1,
    pgrp: 40,
    session: 41,
    startTicks: 987_654,
    exiting: false,
  });
  // 0x40004c: the kernel frees its memory, which takes seconds when there is much of it.
  expect(parseStat(line.replace('4194560', '4194380'))).toMatchObject({ state: 'S', exiting: true });
  expect(parseStat('')).toBeNull();
  expect(parseStat('42 (x) S')).toBeNull();
});

it('reads mounts with optional fields and escaped names, the last of several being on top', () => {
  const mounts = parseMountinfo(
    [
      '500 499 0:52 / /data rw,nosuid shared:1 master:2 - fuse.gcsfuse my-bucket rw,user_id=0',
      '501 500 8:1 /var/x//deleted /run/relight rw - ext4 /dev/sda1 rw',
      String.raw`502 500 0:53 / /with\040space rw - fuse src\134x rw`,
      '503 500 0:54 / /data rw - fuse other rw',
      'damaged',
    ].join('\n'),
  );
  expect(mounts).toHaveLength(4);
  expect(topMountAt(mounts, '/data/')).toMatchObject({ device: '0:54', root: '/', mountPoint: '/data', fsType: 'fuse', source: 'other' });
  expect(topMountAt(mounts, '/with space')?.source).toBe(String.raw`src\x`);
  expect(topMountAt(mounts, '/run/relight')?.root).toBe('/var/x//deleted');
  expect(topMountAt(mounts, '/dat')).toBeNull();
  expect(normalPath('//a/./b//')).toBe('/a/b');
});

it('knows a process by pid and start', () => {
  const self = readStat('/proc', process.pid);
  expect(self?.pid).toBe(process.pid);
  expect(isAlive('/proc', process.pid, self?.startTicks ?? 0)).toBe(true);
  expect(isAlive('/proc', process.pid, (self?.startTicks ?? 0) + 1)).toBe(false);
  expect(isAlive('/proc', 0, 0)).toBe(false);
  expect(readStat('/proc', 2 ** 22 + 1)).toBeNull();
});
