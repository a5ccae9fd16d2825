/** Where a build makes its files before they appear: named after its process, so that what an interrupted one has left goes with the next. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

const prefix = '.build-';

/** A new one in `parent`, which whoever makes it removes. */
export async function buildDirectory(parent: string): Promise<string> {
  await mkdir(parent, { recursive: true });
  await removeInterrupted(parent);
  return mkdtemp(join(parent, `${prefix}${process.pid}-`));
}

/** Builds that run now keep theirs. */
export async function removeInterrupted(parent: string): Promise<void> {
  const left = (await readdir(parent).catch(() => [])).filter((name) => name.startsWith(prefix) && !isInUse(name));
  await Promise.all(left.map((name) => rm(join(parent, name), { recursive: true, force: true })));
}

/** One without a number is of a build before they had one. */
function isInUse(name: string): boolean {
  const pid = Number(/^\.build-(\d+)-/.exec(name)?.[1] ?? 0);
  if (pid === 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's lives, too.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
