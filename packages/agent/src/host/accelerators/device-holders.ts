/**
 * Which processes of this host have a device open, by the names of their descriptors in /proc. Only links are read, never
 * followed: what is behind a descriptor may be a hung file system.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { setImmediate as yieldToLoop } from 'node:timers/promises';
import type { Clock } from '@relight/shared/clock';
import { canRun, listPids, readCgroup, readStat } from '../../stages/proc.ts';
import { readRunIds } from '../../stages/run-scan.ts';

export interface DeviceHolder {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat; with the pid it names one process for ever. */
  readonly startTicks: number;
  readonly name: string;
  /** As the process has opened them. */
  readonly devices: readonly string[];
  /** The full id of the container that its cgroup names; null: none. */
  readonly containerId: string | null;
  /** RELIGHT_RUN of its environment; null: none, or it cannot be read. */
  readonly runId: string | null;
}

const pidsPerTurn = 128;

/** Everything of the host that has one of `devices` open: a scan of all processes, a few milliseconds a thousand. */
export async function holdersOf(devices: ReadonlySet<string>, clock: Clock, procRoot = '/proc'): Promise<readonly DeviceHolder[]> {
  if (devices.size === 0) return [];
  const found: Omit<DeviceHolder, 'runId'>[] = [];
  for (const [index, pid] of listPids(procRoot).entries()) {
    if (index % pidsPerTurn === pidsPerTurn - 1) await yieldToLoop();
    const open = openPaths(procRoot, pid).filter((path) => devices.has(path));
    const stat = open.length === 0 ? null : readStat(procRoot, pid);
    if (stat === null || !canRun(stat)) continue;
    const containerId = /[0-9a-f]{64}/.exec(readCgroup(procRoot, pid) ?? '')?.[0] ?? null;
    found.push({ pid, startTicks: stat.startTicks, name: stat.comm, devices: [...new Set(open)].toSorted(), containerId });
  }
  const pids = found.map(({ pid }) => pid);
  const runIds = await readRunIds(procRoot, pids, clock);
  return found.map((holder) => ({ ...holder, runId: runIds.get(holder.pid) ?? null }));
}

/** Empty for a process that has ended, or that this user may not look at. */
function openPaths(procRoot: string, pid: number): string[] {
  let descriptors: string[];
  try {
    descriptors = readdirSync(`${procRoot}/${pid}/fd`);
  } catch {
    return [];
  }
  return descriptors.flatMap((descriptor) => {
    try {
      return [readlinkSync(`${procRoot}/${pid}/fd/${descriptor}`)];
    } catch {
      return [];
    }
  });
}
