/** What the host's gate is asked for. Pure. */
import type { ContainerFacts } from '../engine/engine.ts';
import type { SupervisorEvent } from './event.ts';
import type { WorkloadState } from './state.ts';

/**
 * Whether something may begin of it. Checks that pass change nothing, nor does a look that finds the container of a ready workload as
 * it was, and they are most of what happens. What the gate itself says must not ask it again.
 */
export function mayBeginSomething(event: SupervisorEvent, { readyAt, container }: WorkloadState): boolean {
  if (event.type === 'check') return !event.ok;
  if (event.type === 'mount-check') return event.condition !== 'ok';
  if (event.type === 'observed') return readyAt === null || !event.containers.some((facts) => isAsBefore(facts, container));
  return event.type !== 'gate' && event.type !== 'pause' && event.type !== 'resume';
}

const isAsBefore = ({ id, status, startedAt }: ContainerFacts, known: WorkloadState['container']): boolean =>
  status === 'running' && id === known?.id && startedAt === known.startedAt;
