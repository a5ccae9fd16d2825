/** When a failure is answered, and how, for the plan. Pure. */
import { formatDurationMs } from '@relight/shared/units';
import type { RestartPolicy, WorkloadSpec } from '../config/spec.ts';
import { retrySchedule, type PlannedRetry } from '../supervisor/restart-policy.ts';

export interface PlannedRestart {
  /** One entry a failure after a stable run, if every attempt fails at once, until it goes slowly. Times before jitter. */
  readonly schedule: readonly PlannedRetry[];
  readonly jitter: number;
  readonly resetAfterMs: number;
  readonly budget: RestartPolicy['budget'];
  readonly slowRetryMs: number;
  readonly escalateAfter: number | null;
}

const shownMax = 12;

/** The first failure after a stable run is answered at once; then the delays grow until they reach `max`. */
export function plannedRestart(policy: RestartPolicy): PlannedRestart {
  const retries = retrySchedule(policy, shownMax);
  const slow = retries.findIndex((retry) => retry.slow);
  const schedule = retries.slice(0, slow < 0 ? undefined : slow + 1);
  const { jitter, resetAfterMs, budget, maxMs: slowRetryMs, escalateAfter } = policy;
  return { schedule, jitter, resetAfterMs, budget, slowRetryMs, escalateAfter };
}

/** As supervisor/escalation.ts has it. */
export function rungs({ process, restart, container, setup }: WorkloadSpec): readonly string[] {
  const { escalateAfter } = restart.process;
  const verified = setup.filter((item) => item.kind === 'step' && item.verify !== null).length;
  const again = `the same container started again${setup.length === 0 ? '' : `; of its steps ${verified} are verified, the others are run again`}`;
  return [
    ...(process === null ? [] : ['the process started again in its container']),
    ...(process === null || escalateAfter === null
      ? []
      : [`after ${escalateAfter} failures in a row: ${again}`, `after ${escalateAfter} more: a new container`]),
    ...(process === null ? [container.onDeath === 'start' ? `${again}; after 3 deaths in a row a new one` : 'a new container'] : []),
    `more than ${restart.container.budget.count} new containers in ${formatDurationMs(restart.container.budget.windowMs)}: a person is called; slow retries go on`,
  ];
}
