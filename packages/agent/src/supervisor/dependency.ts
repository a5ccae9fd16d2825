/**
 * What a workload depends on. While it is missing nothing is tried and nothing is spent; a failure that its absence would
 * explain is not counted before it has been asked.
 */
import { fail, leaveReady, beginAttempt } from './failure.ts';
import { blocked } from './host-word.ts';
import type { Failure } from './op.ts';
import type { ActiveLevel, WorkloadState } from './state.ts';
import type { Work } from './work.ts';

type Suspect = NonNullable<WorkloadState['suspect']>;

/** Its return must lead to an attempt within a second, the asking and the jitter included. */
const askMsMin = 640;
/** One head, asked by its whole fleet, should not be asked more often than that, a second. */
const asksPerSecondMax = 1_000;
const variableRetryMs = 5_000;
/** Each pause varies by ± 25 %: a fleet that lost its head at one moment comes back spread out. */
const jitter = 0.25;

/** How often one agent of a fleet asks a dependency that is down, milliseconds before jitter. */
export function dependencyAskMs(fleetSize: number): number {
  return Math.max(askMsMin, Math.ceil((fleetSize * 1_000) / asksPerSecondMax));
}

/** A dependency or variable is missing: wait, spend nothing. Told once, however often it is asked. */
export function waitFor(work: Work, failure: Failure): void {
  const base = failure.code === 'dependency-down' ? dependencyAskMs(work.state.fleetSize) : variableRetryMs;
  const until = work.now + Math.round(base * (1 - jitter + 2 * jitter * work.context.random));
  tell(work, failure);
  const { attempt } = work.state;
  if (attempt?.prepared === true && attempt.missingSince === null) work.set({ attempt: { ...attempt, missingSince: work.now } });
  work.set({ backOff: { until, reason: failure.message, waiting: true } });
  work.enter('waiting', failure.message);
}

function nameOf({ data, message }: Failure): string {
  const name = data['dependency'] ?? data['variable'];
  return typeof name === 'string' ? name : message;
}

function tell(work: Work, failure: Failure): void {
  const missing = nameOf(failure);
  if (work.state.waitingFor === missing) return;
  work.set({ waitingFor: missing });
  work.emit('check.failed', 'warning', `waits, without cost: ${failure.message}`, {
    ...failure.data,
    code: failure.code,
    dependency: missing,
    level: 'host',
    recoverable: true,
    countsAsFailure: false,
  });
}

/** All of it is there. */
export function dependenciesBack(work: Work): void {
  const { waitingFor } = work.state;
  if (waitingFor === null) return;
  work.set({ waitingFor: null });
  work.emit('check.recovered', 'info', `${waitingFor} is there again`, { dependency: waitingFor });
}

/**
 * A failure as it would be if a dependency were gone: that is asked first. False when there is nothing to ask, or no time for
 * it: then it counts as it stands.
 */
export function suspectDependency(
  work: Work,
  failure: Failure,
  level: ActiveLevel,
  act: Suspect['act'],
  readyAt: number | null = work.state.readyAt,
): boolean {
  const { state, spec } = work;
  if (spec.dependsOn.length === 0 || !failure.recoverable || blocked(state) !== null) return false;
  if (state.pause !== null || state.finished !== null || !state.engine.up) return false;
  suspect(work, { failure, level, ask: 'dependencies', act, readyAt });
  return true;
}

/** Without its process it is down, whatever the answer. */
export function suspect(work: Work, what: Suspect): void {
  if (work.state.process === null) {
    leaveReady(work);
    work.set({ attempt: null, backOff: null });
    beginAttempt(work, what.failure.message);
  }
  work.set({ suspect: what });
}

/** The dependencies are there: it was the workload's own failure. True: the next attempt begins at once. */
export function notExcused(work: Work): boolean {
  const { suspect } = work.state;
  if (suspect === null) return false;
  work.set({ suspect: null });
  if (suspect.act === 'stop') work.set(work.state.process === null ? {} : { stop: 'now' });
  if (suspect.act === 'replace') work.set({ replace: work.state.container !== null });
  fail(work, suspect.failure, suspect.level, suspect.readyAt);
  const { attempt, backOff, held } = work.state;
  return attempt !== null && backOff === null && held === null;
}

/** A dependency is gone: whatever failed, failed of that. What still runs goes on, and is judged anew. */
export function excused(work: Work, missing: Failure): void {
  const { suspect, process } = work.state;
  if (suspect === null) return;
  work.set({ suspect: null });
  if (process === null) {
    waitFor(work, missing);
    return;
  }
  tell(work, missing);
  const live = Object.fromEntries(Object.entries(work.state.live).map(([name, check]) => [name, { ...check, failures: 0 }]));
  work.set({ live, ...(work.state.verifyingSince === null ? {} : { verifyingSince: work.now }) });
}
