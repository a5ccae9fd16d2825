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
  append(event: NewAgentEvent): AgentEvent;
  /** Events with seq > `afterSeq`, oldest first, at most `count`. */
  read(afterSeq: number, count: number): readonly AgentEvent[];
  /** Everything up to and including `seq` is safe elsewhere. */
  acknowledge(seq: number): void;
  /** Calls back after every append, until disposed. */
  onAppend(listener: () => void): { dispose(): void };
  close(): void;
}
