/** What a failure leads to: at which level it is mended, when, and when trying again is useless. */
import { isoTime } from '@relight/shared/api';
import { catalogue, type ErrorCode } from '@relight/shared/errors';
import { formatDurationMs } from '@relight/shared/units';
import { remedied, retryLimit } from './classify.ts';
import { escalate, tellPerson } from './escalation.ts';
import { hold } from './hold.ts';
import type { Failure } from './op.ts';
import { decideRestart, type RestartDecision, type RestartHistory } from './restart-policy.ts';
import { waitForSlice } from './slice.ts';
import type { ActiveLevel } from './state.ts';
import type { Work } from './work.ts';

/** Failures of the container itself; everything else is mended inside it first. */
const containerCodes: ReadonlySet<ErrorCode> = new Set([
  'image-not-found',
  'image-unauthorized',
  'image-pull-failed',
  'create-rejected',
  'name-conflict',
  'port-taken',
  'device-missing',
  'disk-full',
  'start-failed',
  'engine-error',
  'run-directory-lost',
  'process-stuck',
  'mount-stuck',
  'start-deadline',
  'container-exited',
  'container-oom',
  'container-removed',
  'gpu-lost',
  'volume-lost',
]);

export const levelOf = (code: ErrorCode): ActiveLevel => (containerCodes.has(code) ? 'container' : 'process');

const mountCodes: ReadonlySet<ErrorCode> = new Set(['mount-lost', 'mount-hung']);

/** These need a new container: nothing inside the present one can mend them. */
const replacingCodes: ReadonlySet<ErrorCode> = new Set([
  'run-directory-lost',
  'process-stuck',
  'mount-stuck',
  'start-deadline',
  'start-failed',
  'device-missing',
  'port-taken',
  'gpu-lost',
  'volume-lost',
]);

/** A failure with what the catalogue says of its code. */
export function failureWith(code: ErrorCode, message: string, data: Readonly<Record<string, unknown>> = {}): Failure {
  const { recoverable, advice } = catalogue[code];
  return { code, message, recoverable, advice, data };
}

/** A counted failure at `level`: back-off, escalation, or held. `readyAt`: since when it was ready when it failed. */
export function fail(
  work: Work,
  given: Failure,
  givenLevel: ActiveLevel = levelOf(given.code),
  readyAt: number | null = work.state.readyAt,
): void {
  const workedMs = readyAt === null ? 0 : work.now - readyAt;
  leaveReady(work);
  if (work.state.pause !== null || work.state.drain !== null || work.state.finished !== null) {
    // Maintenance, or the machine goes away: what breaks now is somebody's doing, and is put right after it.
    work.set({ attempt: null });
    return;
  }
  if (given.code === 'slice-peer-failed') {
    waitForSlice(work, given);
    return;
  }
  const damaged = isDamaged(work, given);
  const failure = damaged ? { ...given, recoverable: true } : limited(work, given);
  const level = damaged ? 'container' : givenLevel;
  if (damaged) work.set({ replace: true, tries: { ...work.state.tries, [given.code]: 1 } });
  if (replacingCodes.has(failure.code) && work.state.container !== null) work.set({ replace: true });
  // A secret in an env file is read when the container is made.
  if (failure.code === 'auth-failed' && work.spec.container.envFile.length > 0) work.set({ replace: work.state.container !== null });
  if (remedied.has(failure.code)) work.set({ remedy: failure.code });
  if (!failure.recoverable) {
    hold(work, failure, level);
    return;
  }
  work.set({ held: null });
  const policy = work.spec.restart[level];
  const decided = decideRestart(policy, work.state.history[level], work.now, readyAt !== null, work.context.random);
  const decision = mountCodes.has(failure.code) ? ofMount(decided, work.state.history[level], workedMs) : decided;
  count(work, level, decision.history, failure.code);
  if (decision.escalate && level === 'process' && !work.state.replace) {
    escalate(work, failure, policy.escalateAfter ?? 0);
    const above = decideRestart(work.spec.restart.container, work.state.history.container, work.now, false, work.context.random);
    count(work, 'container', above.history, failure.code);
    schedule(work, failure, 'container', above);
    return;
  }
  schedule(work, failure, level, decision);
}

/**
 * A shell that cannot be started where the workload has been ready before: somebody or something has emptied the container,
 * not its image. A new one is tried once; where that has none either, it is the image.
 */
