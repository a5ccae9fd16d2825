/** Finds the processes of one container, with the run that each belongs to by its environment. */
import { setImmediate as yieldToLoop } from 'node:timers/promises';
import type { Clock, Timer } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { afterATurn, type ChildResult, runChild } from '@relight/shared/child';
import { canRun, listPids, readCgroup, readStat, type ProcStat } from './proc.ts';
import { type ContainerProcess, parseEnvironMatches } from './run-members.ts';

/** A process that is stuck behind its own memory lock is asked alone, briefly, after the others. Counted from when the asking begins. */
const allTimeoutMs = 1_000;
const oneTimeoutMs = 100;
/** Until it begins: on a busy machine that may take longer than any answer. A run of which nothing is known would be taken for ended. */
const beginTimeoutMs = 10_000;
const pidsPerTurn = 256;
const grep = ['grep', '-z', '-a', '-s', '-H', '--line-buffered', '^RELIGHT_RUN=', '--'] as const;

/** Without zombies. `containerId`: the full one. */
export async function scanContainer(procRoot: string, containerId: string, clock: Clock): Promise<ContainerProcess[]> {
  // An empty or short id would match foreign processes.
  if (!/^[0-9a-f]{64}$/.test(containerId)) throw new RelightError('internal', `"${containerId}" is not a full container id`);
  const found: ProcStat[] = [];
  for (const [index, pid] of listPids(procRoot).entries()) {
    if (index % pidsPerTurn === pidsPerTurn - 1) await yieldToLoop();
    if (readCgroup(procRoot, pid)?.includes(containerId) !== true) continue;
    const stat = readStat(procRoot, pid);
    if (stat !== null && canRun(stat)) found.push(stat);
  }
  const runIds = await readRunIds(
    procRoot,
    found.map(({ pid }) => pid),
    clock,
  );
  return found.map((stat) => Object.assign(stat, { runId: runIds.get(stat.pid) ?? null }));
}

/**
 * /proc/PID/environ is read by a child with a deadline: it waits for the memory lock of the process, which a page fault on
 * a hung mount can hold for ever. The agent also never sees the rest of the environment.
 */
export async function readRunIds(procRoot: string, pids: readonly number[], clock: Clock): Promise<ReadonlyMap<number, string>> {
  const ask = async (some: readonly number[], timeoutMs: number): Promise<ChildResult> => {
    const late = new AbortController();
    let deadline: Timer | null = null;
    const answer = await runChild({
      // Its own environment comes first, and so says that it has begun.
      argv: [...grep, '/proc/self/environ', ...some.map((pid) => `${procRoot}/${pid}/environ`)],
      clock,
      timeoutMs: beginTimeoutMs,
      signal: late.signal,
      // Not before what has come meanwhile is seen: this process may have stood still.
      onOutput: () => (deadline ??= clock.after(timeoutMs, () => afterATurn(() => late.abort()))),
      outputBytesMax: 16 * 1024 * 1024,
      env: { PATH: process.env['PATH'], LC_ALL: 'C', RELIGHT_RUN: 'asks' },
    });
    (deadline as Timer | null)?.cancel();
    return answer;
  };
  if (pids.length === 0) return new Map();
  const all = await ask(pids, allTimeoutMs);
  if (all.spawnError !== null) throw new RelightError('internal', `grep cannot be started on this host: ${all.spawnError}`);
  if (!all.timedOut) return parseEnvironMatches(all.stdout);
  // Nothing is known of any, which is not the same as that there is none.
  if (all.stdout === '') throw new RelightError('internal', `grep has not begun within ${beginTimeoutMs / 1_000} s on this host`);
  const runIds = new Map<number, string>();
  for (const pid of pids) {
    for (const [found, runId] of parseEnvironMatches((await ask([pid], oneTimeoutMs)).stdout)) runIds.set(found, runId);
  }
  return runIds;
}
