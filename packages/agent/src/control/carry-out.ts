/** Actions by hand or from the collector, handed to the supervisors. Nothing is awaited: the outcome says what is under way. */
import { suggest } from '@relight/shared/suggest';
import { formatDurationMs } from '@relight/shared/units';
import type { SupervisorEvent } from '../supervisor/event.ts';
import type { ActionOutcome, ControlAction } from './action.ts';

interface Target {
  send(event: SupervisorEvent): void;
}

/** @param by for the reason: `by hand on the host` */
export function carryOut(action: Omit<ControlAction, 'type'>, loops: ReadonlyMap<string, Target>, by: string, now: number): ActionOutcome {
  const targets = action.workload === undefined ? [...loops.values()] : [loops.get(action.workload)].filter((loop) => loop !== undefined);
  if (targets.length === 0) {
    const near = suggest(action.workload ?? '', loops.keys());
    const hint = near === undefined ? `the workloads are: ${[...loops.keys()].join(', ')}` : `did you mean "${near}"?`;
    return { ok: false, code: 'not-found', message: `there is no workload "${action.workload}" here; ${hint}` };
  }
  const reason = action.reason === undefined ? by : `${action.reason} (${by})`;
  const event = toEvent(action, reason, now);
  for (const target of targets) target.send(event);
  return { ok: true, message: `${describe(action)} ${action.workload ?? `all ${targets.length} workload(s)`}` };
}

function toEvent(action: Omit<ControlAction, 'type'>, reason: string, now: number): SupervisorEvent {
  switch (action.action) {
    case 'pause':
      return { type: 'pause', reason, until: action.forMs === undefined ? null : now + action.forMs };
    case 'resume':
      return { type: 'resume' };
    case 'restart':
      return { type: 'restart', level: action.level ?? 'process', reason };
  }
}

function describe(action: Omit<ControlAction, 'type'>): string {
  switch (action.action) {
    case 'pause':
      return action.forMs === undefined ? 'paused' : `paused for ${formatDurationMs(action.forMs)}:`;
    case 'resume':
      return 'resumed';
    case 'restart':
      return `restarting the ${action.level ?? 'process'} of`;
  }
}