function isDamaged(work: Work, { code, recoverable }: Failure): boolean {
  const { downSince, tries, container } = work.state;
  return code === 'exec-failed' && !recoverable && downSince !== null && container !== null && tries[code] === undefined;
}

/** What has been tried as often as it is worth is no longer recoverable. */
function limited(work: Work, failure: Failure): Failure {
  const limit = retryLimit[failure.code];
  if (limit === undefined || !failure.recoverable) return failure;
  const tries = (work.state.tries[failure.code] ?? 0) + 1;
  work.set({ tries: { ...work.state.tries, [failure.code]: tries } });
  if (tries <= limit) return failure;
  const again = limit === 1 ? 'once more' : `${limit} times`;
  return {
    ...failure,
    recoverable: false,
    message: `${failure.message} (tried ${again} already)`,
    data: { ...failure.data, retries: limit },
  };
}

/**
 * A mount that was lost is wanted back at once, and a new container would not make its daemon live longer. The time it has
 * worked counts as waited, so that one that dies at every start is slowed down all the same; the budget and the alert count it.
 */
function ofMount(decision: RestartDecision, before: RestartHistory, workedMs: number): RestartDecision {
  return {
    ...decision,
    escalate: false,
    delayMs: Math.max(0, decision.delayMs - workedMs),
    history: { ...decision.history, sinceEscalation: before.sinceEscalation },
  };
}

/**
 * Something that is nobody's failure (an operator, the engine's restart, a new configuration, changed inputs): done at once,
 * nothing counted. What was held, or over, begins anew.
 */
export function restartUncounted(work: Work, cause: string, code: string, level: ActiveLevel): void {
  leaveReady(work);
  work.emit('restart.scheduled', 'info', `${level} restart at once: ${cause}`, { level, code, delayMs: 0, countsAsFailure: false });
  work.set({ backOff: null, held: null, attempt: null, finished: null, tries: {} });
  beginAttempt(work, cause);
}

const nothingKnown = { freshUntil: null, missingSince: null };

export function beginAttempt(work: Work, cause: string): void {
  if (work.state.attempt !== null) return;
  work.set({
    attempt: { startedAt: work.now, cause, prepared: false, ...nothingKnown, pulled: false, counted: false, timeline: [] },
    verifyingSince: null,
  });
}

/** No longer ready: what readiness was built on is judged anew. */
export function leaveReady(work: Work): void {
  const { readyAt, downSince } = work.state;
  work.set({
    readyAt: null,
    healthySince: null,
    verifyingSince: null,
    downSince: readyAt === null ? downSince : work.now,
    ready: {},
    live: {},
    mountChecks: {},
    suspectedDeath: null,
    suspect: null,
    pendingFailure: null,
    unanswered: [],
    waitingFor: null,
  });
}

/** Somebody else's starts cost what ours cost, and are told apart in the counts. */
function count(work: Work, level: ActiveLevel, history: RestartHistory, code: ErrorCode): void {
  const { history: all, restarts, foreignRestarts } = work.state;
  work.set({ history: { ...all, [level]: history } });
  if (code === 'container-restarted') work.set({ foreignRestarts: foreignRestarts + 1 });
  else work.set({ restarts: { ...restarts, [level]: restarts[level] + 1 } });
}

function schedule(work: Work, failure: Failure, level: ActiveLevel, { delayMs, why, budgetJustExhausted }: RestartDecision): void {
  const attempt = work.state.history[level].failures;
  const attempts = work.spec.restart[level].budget.count;
  const facts = {
    ...failure.data,
    code: failure.code,
    countsAsFailure: true,
    level,
    attempt,
    attempts,
    budget: attempts,
    recoverable: true,
  };
  if (budgetJustExhausted) {
    work.emit('restart.budget-exhausted', 'critical', `${level} restarts: ${why}; ${failure.message}`, {
      ...facts,
      advice: failure.advice,
    });
    if (level === 'container') tellPerson(work, failure);
  }
  const when = delayMs === 0 ? 'at once' : `in ${formatDurationMs(delayMs)}`;
  work.emit('restart.scheduled', 'warning', `${level} restart ${when} (${why}): ${failure.message}`, {
    ...facts,
    failure: failure.message,
    delayMs,
    nextAttemptAt: isoTime(work.now + delayMs),
  });
  work.set({ attempt: null, backOff: delayMs === 0 ? null : { until: work.now + delayMs, reason: failure.message, waiting: false } });
  beginAttempt(work, failure.message);
}
