/**
 * How long what `prepare` has found out is good for. A setup may take many minutes, and the head may have moved meanwhile: right
 * before something starts that uses variables, they and the dependencies are asked once more. What is missing then is waited for
 * in the middle of the way: nothing is spent, and nothing that was set up is done again.
 */
import type { MountSpec } from '../config/spec.ts';
import type { OpValue } from './op.ts';
import type { WorkloadState } from './state.ts';
import type { Work } from './work.ts';

/** What was asked a moment ago is not asked again. */
const freshMs = 10_000;
/** A variable may be a call to a cloud: at most a tenth of the time goes there. */
const pauseFactor = 9;

/**
 * From here on it is a way to ready that may succeed or fail; until here it only waited, and waiting for a dependency is not
 * part of the time to ready.
 */
export function prepared(work: Work, { fixed }: Extract<OpValue, { kind: 'prepare' }>, startedAt: number): void {
  const { attempt, recoveries } = work.state;
  if (attempt === null) return;
  const freshUntil = fixed === true ? null : freshFrom(work.now, work.now - startedAt);
  work.set({ attempt: { ...attempt, startedAt, prepared: true, freshUntil, missingSince: null, counted: true } });
  if (!attempt.counted) work.set({ recoveries: { ...recoveries, attempted: recoveries.attempted + 1 } });
}

/** Neither is waiting in the middle of the way. */
export function refreshed(work: Work, ms: number): void {
  const { attempt } = work.state;
  if (attempt === null) return;
  const waitedMs = attempt.missingSince === null ? 0 : work.now - attempt.missingSince;
  const startedAt = attempt.startedAt + waitedMs;
  work.set({ attempt: { ...attempt, startedAt, freshUntil: freshFrom(work.now, ms), missingSince: null } });
}

const freshFrom = (now: number, tookMs: number): number => now + Math.max(freshMs, pauseFactor * tookMs);

/** Whether to ask once more before the process starts, or before `mount` is placed, if that names a variable. */
export function mustRefresh({ attempt }: WorkloadState, now: number, mount: MountSpec | null): boolean {
  const until = attempt?.freshUntil ?? null;
  return until !== null && now >= until && (mount === null || namesVariable.test(JSON.stringify(mount)));
}

/** In a template, or in the text of a command. */
const namesVariable = /\$\{?[A-Za-z_]/;
