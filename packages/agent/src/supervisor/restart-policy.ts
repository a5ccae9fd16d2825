/**
 * When to try again. Pure: policy and history in, delay and a reason out.
 *
 * The first failure after a stable run acts at once: it is the likeliest to be cured by a restart, and waiting costs a
 * fleet its step. After that the delay grows from `initial` by `factor` up to `max`, each ± `jitter`. More failures than the
 * budget within its window: slow retries at `max` from then on, never none. Healthy for `resetAfter`: all is forgotten.
 */
import type { RestartPolicy } from '../config/spec.ts';

export interface RestartHistory {
  /** Counted failures since the last stable run. */
  readonly failures: number;
  /** Failures at this level since it last escalated. */
  readonly sinceEscalation: number;
  /** How many of the growing delays have been used. */
  readonly delays: number;
  /** Times of the counted failures that still matter to the budget, ascending, epoch milliseconds. */
  readonly recent: readonly number[];
  readonly budgetExhausted: boolean;
}

export const noRestarts: RestartHistory = { failures: 0, sinceEscalation: 0, delays: 0, recent: [], budgetExhausted: false };

export interface RestartDecision {
  readonly history: RestartHistory;
  readonly delayMs: number;
  /** True at the failure that exhausts the budget, not at those after it. */
  readonly budgetJustExhausted: boolean;
  readonly escalate: boolean;
  /** `at once after a stable run`, `attempt 3 of 10 per 10 m`, `budget … exhausted, slow retry`. */
  readonly why: string;
}

/**
 * @param wasStable the workload was ready when it failed
 * @param random uniform in [0, 1)
 */
export function decideRestart(
  policy: RestartPolicy,
  history: RestartHistory,
  now: number,
  wasStable: boolean,
  random: number,
): RestartDecision {
  const recent = [...history.recent.filter((at) => at > now - policy.budget.windowMs), now].slice(-(policy.budget.count + 1));
  const failures = history.failures + 1;
  const sinceEscalation = history.sinceEscalation + 1;
  const exhausted = recent.length > policy.budget.count;
  const escalate = policy.escalateAfter !== null && sinceEscalation >= policy.escalateAfter;
  const next = { failures, sinceEscalation: escalate ? 0 : sinceEscalation, recent, budgetExhausted: exhausted };

  if (exhausted) {
    return {
      history: { ...next, delays: history.delays + 1 },
      delayMs: jittered(policy.maxMs, policy.jitter, random),
      budgetJustExhausted: !history.budgetExhausted,
      escalate,
      why: `budget of ${policy.budget.count} exhausted, slow retry`,
    };
  }
  if (wasStable && history.failures === 0) {
    return { history: { ...next, delays: 0 }, delayMs: 0, budgetJustExhausted: false, escalate, why: 'at once after a stable run' };
  }
  return {
    history: { ...next, delays: history.delays + 1 },
    delayMs: jittered(delayMs(policy, history.delays, failures), policy.jitter, random),
    budgetJustExhausted: false,
    escalate,
    why: `attempt ${failures} of ${policy.budget.count}`,
  };
}

/** The delay after `used` earlier ones, before jitter: the next of `delaysMs`, or initial · factorⁿ, at most max; longer for a cooldown. */
function delayMs({ initialMs, maxMs, factor, delaysMs, cooldown }: RestartPolicy, used: number, failures: number): number {
  const given = delaysMs?.[Math.min(used, delaysMs.length - 1)];
  // A factor above 1 overflows to Infinity after some hundred failures; min() brings that back to max.
  const ms = given ?? Math.min(maxMs, initialMs * factor ** used);
  return cooldown !== undefined && failures % cooldown.after === 0 ? Math.max(ms, cooldown.ms) : ms;
}

export interface PlannedRetry {
  /** 1, 2, 3 … */
  readonly attempt: number;
  /** After the failure before it, milliseconds before jitter. */
  readonly waitMs: number;
  /** After the first failure, if every attempt fails at once. */
  readonly afterMs: number;
  /** The budget is used up: from here on it goes slowly, and a person is told. */
  readonly slow: boolean;
}

/** What a policy means: its first `count` retries, if every attempt fails at once. The same decisions as at work, without jitter. */
export function retrySchedule(policy: RestartPolicy, count: number, afterStableRun = true): readonly PlannedRetry[] {
  const retries: PlannedRetry[] = [];
  let history = noRestarts;
  let afterMs = 0;
  for (let attempt = 1; attempt <= count; attempt += 1) {
    const decision = decideRestart(policy, history, afterMs, afterStableRun && attempt === 1, 0.5);
    afterMs += decision.delayMs;
    history = decision.history;
    retries.push({ attempt, waitMs: decision.delayMs, afterMs, slow: history.budgetExhausted });
  }
  return retries;
}

function jittered(ms: number, jitter: number, random: number): number {
  return Math.round(ms * (1 + jitter * (2 * random - 1)));
}
