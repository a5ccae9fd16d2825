/** /proc/locks: who really holds a file, told by the kernel. That a lock file exists says nothing. Pure. */

export interface HeldLock {
  /** -1: an open file description lock, which belongs to no single process. */
  readonly pid: number;
  /** As `st_dev` splits up. */
  readonly major: number;
  readonly minor: number;
  readonly inode: number;
}

/** Locks for writing that are held; readers (`rpm -q`) and those who only wait for a lock are left out. */
export function parseLocks(text: string): readonly HeldLock[] {
  const locks: HeldLock[] = [];
  // 2: POSIX  ADVISORY  WRITE 9236 fe:00:398608 0 EOF
  for (const [, pid, major = '', minor = '', inode] of text.matchAll(
    /^\d+: +(?:POSIX|OFDLCK|FLOCK) +\S+ +WRITE +(-?\d+) ([\da-f]+):([\da-f]+):(\d+) /gm,
  )) {
    locks.push({ pid: Number(pid), major: Number.parseInt(major, 16), minor: Number.parseInt(minor, 16), inode: Number(inode) });
  }
  return locks;
}

/** As the kernel puts major and minor together for `st_dev`. */
export function splitDevice(dev: number): { readonly major: number; readonly minor: number } {
  return { major: (dev >>> 8) & 0xfff, minor: (dev & 0xff) | ((dev >>> 12) & 0xfff00) };
}
