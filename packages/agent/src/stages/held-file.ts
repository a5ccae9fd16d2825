/**
 * What a process of a container has open, opened by the agent. Its root leads the descriptor wherever it likes, and on FUSE, 9p or NFS
 * already the opening may wait for ever; so may asking what kind of file it is.
 *
 * The kernel says on which mount the descriptor lies (`mnt_id`), and the process's mount table what that is, both from its own memory.
 * O_PATH opens no file either: on its descriptor the same is asked once more, for meanwhile the other may lead elsewhere.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Local ones that answer from memory or a disk of this host. Everything else may hang for ever: FUSE, NFS, 9p, Ceph … */
export const answering: ReadonlySet<string> = new Set(
  'overlay ext2 ext3 ext4 xfs btrfs zfs tmpfs ramfs f2fs bcachefs jfs aufs squashfs erofs'.split(' '),
);

const { O_NONBLOCK, O_PATH, O_RDONLY } = { O_PATH: 0o10000000, ...constants };

/** `path`: `/proc/PID/fd/N`. Null: it is not there, is no regular file, or lies where nothing of ours may go. Throws errno errors. */
export function openHeld(path: string): number | null {
  try {
    const held = readFileSync(path.replace(/\/fd\/(\d+)$/, '/fdinfo/$1'), 'latin1');
    const mount = mountIdIn(held);
    if (!mayBeEntered(readFileSync(`${dirname(dirname(path))}/mountinfo`, 'latin1'), mount)) return null;
    const handle = openSync(path, O_PATH);
    try {
      if (mountIdOf(handle) !== mount || !fstatSync(handle).isFile()) return null;
      return openSync(`/proc/self/fd/${handle}`, O_RDONLY | O_NONBLOCK);
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // EINVAL: the mount table of a process that has ended and is not waited for yet.
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'ENOTDIR' || code === 'EINVAL') return null;
    throw error;
  }
}

/** The kernel's word, from its own memory: no file system is asked. */
export const mountIdOf = (fd: number): number => mountIdIn(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'));

const mountIdIn = (fdinfo: string): number => Number(/^mnt_id:\s*(\d+)$/m.exec(fdinfo)?.[1] ?? Number.NaN);

/** An overlay may have anything below it: only one that the host has, too, the engine's own or this agent's, was not made in the container. */
function mayBeEntered(mountinfo: string, mount: number): boolean {
  const found = mountsIn(mountinfo).find(({ id }) => id === mount);
  if (found === undefined || !answering.has(found.type)) return false;
  return (
    found.type !== 'overlay' ||
    mountsIn(readFileSync('/proc/self/mountinfo', 'latin1')).some(({ type, device }) => type === 'overlay' && device === found.device)
  );
}

function mountsIn(mountinfo: string): { readonly id: number; readonly device: string; readonly type: string }[] {
  return mountinfo.split('\n').map((line) => {
    const [id = '', , device = ''] = line.split(' ', 3);
    return { id: Number(id), device, type: line.split(' - ')[1]?.split(' ')[0] ?? '' };
  });
}
