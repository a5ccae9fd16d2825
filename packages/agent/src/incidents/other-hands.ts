/** Pure: what somebody else told the engine to do with a container of ours, for the timeline of its incident. */
import type { EngineEvent } from '../engine/engine.ts';
import type { OpKind } from '../supervisor/op.ts';
import type { BookEvent } from './timeline.ts';

/** While one of these is under way it is our own hand. */
const ownHand: ReadonlySet<OpKind> = new Set(['retire', 'rename', 'create', 'start', 'halt']);

const signalNames: Readonly<Record<string, string>> = { '2': 'SIGINT', '9': 'SIGKILL', '15': 'SIGTERM' };

/**
 * Null: it is nobody's order, or our own. `wallAhead`: of the steady clock, which tells when our own operations began, in ms: the engine
 * goes by the wall clock, which may have been set since.
 */
export function otherHands(
  event: EngineEvent,
  state: {
    readonly container: { readonly id: string } | null;
    readonly op: { readonly op: { readonly kind: OpKind }; readonly startedAt: number } | null;
  },
  wallAhead: number,
): Omit<BookEvent, 'kind' | 'at'> | null {
  if (event.type !== 'container' || event.id !== state.container?.id) return null;
  // What happened before it began is what it answers: a look at the container may be quicker than the word about its end.
  if (state.op !== null && ownHand.has(state.op.op.kind) && event.at - wallAhead >= state.op.startedAt) return null;
  const what = orderOf(event);
  if (what === null) return null;
  const workload = event.attributes['relight.workload'];
  return { workload, severity: 'warning', message: what, data: { hand: true, action: event.action, containerId: event.id } };
}

function orderOf({ action, attributes }: EngineEvent): string | null {
  switch (action) {
    case 'kill': {
      const { signal = '' } = attributes;
      const name = signalNames[signal] ?? `signal ${signal}`;
      const command = name === 'SIGTERM' ? 'docker stop' : 'docker kill';
      return `somebody ended the container through the engine (${command}, ${name}), or another program did`;
    }
    case 'pause':
      return 'somebody paused the container (docker pause), or another program did';
    case 'restart':
      return 'somebody restarted the container (docker restart), or another program did';
    default:
      return null;
  }
}
