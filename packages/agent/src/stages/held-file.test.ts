import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { mountIdOf, openHeld } from './held-file.ts';

let root = '';
const open: number[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'relight-held-'));
});
afterEach(() => {
  for (const fd of open.splice(0)) closeSync(fd);
  rmSync(root, { recursive: true });
});

const hold = (path: string, flags: number): string => {
  const fd = openSync(path, flags);
  open.push(fd);
  return `/proc/${process.pid}/fd/${fd}`;
};

function textOf(path: string): string | null {
  const fd = openHeld(path);
  if (fd === null) return null;
  open.push(fd);
  return readFileSync(fd, 'utf8');
}

it('opens what is held, also when its name is gone, and only a regular file', () => {
  const file = join(root, '7.process.log');
  writeFileSync(file, 'line\n');
  const held = hold(file, constants.O_RDONLY);
  unlinkSync(file);
  expect(textOf(held)).toBe('line\n');
  expect(textOf(hold(root, constants.O_RDONLY))).toBeNull();
  execFileSync('mkfifo', [join(root, 'pipe')]);
  expect(textOf(hold(join(root, 'pipe'), constants.O_RDONLY | constants.O_NONBLOCK))).toBeNull();
  expect(textOf(`/proc/${process.pid}/fd/99999`)).toBeNull();
});

/** As the kernel would show a process that holds `file` on a mount of this type. `mount`: what it says of the descriptor. */
function pretended(fsType: string, device = '8:1', mount?: number): string {
  const file = join(root, '7.process.log');
  writeFileSync(file, 'line\n');
  const descriptor = openSync(file, constants.O_RDONLY);
  open.push(descriptor);
  const directory = mkdtempSync(join(root, 'process-'));
  for (const name of ['fd', 'fdinfo']) mkdirSync(join(directory, name));
  symlinkSync(file, join(directory, 'fd', '9'));
  writeFileSync(join(directory, 'fdinfo', '9'), `pos:\t0\nflags:\t0100000\nmnt_id:\t${mount ?? mountIdOf(descriptor)}\n`);
  const id = mount ?? mountIdOf(descriptor);
  writeFileSync(join(directory, 'mountinfo'), `${id} 1 ${device} / /run/relight rw,relatime - ${fsType} source rw\n`);
  return join(directory, 'fd', '9');
}

it('opens nothing that lies on a file system which may never answer, or on one that the container has put together', () => {
  expect(textOf(pretended('ext4'))).toBe('line\n');
  for (const type of ['fuse', 'fuse.bindfs', '9p', 'nfs4', 'ceph']) expect(textOf(pretended(type))).toBeNull();
  // No such overlay is mounted on the host.
  expect(textOf(pretended('overlay', '0:999999'))).toBeNull();
});

it('opens nothing that has come into the place of what was looked at', () => {
  expect(textOf(pretended('ext4', '8:1', 999_999_999))).toBeNull();
});
