/** What a failure leads to: at which level it is mended, when, and when trying again is useless. */
import { isoTime } from '@relight/shared/api';
import type { ErrorCode } from '@relight/shared/errors';
import { formatDurationMs } from '@relight/shared/units';
import type { Failure } from './op.ts';
import { decideRestart, type RestartDecision, type RestartHistory } from './restart-policy.ts';
import type { ActiveLevel } from './state.ts';
import type { Work } from './work.ts';

/** How often a dependency that is down is asked again, ± 25 %. Its return must lead to an attempt within a second, the asking included. */
const dependencyRetryMs = 640;
const variableRetryMs = 5_000;

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
]);

/** A counted failure at `level`: back-off, escalation, or held. */
export function fail(work: Work, failure: Failure, level: ActiveLevel = levelOf(failure.code)): void {
  const { readyAt } = work.state;
  const wasStable = readyAt !== null;
  const workedMs = readyAt === null ? 0 : work.now - readyAt;
  leaveReady(work);
  if (work.state.pause !== null || work.state.drain !== null) {
    // Maintenance, or the machine goes away: what breaks now is somebody's doing, and is put right after it.
    work.set({ attempt: null });
    return;
  }
  if (replacingCodes.has(failure.code) && work.state.container !== null) work.set({ replace: true });
  if (!failure.recoverable) {
    hold(work, failure);
    return;
  }
  work.set({ held: null });
  const policy = work.spec.restart[level];
  const decided = decideRestart(policy, work.state.history[level], work.now, wasStable, work.context.random);
  const decision = mountCodes.has(failure.code) ? ofMount(decided, work.state.history[level], workedMs) : decided;
  count(work, level, decision.history);
  const facts = { code: failure.code, countsAsFailure: true, budget: policy.budget.count };

  if (decision.escalate && level === 'process') {
    work.emit(
      'restart.escalated',
      'warning',
      `${policy.escalateAfter} failures of the process in a row: a new container (last: ${failure.message})`,
      { ...facts, level: 'container', failures: policy.escalateAfter },
    );
    work.set({ replace: true });
    const above = decideRestart(work.spec.restart.container, work.state.history.container, work.now, false, work.context.random);
    count(work, 'container', above.history);
    schedule(work, failure, 'container', above.delayMs, above.why, above.budgetJustExhausted, facts);
    return;
  }
  schedule(work, failure, level, decision.delayMs, decision.why, decision.budgetJustExhausted, facts);
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

/** Something that is nobody's failure (an operator, the engine's restart, a new configuration): done at once, nothing counted. */
export function restartUncounted(work: Work, cause: string, code: string, level: ActiveLevel): void {
  leaveReady(work);
  work.emit('restart.scheduled', 'info', `${level} restart at once: ${cause}`, { level, code, delayMs: 0, countsAsFailure: false });
  work.set({ backOff: null, held: null, attempt: null });
  beginAttempt(work, cause);
}

/** A dependency or variable is missing: wait, spend nothing. */
export function waitFor(work: Work, failure: Failure): void {
  const base = failure.code === 'dependency-down' ? dependencyRetryMs : variableRetryMs;
  const until = work.now + Math.round(base * (0.75 + 0.5 * work.context.random));
  work.set({ backOff: { until, reason: failure.message, waiting: true } });
  work.enter('waiting', failure.message);
}

export function beginAttempt(work: Work, cause: string): void {
  if (work.state.attempt !== null) return;
  work.set({ attempt: { startedAt: work.now, cause, prepared: false, pulled: false, timeline: [] }, verifyingSince: null });
}

/** No longer ready: what readiness was built on is judged anew. */
function leaveReady(work: Work): void {
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
    pendingFailure: null,
    unanswered: [],
  });
}

function hold(work: Work, failure: Failure): void {
  const known = work.state.held?.failure;
  const retryAt = work.now + work.spec.restart.container.maxMs;
  work.set({ held: { failure, retryAt }, backOff: null, attempt: null });
  if (known?.code !== failure.code || known.message !== failure.message) {
    work.emit('workload.held', 'error', `${failure.message}. ${failure.advice}`, { code: failure.code, ...failure.data });
  }
  work.enter('held', `${failure.message}. ${failure.advice}`);
}

function count(work: Work, level: ActiveLevel, history: Work['state']['history'][ActiveLevel]): void {
  const { history: all, restarts } = work.state;
  work.set({ history: { ...all, [level]: history }, restarts: { ...restarts, [level]: restarts[level] + 1 } });
}

function schedule(
  work: Work,
  failure: Failure,
  level: ActiveLevel,
  delayMs: number,
  why: string,
  exhausted: boolean,
  facts: Record<string, unknown>,
): void {
  const attempt = work.state.history[level].failures;
  if (exhausted) {
    work.emit('restart.budget-exhausted', 'critical', `${level} restarts: ${why}; ${failure.message}`, { ...facts, level, attempt });
  }
  const when = delayMs === 0 ? 'at once' : `in ${formatDurationMs(delayMs)}`;
  work.emit('restart.scheduled', 'warning', `${level} restart ${when} (${why}): ${failure.message}`, {
    ...facts,
    level,
    attempt,
    delayMs,
    nextAttemptAt: isoTime(work.now + delayMs),
  });
  work.set({ attempt: null, backOff: delayMs === 0 ? null : { until: work.now + delayMs, reason: failure.message, waiting: false } });
  beginAttempt(work, failure.message);
}
