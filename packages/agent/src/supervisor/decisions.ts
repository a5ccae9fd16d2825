/** The decisions that a person compares, apart from all that led to them. Pure. */
import type { EmittedEvent } from './event.ts';
import type { ReplayedStep } from './replay.ts';

export interface Decision {
  /** From the beginning of the record. */
  readonly ms: number;
  readonly event: EmittedEvent;
}

/** What a person wants to compare: when it was tried again, at which level, and when not any more. */
const deciding: ReadonlySet<EmittedEvent['kind']> = new Set([
  'restart.scheduled',
  'restart.escalated',
  'restart.budget-exhausted',
  'workload.held',
  'workload.ready',
]);

export const decisionsOf = (events: readonly Decision[]): readonly Decision[] => events.filter(({ event }) => deciding.has(event.kind));

/** What was decided then, in the same form. */
export function recordedDecisions(steps: readonly ReplayedStep[]): readonly Decision[] {
  const start = steps[0]?.input.now ?? 0;
  return decisionsOf(
    steps.flatMap(({ input, effects }) =>
      effects.flatMap((effect) => (effect.kind === 'emit' ? [{ ms: input.now - start, event: effect.event }] : [])),
    ),
  );
}
