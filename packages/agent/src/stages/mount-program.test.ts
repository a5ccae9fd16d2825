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
  ["fuse: device not found, try 'modprobe fuse' first", false],
  ['fusermount3: fuse device not found | /dev/fuse: No such file or directory', false],
  ['Error: exec: "fusermount3": executable file not found in $PATH', false],
  ['fusermount3: mount failed: Operation not permitted', false],
  ['google: could not find default credentials', false],
  ["storage: bucket doesn't exist", false],
  ['does not have storage.objects.list access to the bucket', false],
  ['dial tcp: lookup storage.googleapis.com: i/o timeout', true],
  ['sh: gcsfuse: not found', true],
])('is it worth another try? %s', (output, recoverable) => {
  const error = mountFailure(gcsfuse('x'), 'exit code 1', output);
  expect([error.code, error.recoverable]).toEqual(['mount-failed', recoverable]);
  expect(error.message).toBe(`mount data: exit code 1: ${output}`);
});

it('reads what stat says of a mount', () => {
  const said = "stat: cannot read file system information for '/proc/9/root/d': ";
  expect(judgeFailure(`${said}Transport endpoint is not connected`)).toEqual(['disconnected', 'Transport endpoint is not connected']);
  expect(judgeFailure(`${said}Software caused connection abort`)[0]).toBe('disconnected');
  expect(judgeFailure(`${said}Permission denied`)).toEqual(['error', 'Permission denied']);
});
