import { expect, test } from 'vitest';
import { parseLocks, splitDevice } from './lock-table.ts';

test('locks for writing, of every kind; not readers, and not who waits', () => {
  const text = `1: POSIX  ADVISORY  WRITE 812 08:01:393223 0 EOF
1: -> POSIX  ADVISORY  WRITE 900 08:01:393223 0 EOF
2: FLOCK  ADVISORY  WRITE 44 fe:00:77 0 EOF
3: POSIX  ADVISORY  READ  45 fe:00:78 0 EOF
4: OFDLCK ADVISORY  WRITE -1 00:2b:79 0 1073741825
5: LEASE  ACTIVE    WRITE 46 fe:00:80 0 EOF
6: POSIX  MANDATORY WRITE 47 103:05:81 128 128
`;
  expect(parseLocks(text)).toEqual([
    { pid: 812, major: 8, minor: 1, inode: 393223 },
    { pid: 44, major: 0xfe, minor: 0, inode: 77 },
    { pid: -1, major: 0, minor: 0x2b, inode: 79 },
    { pid: 47, major: 0x103, minor: 5, inode: 81 },
  ]);
  expect(parseLocks('')).toEqual([]);
});

test('device numbers come apart as the kernel has put them together', () => {
  expect(splitDevice(65_024)).toEqual({ major: 254, minor: 0 });
  expect(splitDevice(0x0801)).toEqual({ major: 8, minor: 1 });
  // NVMe: a major above 255; a minor above 255.
  expect(splitDevice(0x1_0305)).toEqual({ major: 0x103, minor: 5 });
  expect(splitDevice(0x0010_082b)).toEqual({ major: 8, minor: 0x12b });
});
