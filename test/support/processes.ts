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

/** Who started it, from /proc/PID/stat; undefined: it is gone. */
export function parentPid(pid: number): number | undefined {
  const stat = readProc(`${pid}/stat`);
  return stat === undefined ? undefined : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

/**
 * Without what one of them has forked and what has not yet become something else, and without what is gone by now: looked at once more,
 * such a child may have ended, and nobody can say any more whose it was.
 */
export function withoutForks(pids: readonly number[]): readonly number[] {
  return pids.filter((pid) => {
    const parent = parentPid(pid);
    return parent !== undefined && !pids.includes(parent);
  });
}

/** What a person would ask about a process that should not be there. */
export function describeProcess(pid: number): string {
  const cgroup = readProc(`${pid}/cgroup`)
    ?.split('\n')
    .find((line) => line.includes('docker'))
    ?.split('/')
    .at(-1)
    ?.slice(0, 12);
  const threads = readProc(`${pid}/status`)?.match(/^State:\s+(.*)$/m)?.[1];
  const ticks = startTicks(pid);
  const age = ticks === undefined ? '?' : (Number(readProc('uptime')?.split(' ')[0]) - ticks / 100).toFixed(1);
  return `pid ${pid} of ${parentPid(pid) ?? '?'}, ${threads ?? 'gone'}, ${age} s old, container ${cgroup ?? '?'}, ${readProc(`${pid}/environ`)?.match(/RELIGHT_RUN=[^\0]*/)?.[0] ?? 'no run'}`;
}

/** Sends a signal to a process, or with -PID to its group; one that is gone is fine. Fails for what is none: 0 would be this very test's group. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  if (!(Math.abs(pid) > 1)) throw new Error(`${pid} is no process that a test may send ${signal} to`);
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

/** After SIGSTOP: a thread that runs at that moment on another core still answers what it has just been asked. Throws after ten seconds. */
export function waitUntilStopped(pid: number): void {
  const until = performance.now() + 10_000;
  const isStopped = (thread: string): boolean => {
    try {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
      return /^[TtZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
    } catch {
      // It has ended.
      return true;
    }
  };
  while (!readdirSync(`/proc/${pid}/task`).every(isStopped)) {
    if (performance.now() > until) throw new Error(`process ${pid} was not stopped within 10 s`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
}
