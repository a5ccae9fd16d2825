/** Room on a file system: bytes and inodes. */
import { statfs } from 'node:fs/promises';
import { formatBytes } from '@relight/shared/units';
import { ok, warning, type Finding } from '@relight/shared/finding';

/** Below this an image pull or a day of logs fills the disk. */
const freeShareMin = 0.05;
const freeBytesMin = 1024 ** 3;

/** @param what `state_dir /x is writable`; the room is added to it */
export async function checkRoom(what: string, path: string): Promise<Finding> {
  const { bavail, blocks, bsize, files, ffree } = await statfs(path);
  const free = bavail * bsize;
  const text = `${what}, ${formatBytes(free)} free`;
  if (free < freeBytesMin || bavail < blocks * freeShareMin) return warning(text, 'Free disk space: the engine and the logs need it.');
  // Some file systems (btrfs) count none.
  if (files > 0 && ffree < files * freeShareMin) {
    return warning(
      `${text}, but only ${ffree} of ${files} inodes`,
      'Remove small files by the thousand: caches, old sessions, docker image prune.',
    );
  }
  return ok(text);
}
