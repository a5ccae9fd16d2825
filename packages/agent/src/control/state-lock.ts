/**
 * One agent per state directory. The lock is a symbolic link `lock.N` whose target names its holder (pid, start time, boot);
 * making one is atomic and brings its content along, and a holder that was killed with -9 is known to be dead by its pid and
 * start time. The highest N counts.
 *
 * A stale lock is never removed before it is succeeded: who takes over N makes N+1, which only one contender can, and then
 * looks whether it is still the highest. Numbers only grow, so somebody who looked long ago cannot win with an old number.
 * (Removing the stale file first, as pid files do, lets two contenders each remove the other's fresh lock.)
 */
import { errorMessage, RelightError } from '@relight/shared/errors';
import { mkdirSync, readdirSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { readBootId } from '../host/boot-id.ts';
import { isAlive, readStat } from '../stages/proc.ts';

export interface StateLock {
  /** False once the directory was deleted under us, or somebody has taken over: then the state is no longer ours to write. */
  held(): boolean;
  /** For the next agent to see at once that it is free. Not needed: the end of the process releases the lock as well. */
  release(): void;
}

interface Holder {
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
}

const releasedTarget = 'released';
/** How many locks this process has asked for. */
let asked = 0;

/** Makes the state directory (mode 0700) if it is missing. Fails with already-running, naming the pid of the other agent. */
export function acquireStateLock(stateDir: string, procRoot = '/proc'): StateLock {
  makeStateDir(stateDir);
  const self = ownIdentity(procRoot);
  // The last part tells our lock from a later one of this process that got the same number in a directory made anew. All of it has less than
  // 60 bytes: ext4 keeps that in the inode, where a longer one needs a block, which a full disk does not have.
  const target = `${self.pid}.${self.startTicks}.${self.bootId}.${(asked++).toString(36)}`;
  for (;;) {
    const current = newest(stateDir);
    const holder = current === 0 ? null : readHolder(stateDir, current);
    if (holder !== null && holds(holder, procRoot)) {
      const whose = holder.pid === self.pid ? 'this process' : `pid ${holder.pid}`;
      throw new RelightError('already-running', `another agent (${whose}) uses the state directory ${stateDir}`, {
        data: { pid: holder.pid, stateDir },
      });
    }
    const mine = current + 1;
    if (!tryLink(stateDir, mine, target)) continue;
    if (newest(stateDir) === mine) {
      removeBelow(stateDir, mine);
      return lock(stateDir, mine, target);
    }
    removeIfThere(linkPath(stateDir, mine));
  }
}

function makeStateDir(stateDir: string): void {
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw unusable(stateDir, cause);
  }
}

function unusable(stateDir: string, cause: unknown): RelightError {
  const advice = 'Run the agent as root, on a disk that is writable and not full, or give another --state-dir.';
  return new RelightError('config-invalid', `the state directory ${stateDir} cannot be used: ${errorMessage(cause)}`, { cause, advice });
}

function lock(stateDir: string, mine: number, target: string): StateLock {
  const held = (): boolean => newest(stateDir) === mine && readTarget(stateDir, mine) === target;
  return {
    held,
    release() {
      if (held() && tryLink(stateDir, mine + 1, releasedTarget)) removeBelow(stateDir, mine + 1);
    },
  };
}

const linkPath = (stateDir: string, number: number): string => join(stateDir, `lock.${number}`);

function lockNumbers(stateDir: string): readonly number[] {
  try {
    return readdirSync(stateDir).flatMap((name) => {
      const number = /^lock\.([1-9]\d{0,14})$/.exec(name)?.[1];
      return number === undefined ? [] : [Number(number)];
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

const newest = (stateDir: string): number => Math.max(0, ...lockNumbers(stateDir));

/** Null: released, succeeded in the meantime, or not made by an agent. */
function readHolder(stateDir: string, number: number): Holder | null {
  const [, pid, startTicks, bootId] = /^(\d+)\.(\d+)\.([0-9a-f-]+)\./.exec(readTarget(stateDir, number) ?? '') ?? [];
  return bootId === undefined ? null : { pid: Number(pid), startTicks: Number(startTicks), bootId };
}

/** Null: it is not there (any more), or not a link. */
function readTarget(stateDir: string, number: number): string | null {
  try {
    return readlinkSync(linkPath(stateDir, number));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'EINVAL') return null;
    throw error;
  }
}

const holds = (holder: Holder, procRoot: string): boolean =>
  holder.bootId === readBootId(procRoot) && isAlive(procRoot, holder.pid, holder.startTicks);

function ownIdentity(procRoot: string): Holder {
  const self = readStat(procRoot, process.pid);
  if (self === null) throw new RelightError('internal', `${procRoot} does not show this process`);
  return { pid: process.pid, startTicks: self.startTicks, bootId: readBootId(procRoot) };
}

/** False: somebody was faster. */
function tryLink(stateDir: string, number: number, target: string): boolean {
  try {
    symlinkSync(target, linkPath(stateDir, number));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw unusable(stateDir, error);
  }
}

function removeBelow(stateDir: string, limit: number): void {
  for (const number of lockNumbers(stateDir)) if (number < limit) removeIfThere(linkPath(stateDir, number));
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
