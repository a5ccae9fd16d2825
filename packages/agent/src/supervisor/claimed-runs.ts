/**
 * Which runs live in a container is told by the environment of its processes, and that is theirs to write: what is taken over from it
 * names only this workload's runs, and uses up no numbers that the runs to come will need.
 */
import type { RunHandle, RunRef } from './op.ts';
import { parseRunId, type RunOwner } from './run-id.ts';
import type { WorkloadState } from './state.ts';

/** Ids take numbers of nine digits. A run each second reaches this after 28 years; what does sooner was claimed. */
const numbersMax = 900_000_000;
/** By so much may memory be behind what runs: a state directory that has taken nothing for eleven days of a run each second. */
const aheadMax = 1_000_000;

export const numberOf = (run: RunRef): number => parseRunId(run.runId)?.n ?? 0;

/** `remembered`: 1 when nothing is. */
export function nextNumber(remembered: number, alive: readonly RunRef[]): number {
  const limit = remembered === 1 ? numbersMax : Math.min(numbersMax, remembered + aheadMax);
  const numbers = alive.map(numberOf).filter((n) => n < limit);
  return Math.max(remembered, ...numbers.map((n) => n + 1));
}

/** An earlier version of the agent has believed more than this one does, and written it down. */
export function withOwnRuns(saved: WorkloadState, of: Pick<RunOwner, 'owner' | 'workload'>): WorkloadState {
  const isOwn = (run: RunRef): boolean => {
    const parts = parseRunId(run.runId);
    return parts?.owner === of.owner && parts.workload === of.workload;
  };
  const own = (run: RunHandle | null): RunHandle | null => (run !== null && isOwn(run) ? run : null);
  const process = own(saved.process);
  const mounts = Object.fromEntries(Object.entries(saved.mounts).map(([name, { run }]) => [name, { run: own(run) }]));
  const known = [process ?? [], Object.values(mounts).map(({ run }) => run ?? [])].flat(2);
  return {
    ...saved,
    process,
    processStartedAt: process === null ? null : saved.processStartedAt,
    mounts,
    leftovers: saved.leftovers.filter(isOwn),
    lostMounts: saved.lostMounts.filter(isOwn),
    // Not 1, which says that nothing is remembered. Those that live besides are heard of at the adoption.
    nextRun: saved.nextRun < numbersMax ? saved.nextRun : nextNumber(2, known),
  };
}
