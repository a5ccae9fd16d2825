/**
 * The durable queue of events. An event is appended (and on the disk's page cache) before anything acts on it; it leaves
 * when the collector has acknowledged it. Implementation: file-outbox.ts.
 */
import type { AgentEvent, NewAgentEvent } from '@relight/shared/event';

export interface Outbox {
  /** One life of this outbox. A new one begins whenever earlier sequence numbers cannot be trusted. */
  readonly epoch: string;
  /** Highest sequence in this epoch, 0 when there is none. */
  readonly lastSeq: number;
  /** Highest sequence of this epoch that is safe elsewhere, 0 when there is none. */
  readonly acknowledged: number;
  append(event: NewAgentEvent): AgentEvent;
  /** Durable events with seq > `afterSeq`: the next consecutive ones, at most `count`. Numbers skip what a full outbox had to drop. */
  read(afterSeq: number, count: number): readonly AgentEvent[];
  /** Everything up to and including `seq` is safe elsewhere. A `seq` beyond lastSeq shows that numbers were lost: a new epoch begins. */
  acknowledge(seq: number): void;
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
