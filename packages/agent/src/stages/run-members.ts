/**
 * Pure: which processes of a container belong to given runs. A process belongs to a run when its environment says so; when
 * its environment says nothing, when it is in a session that the run made, or descends from a process of the run. (A program
 * that changes its title, as Ray's workers do, overwrites its environment in /proc; an orphan loses its parent.)
 * A process whose environment names another run never does.
 */
import { parseRunId } from '../supervisor/run-id.ts';
import type { ProcStat } from './proc.ts';

export interface ContainerProcess extends ProcStat {
  /** The value of RELIGHT_RUN; null when it has none or it cannot be read. */
  readonly runId: string | null;
}

/** The wrapper of a run, a session leader, as it was when it started. */
export interface RunSession {
  readonly pid: number;
  readonly startTicks: number;
}

/** `owner/workload/generation/n`: what `before`, verify and the run itself have in common. */
export function runKey(runId: string): string {
  const parts = parseRunId(runId);
  return parts === undefined ? runId : [parts.owner, parts.workload, parts.generation, parts.n].join('/');
}

/**
 * `processes`: those of one container. `sessions`: of the runs, as recorded at their start. `aliveElsewhere`: is this pid
 * a living process outside the container? Such a session is not of our making.
 */
export function membersOf(
  processes: readonly ContainerProcess[],
  runIds: readonly string[],
  sessions: readonly RunSession[],
  aliveElsewhere: (pid: number) => boolean,
): ContainerProcess[] {
  const keys = new Set(runIds.map(runKey));
  const byPid = new Map(processes.map((process) => [process.pid, process]));
  const named = processes.filter(({ runId }) => runId !== null && keys.has(runKey(runId)));
  const members = new Set(named.map(({ pid }) => pid));

  const ownSession = (session: number): boolean => {
    const leader = byPid.get(session);
    return leader === undefined ? !aliveElsewhere(session) : members.has(leader.pid);
  };
  const ownSessions = new Set(named.map(({ session }) => session).filter(ownSession));
  const recorded = new Map(sessions.map((session) => [session.pid, session.startTicks]));

  for (const process of processes) {
    if (process.runId !== null) continue;
    const since = recorded.get(process.session);
    // The number of a session is not given away while a member lives, but the record may be older than the session.
    const leaderTicks = byPid.get(process.session)?.startTicks ?? since;
    const inRecorded = since !== undefined && process.startTicks >= since && leaderTicks === since;
    if (inRecorded || ownSessions.has(process.session)) members.add(process.pid);
  }
  for (let before = -1; before < members.size;) {
    before = members.size;
    for (const process of processes) {
      if (process.runId === null && members.has(process.ppid)) members.add(process.pid);
    }
  }
  return processes.filter(({ pid }) => members.has(pid));
}

/** The process that stands for a run: its session leader, or the oldest when that is gone. */
export function leaderOf(members: readonly ContainerProcess[]): ContainerProcess | null {
  const byAge = members.toSorted((a, b) => a.startTicks - b.startTicks || a.pid - b.pid);
  return byAge.find(({ pid, session }) => pid === session) ?? byAge[0] ?? null;
}

/** Output of `grep -z -H ^RELIGHT_RUN= /proc/PID/environ …`: `PATH:RELIGHT_RUN=VALUE\0` each. */
export function parseEnvironMatches(output: string): ReadonlyMap<number, string> {
  const runIds = new Map<number, string>();
  for (const record of output.split('\0')) {
    const match = /\/(\d+)\/environ:RELIGHT_RUN=(.*)$/s.exec(record);
    if (match?.[1] !== undefined && match[2] !== undefined) runIds.set(Number(match[1]), match[2]);
  }
  return runIds;
}
