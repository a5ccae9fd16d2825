/**
 * What /proc says about processes and mounts: pure parsers and thin readers. Only files that never wait for another
 * process's memory are read here (stat, cgroup, mountinfo); `environ` may block behind a page fault on a hung mount and is
 * therefore read by a child (run-scan.ts).
 */
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcStat {
  readonly pid: number;
  /** At most 15 characters. */
  readonly comm: string;
  /** R, S, D, T, t, Z, X, I */
  readonly state: string;
  readonly ppid: number;
  readonly pgrp: number;
  readonly session: number;
  /** Field 22: clock ticks after boot. */
  readonly startTicks: number;
  /** On its way out: it runs no code of its own any more, and is no zombie yet. */
  readonly exiting: boolean;
}

/** PF_EXITING of the kernel's process flags. */
const exitingFlag = 0x4;

/** Null when the text is not a stat line. The name may hold spaces and parentheses, so the last one counts. */
export function parseStat(text: string): ProcStat | null {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return null;
  const fields = text.slice(close + 2).split(' ');
  const stat = {
    pid: Number(text.slice(0, open)),
    comm: text.slice(open + 1, close),
    state: fields[0] ?? '',
    ppid: Number(fields[1]),
    pgrp: Number(fields[2]),
    session: Number(fields[3]),
    startTicks: Number(fields[19]),
    exiting: (Number(fields[6]) & exitingFlag) !== 0,
  };
  return Number.isSafeInteger(stat.pid) && Number.isSafeInteger(stat.startTicks) ? stat : null;
}

export interface MountEntry {
  /** `0:52`; for FUSE the minor number is the connection's number in fusectl. */
  readonly device: string;
  /** Which part of the file system is mounted; ends in `//deleted` when a bound directory was removed. */
  readonly root: string;
  /** As the process sees it, symbolic links resolved. */
  readonly mountPoint: string;
  readonly fsType: string;
  readonly source: string;
  /** Of this mount, not of its file system. */
  readonly options?: readonly string[];
  /** Of the file system, not of this mount; for cgroup v1 they name its controllers. */
  readonly superOptions?: readonly string[];
}

/** The mounts in mount order: of several at one mount point the last is on top. */
export function parseMountinfo(text: string): MountEntry[] {
  const mounts: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6);
    const [, , device, root, mountPoint, options = ''] = fields;
    if (separator < 0 || device === undefined || root === undefined || mountPoint === undefined) continue;
    mounts.push({
      device,
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      fsType: fields[separator + 1] ?? '',
      source: unescapeOctal(fields[separator + 2] ?? ''),
      options: options.split(','),
      superOptions: fields[separator + 3]?.split(',') ?? [],
    });
  }
  return mounts;
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

export const isFuse = (mount: MountEntry): boolean =>
  mount.fsType === 'fuse' || mount.fsType.startsWith('fuse.') || mount.fsType === 'fuseblk';

/** The mount that a process sees at `target`, or null. Trailing and doubled slashes of `target` do not matter. */
export function topMountAt(mounts: readonly MountEntry[], target: string): MountEntry | null {
  const wanted = normalPath(target);
  return mounts.findLast((mount) => mount.mountPoint === wanted) ?? null;
}

/** The FUSE mount that a process sees at `target`; null when there is none, or something else covers it. */
export function fuseOnTop(mounts: readonly MountEntry[], target: string): MountEntry | null {
  const top = topMountAt(mounts, target);
  return top !== null && isFuse(top) ? top : null;
}

export function normalPath(path: string): string {
  return `/${path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')}`;
}

/** Null when the process is gone. */
export function readStat(procRoot: string, pid: number): ProcStat | null {
  const text = readProc(`${procRoot}/${pid}/stat`);
  return text === null ? null : parseStat(text);
}

/** True when `pid` is still the process that started at `startTicks` and has not ended (a zombie has). */
export function isAlive(procRoot: string, pid: number, startTicks: number): boolean {
  const stat = pid > 0 ? readStat(procRoot, pid) : null;
  return stat !== null && stat.startTicks === startTicks && canRun(stat);
}

/**
 * True when `pid` is a process that can still run code: a zombie cannot, nor can one that is ending. The first process of a
 * container ends after all others, whose memory the kernel takes seconds to free when there is much of it: that container is
 * dead long before the engine says so. For a pid that was true a moment ago.
 */
export function isExecuting(procRoot: string, pid: number): boolean {
  const stat = pid > 0 ? readStat(procRoot, pid) : null;
  return stat !== null && canRun(stat) && !stat.exiting;
}

/** A zombie holds nothing, and only its parent can end it. */
export const canRun = ({ state }: ProcStat): boolean => state !== 'Z' && state !== 'X';

/** The mounts that a process sees; null when it is gone. */
export function readMountinfo(procRoot: string, pid: number): MountEntry[] | null {
  const text = readProc(`${procRoot}/${pid}/mountinfo`);
  // A process that is just ending has no mount namespace any more and shows nothing.
  return text === null || text === '' ? null : parseMountinfo(text);
}

export function readCgroup(procRoot: string, pid: number): string | null {
  return readProc(`${procRoot}/${pid}/cgroup`);
}

export function listPids(procRoot: string): number[] {
  return readdirSync(procRoot)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function readProc(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ESRCH and EINVAL: the process ended between open and read.
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EINVAL') return null;
    throw error;
  }
}
