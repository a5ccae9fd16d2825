import type { AgentEvent } from '@relight/shared/event';
import { encodeLine } from './lines.ts';
import { droppedOf, type Dropped } from './shed.ts';

/** Numbered events that the disk did not take, in order, within a number of bytes. */
export class WaitingEvents {
  readonly #bytesMax: number;
  #entries: { readonly event: AgentEvent; readonly bytes: number }[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get events(): AgentEvent[] {
    return this.#entries.map(({ event }) => event);
  }

  get empty(): boolean {
    return this.#entries.length === 0;
  }

  /** What had to go: the oldest `info` that is not under way (above `handedOut`) first, else the oldest. */
  add(event: AgentEvent, handedOut: number): Dropped {
    const bytes = encodeLine(event).length;
    this.#entries.push({ event, bytes });
    this.#bytes += bytes;
    const gone: AgentEvent[] = [];
    while (this.#bytes > this.#bytesMax && this.#entries.length > 1) {
      const oldestInfo = this.#entries.findIndex(({ event: { seq, severity } }) => severity === 'info' && seq > handedOut);
      const [dropped] = this.#entries.splice(Math.max(0, oldestInfo), 1);
      if (dropped === undefined) break;
      this.#bytes -= dropped.bytes;
      gone.push(dropped.event);
    }
    return droppedOf(gone);
  }

  /** Forgets everything up to and including `seq`. */
  remove(seq: number): void {
    this.#entries = this.#entries.filter(({ event }) => event.seq > seq);
    this.#bytes = this.#entries.reduce((sum, { bytes }) => sum + bytes, 0);
  }
}

/** The first consecutive ones, at most `count`, and none above `upTo`. */
export function nextRun(events: Iterable<AgentEvent>, upTo: number, count: number): AgentEvent[] {
  const run: AgentEvent[] = [];
  for (const event of events) {
    const previous = run.at(-1);
    if (event.seq > upTo || run.length >= count || (previous !== undefined && event.seq !== previous.seq + 1)) break;
    run.push(event);
  }
  return run;
}
