/** The process table of the machine, for cleaning up: found by what is in them, killed by pid. */
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessFacts {
  readonly pid: number;
  readonly cmdline: readonly string[];
  readonly cgroup: string;
}

export function listProcesses(): readonly ProcessFacts[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const cmdline = readProc(`${name}/cmdline`);
      const cgroup = readProc(`${name}/cgroup`);
      return cmdline === undefined || cgroup === undefined ? [] : [{ pid: Number(name), cmdline: cmdline.split('\0'), cgroup }];
    });
}

/** Field 22 of /proc/PID/stat, which tells a process from a later one with the same pid; undefined: it is gone. */
export function startTicks(pid: number): number | undefined {
  const stat = readProc(`${pid}/stat`);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? undefined : Number(fields[19]);
}

/** Sends a signal; a process that is gone is fine. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'utf8');
  } catch {
    return undefined;
  }
}
