import { statSync } from 'node:fs';
import { isExecuting, isFuse, readMountinfo, topMountAt } from './proc.ts';
import { runDirectoryTarget } from './runs.ts';

/**
 * Does a process see `directory` of the host at /run/relight? By device and inode. `gone`: the process is, so it says nothing.
 * Nothing on a FUSE mount is touched.
 */
export function seenDirectory(procRoot: string, pid: number, directory: string): 'same' | 'lost' | 'gone' {
  const mounts = pid > 0 ? readMountinfo(procRoot, pid) : null;
  if (mounts === null) return 'gone';
  const top = topMountAt(mounts, runDirectoryTarget);
  if (top === null || isFuse(top) || top.root.endsWith('//deleted')) return 'lost';
  if (mounts.some((mount) => isFuse(mount) && (mount.mountPoint === '/' || mount.mountPoint === '/run'))) return 'same';
  try {
    const inside = statSync(`${procRoot}/${pid}/root${runDirectoryTarget}`);
    const outside = statSync(directory);
    return inside.ino === outside.ino && inside.dev === outside.dev ? 'same' : 'lost';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return isExecuting(procRoot, pid) ? 'lost' : 'gone';
  }
}
