/**
 * Is a package manager at work? It replaces drivers, libraries and the engine under our feet, and a start in the middle of that
 * fails in ways that nobody understands later. Told by who really holds its locks; nothing is ever waited for here.
 */
import { readFile } from 'node:fs/promises';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readStat } from '../../stages/proc.ts';
import { parseLocks, splitDevice, type HeldLock } from './lock-table.ts';

/** Locked with fcntl by whoever changes packages. The longest-held first: apt keeps the front end's lock over all its dpkg runs. */
const lockFiles = [
  '/var/lib/dpkg/lock-frontend',
  '/var/lib/dpkg/lock',
  '/var/lib/apt/lists/lock',
  '/var/cache/apt/archives/lock',
  '/var/lib/rpm/.rpm.lock',
  '/usr/lib/sysimage/rpm/.rpm.lock',
  '/run/dnf/rpmtransaction.lock',
] as const;

/** Hold the pid of whoever works; they stay behind when it dies. */
const pidFiles = [
  '/run/yum.pid',
  '/run/zypp.pid',
  '/var/cache/dnf/metadata_lock.pid',
  '/var/cache/dnf/download_lock.pid',
  '/var/lib/dnf/rpmdb_lock.pid',
] as const;
/** Whoever has that pid now may be somebody else. */
const pidFileOwners = /^(?:dnf|yum|zypp|python|platform-python|packagekit|y2)/i;

export interface LockHolder {
  /** Null: an open file description lock, or a process that we cannot see. */
  readonly pid: number | null;
  /** At most 15 characters, as the kernel has it. */
  readonly name: string;
  readonly file: string;
}

export interface LockProbe {
  /** '/' for the host's own files. */
  readonly root?: string;
  readonly procRoot?: string;
  /** Further files whose lock means that something is at work. */
  readonly furtherFiles?: readonly string[];
  /** `further`: only those. */
  readonly only?: 'all' | 'further';
}

/**
 * Null: idle, as far as can be told. Fails when /proc/locks cannot be read. Asynchronous because the kernel halts everybody's
 * locking for that table, which takes it up to tens of milliseconds.
 */
export async function packageManagerAtWork({
  root = '/',
  procRoot = '/proc',
  furtherFiles = [],
  only = 'all',
}: LockProbe = {}): Promise<LockHolder | null> {
  const locks = parseLocks(await readFile(join(procRoot, 'locks'), 'utf8'));
  if (only === 'further') return lockHolder(locks, furtherFiles, procRoot);
  const files = [...lockFiles.map((file) => join(root, file)), ...furtherFiles];
  return (
    lockHolder(locks, files, procRoot) ??
    pidFileHolder(
      pidFiles.map((file) => join(root, file)),
      procRoot,
    )
  );
}

export const describeHolder = ({ pid, name, file }: LockHolder): string => `${name}${pid === null ? '' : ` (pid ${pid})`} holds ${file}`;

function lockHolder(locks: readonly HeldLock[], files: readonly string[], procRoot: string): LockHolder | null {
  if (locks.length === 0) return null;
  for (const file of files) {
    const stat = statSync(file, { throwIfNoEntry: false });
    const lock = stat === undefined ? undefined : locks.find((held) => isOn(held, stat, file, procRoot));
    if (lock !== undefined) return { ...nameOf(lock.pid, procRoot), file };
  }
  return null;
}

function isOn(lock: HeldLock, stat: { readonly dev: number; readonly ino: number }, file: string, procRoot: string): boolean {
  if (lock.inode !== stat.ino) return false;
  const { major, minor } = splitDevice(stat.dev);
  // btrfs and overlayfs show another device in stat than the kernel has inside: there the open file of the holder decides.
  return (lock.major === major && lock.minor === minor) || hasOpen(lock.pid, stat, file, procRoot);
}

/** Only files of the very name are asked for their inode: another one may lie on a mount that hangs. */
function hasOpen(pid: number, stat: { readonly dev: number; readonly ino: number }, file: string, procRoot: string): boolean {
  if (pid <= 0) return false;
  const directory = join(procRoot, String(pid), 'fd');
  try {
    return readdirSync(directory).some((fd) => {
      const link = join(directory, fd);
      if (readlinkSync(link) !== file) return false;
      const open = statSync(link);
      return open.dev === stat.dev && open.ino === stat.ino;
    });
  } catch {
    // It has ended, or belongs to somebody whose files we may not see.
    return false;
  }
}

function pidFileHolder(files: readonly string[], procRoot: string): LockHolder | null {
  for (const file of files) {
    const pid = Number(readIfThere(file));
    if (!Number.isSafeInteger(pid) || pid <= 0) continue;
    const name = readStat(procRoot, pid)?.comm;
    if (name !== undefined && pidFileOwners.test(name)) return { pid, name, file };
  }
  return null;
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}

function nameOf(pid: number, procRoot: string): Pick<LockHolder, 'pid' | 'name'> {
  const name = pid > 0 ? readStat(procRoot, pid)?.comm : undefined;
  return name === undefined ? { pid: null, name: 'a process' } : { pid, name };
}
