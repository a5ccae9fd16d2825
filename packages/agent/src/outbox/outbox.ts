/**
 * The durable queue of events. An event is appended (and on the disk's page cache) before anything acts on it; it leaves
 * when the collector has acknowledged it. Implementation: file-outbox.ts.
 */
import type { AgentEvent, NewAgentEvent } from '@relight/shared/event';

/** The number of an event, for good: none is ever given twice within an epoch, and no event gets a second one. 0: before the first. */
export interface OutboxPosition {
  readonly epoch: string;
  readonly seq: number;
}

export interface Outbox {
  /** In which events are numbered now. Every life of the agent begins one. */
  readonly epoch: string;
  /** Highest sequence in this epoch, 0 when there is none. */
  readonly lastSeq: number;
  /**
   * The epoch that is to be sent now, and how far it is safe elsewhere. It stays until all of it is: what is under way is always of this
   * one alone.
   */
  readonly sending: OutboxPosition;
  /** How many events are not known to be safe elsewhere, durable or not. */
  readonly pending: number;
  append(event: NewAgentEvent): AgentEvent;
  /**
   * Durable events of `sending.epoch` with seq > `afterSeq`: the next consecutive ones, at most `count`. Numbers skip what a full outbox
   * had to drop.
   */
  read(afterSeq: number, count: number): readonly AgentEvent[];
  /**
   * Everything in that epoch up to and including `seq` is safe elsewhere. Beyond lastSeq of `epoch` it shows that this process was set
   * back to an earlier moment: a new epoch begins.
   */
  acknowledge(position: OutboxPosition): void;
  /** Calls back, until disposed, when appended events have become durable and can be read. */
  onAppend(listener: () => void): { dispose(): void };
  close(): void;
}

/** For whoever measures. */
export interface EventBacklog {
  readonly bytes: number;
  readonly bytesMax: number;
  /** When the oldest happened that is not acknowledged, epoch milliseconds; null: none waits. */
  readonly oldestAt: number | null;
  /** For want of room, since it was opened. */
  readonly dropped: number;
}
