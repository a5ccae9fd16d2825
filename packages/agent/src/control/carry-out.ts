/** Actions by hand or from the collector, handed to the supervisors. Nothing is awaited: the outcome says what is under way. */
import { suggest } from '@relight/shared/suggest';
import { formatDurationMs } from '@relight/shared/units';
import type { SupervisorEvent } from '../supervisor/event.ts';
import type { ActionOutcome, ControlAction } from './action.ts';
import { describeRestart, imagesOfRestart, refuseRestart, refuseWithoutImage, type Restartable } from './restart-answer.ts';

export interface Target extends Restartable {
  send(event: SupervisorEvent): void;
}

export interface Circumstances {
  /** For the reason: `by hand on the host`. */
  readonly by: string;
  readonly now: number;
  /** Why the engine does not answer; null: it does. */
  readonly engineAway: string | null;
  /** Images that are certainly not on this host, of those that `imagesToAskFor` names. */
  readonly absent?: ReadonlySet<string>;
}

type Order = Omit<ControlAction, 'type'>;

const targetsOf = <T>(action: Order, loops: ReadonlyMap<string, T>): ReadonlyMap<string, T> =>
  new Map([...loops].filter(([name]) => action.workload === undefined || action.workload === name));

/** What has to be asked of the engine before an action is carried out. */
export const imagesToAskFor = (action: Order, loops: ReadonlyMap<string, Restartable>): readonly string[] =>
  action.action === 'restart' ? imagesOfRestart(targetsOf(action, loops), action.level ?? 'process') : [];

export function carryOut(
  action: Order,
  loops: ReadonlyMap<string, Target>,
  { by, now, engineAway, absent = new Set() }: Circumstances,
): ActionOutcome {
  const targets = targetsOf(action, loops);
  if (targets.size === 0) {
    const near = suggest(action.workload ?? '', loops.keys());
    const hint = near === undefined ? `the workloads are: ${[...loops.keys()].join(', ')}` : `did you mean "${near}"?`;
    return { ok: false, code: 'not-found', message: `there is no workload "${action.workload}" here; ${hint}` };
  }
  const reason = action.reason === undefined ? by : `${action.reason} (${by})`;
  const level = action.level ?? 'process';
  const refusal = action.action === 'restart' ? (refuseRestart(targets, level) ?? refuseWithoutImage(targets, level, absent)) : null;
  if (refusal !== null) return refusal;
  // Before it is ordered: afterwards nothing would be as it was found.
  const message =
    action.action === 'restart'
      ? describeRestart(targets, level, engineAway)
      : `${describe(action)} ${action.workload ?? `all ${targets.size} workload(s)`}`;
  const event = toEvent(action, reason, now);
  for (const target of targets.values()) target.send(event);
  return { ok: true, message };
}

function toEvent(action: Order, reason: string, now: number): SupervisorEvent {
  switch (action.action) {
    case 'pause':
      return { type: 'pause', reason, until: action.forMs === undefined ? null : now + action.forMs };
    case 'resume':
      return { type: 'resume' };
    case 'restart':
      return { type: 'restart', level: action.level ?? 'process', reason };
  }
}

function describe({ action, forMs }: Order): string {
  if (action === 'resume') return 'resumed';
  return forMs === undefined ? 'paused' : `paused for ${formatDurationMs(forMs)}:`;
}
