import { expect, it } from 'vitest';
import type { MountSpec } from '../config/spec.ts';
import { judgeFailure } from '../checks/mount.ts';
import { isWanted, mountCommand, mountFailure } from './mount-program.ts';

const common = { name: 'data', target: '/data', timeoutMs: 1_000, check: { intervalMs: 1, timeoutMs: 1, failures: 1 } };
const gcsfuse = (bucket: string): MountSpec => ({ ...common, type: 'gcsfuse', bucket, onlyDir: null, implicitDirs: false, options: [] });
const entry = (source: string, fsType = 'fuse.gcsfuse') => ({
  device: '0:50',
  root: '/',
  mountPoint: '/data',
  fsType,
  source,
  superOptions: [],
});

it('leaves the bucket out for all buckets', () => {
  expect(mountCommand(gcsfuse('${B}'), { B: 'x' })).toEqual({ argv: ['gcsfuse', '--foreground', 'x', '/data'] });
  for (const all of ['', '_']) expect(mountCommand(gcsfuse(all), {})).toEqual({ argv: ['gcsfuse', '--foreground', '/data'] });
});

it('knows the wanted mount by its source', () => {
  expect(isWanted(entry('x'), gcsfuse('x'), {})).toBe(true);
  expect(isWanted(entry('y'), gcsfuse('x'), {})).toBe(false);
  expect(isWanted(entry('gcsfuse'), gcsfuse('_'), {})).toBe(true);
  expect(isWanted(entry('x', 'ext4'), gcsfuse('x'), {})).toBe(false);
  expect(isWanted(entry('anything', 'fuse'), { ...common, type: 'command', run: { text: '' } }, {})).toBe(true);
});

it.each([
  ["fuse: device not found, try 'modprobe fuse' first", 'fuse-missing'],
  ['fusermount3: fuse device not found | /dev/fuse: No such file or directory', 'fuse-missing'],
  ['Error: exec: "fusermount3": executable file not found in $PATH', 'fuse-missing'],
  ['fusermount3: mount failed: Operation not permitted', 'fuse-missing'],
  ['google: could not find default credentials', 'credentials-rejected'],
  ["storage: bucket doesn't exist", 'bucket-unknown'],
  ['does not have storage.objects.list access to the bucket', 'credentials-rejected'],
  ['write /tmp/gcsfuse123: no space left on device', 'disk-full'],
  ['dial tcp: lookup storage.googleapis.com: i/o timeout', 'mount-failed'],
  ['sh: gcsfuse: not found', 'mount-failed'],
])('is it worth another try? %s', (output, code) => {
  const error = mountFailure(gcsfuse('x'), 'exit code 1', ['Starting gcsfuse', output, 'bye'], 1);
  expect([error.code, error.recoverable]).toEqual([code, code === 'mount-failed']);
  expect(error.message).toBe(`mount data: exit code 1: Starting gcsfuse | ${output} | bye`);
});

it('reads what stat says of a mount', () => {
  const said = "stat: cannot read file system information for '/proc/9/root/d': ";
  expect(judgeFailure(`${said}Transport endpoint is not connected`)).toEqual(['disconnected', 'Transport endpoint is not connected']);
  expect(judgeFailure(`${said}Software caused connection abort`)[0]).toBe('disconnected');
  expect(judgeFailure(`${said}Permission denied`)).toEqual(['error', 'Permission denied']);
});
