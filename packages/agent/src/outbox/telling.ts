/**
 * What a state that is written down has to tell. A state and its events are two files; between the two writes the agent may be
 * killed, and from the state nobody could see any more that something had happened. So the events are written with the state,
 * with the position that the outbox has then, and the next life appends those of them that are missing there.
 *
 * They are appended right after the state was written, in the same turn of the event loop: whatever else stands in the outbox
 * behind that position came later, apart from what follows from the events themselves.
 */
import type { AgentEvent, NewAgentEvent } from '@relight/shared/event';
import type { OutboxPosition } from './outbox.ts';

/** What earlier lives of the agent have left in the outbox. */
export interface OutboxHistory {
  /** Now; what is appended next comes behind it. */
  readonly position: OutboxPosition;
  /**
   * What earlier lives have appended behind `position`, in order. Null: not known any more, for the collector has acknowledged some of
   * it and it is gone; or the epoch is none that has ever been on the disk.
   */
  since(position: OutboxPosition): readonly AgentEvent[] | null;
}

/** As it is written with the state. JSON. */
export interface Telling {
  readonly after: OutboxPosition;
  readonly events: readonly NewAgentEvent[];
}

/** Those that an earlier life was killed before. */
export function untold({ after, events }: Telling, history: Pick<OutboxHistory, 'since'>): readonly NewAgentEvent[] {
  const appended = history.since(after);
  return appended === null ? [] : events.slice(appended.filter(({ kind }) => !following.has(kind)).length);
}

/** The incidents and the outbox itself add these, also between the events of one state. */
const following: ReadonlySet<string> = new Set(['incident.opened', 'incident.closed', 'log.gap']);
