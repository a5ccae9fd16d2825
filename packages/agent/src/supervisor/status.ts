/** The supervisor's state as others see it. */
import type { WorkloadMetrics, WorkloadStatus } from '@relight/shared/status';
import type { WorkloadSpec } from '../config/spec.ts';
import { stageOf } from './advance.ts';
import { blocked } from './host-word.ts';
import type { WorkloadState } from './state.ts';

/** @param progress what the stage under way last said of itself */
export function workloadStatus(
  state: WorkloadState,
  spec: WorkloadSpec,
  progress: string | null,
  metrics: WorkloadMetrics | null,
): WorkloadStatus {
  const verifying = state.verifyingSince === null ? null : 'verify';
  const waitingUntil = state.backOff?.until ?? state.held?.retryAt ?? null;
  return {
    name: spec.name,
    phase: state.phase,
    phaseSince: state.phaseSince,
    reason: state.reason,
    stage: state.op === null ? verifying : (progress ?? stageOf(state.op.op, spec)),
    stageSince: state.op?.startedAt ?? state.verifyingSince,
    attempt: Math.max(state.history.process.failures, state.history.container.failures) + (state.readyAt === null ? 1 : 0),
    // A closed gate says when it opens, not we.
    nextAttemptAt: state.op === null && state.pause === null && blocked(state) === null ? waitingUntil : null,
    generation: state.generation,
    containerId: state.container?.id ?? null,
    image: spec.container.image,
    readyAt: state.readyAt,
    restarts: state.restarts,
    foreignRestarts: state.foreignRestarts,
    recoveries: state.recoveries,
    waitingFor: state.phase === 'waiting' ? state.waitingFor : null,
    lastIncidentId: null,
    metrics,
  };
}
