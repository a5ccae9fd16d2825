/**
 * Events as checksummed NDJSON lines in append-only files.
 *
 * - append() is one write(2): it survives kill -9. fsync follows at once when none is running, else within `syncMs`; only
 *   then can the event be read and sent. So a number that anybody outside has seen is on the disk, and power loss does not
 *   lead to its reuse (see recovery.ts).
 * - Full disk: events wait in memory (`memoryBytesMax`) and are tried again every second. They may be sent meanwhile: the
 *   file `trusted` is removed first, so that the next start takes a new epoch. What does not fit is counted.
 * - A disk that refuses every change, that one too (read-only after errors): what is durable is sent and acknowledged first, then
 *   a new epoch begins in memory. A later start finds the old one on the disk, complete and acknowledged, and goes on with that.
 * - What earlier lives have left cannot be read, when this is opened or when a new epoch has to take it along: events are accepted
 *   and wait, in memory or behind what cannot be read, and it is tried again every second. No workload goes unwatched for it.
 * - Over `bytesMax`: the oldest unsent `info` events go, then the oldest of any kind, down to 7/8 of the cap; each time one
 *   `log.gap` event tells how many. The numbers of what went are not used again: a run of events returned by read() is
 *   consecutive, but the next run may begin later.
 */
import type { Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { AgentEvent, NewAgentEvent } from '@relight/shared/event';
import type { OutboxDisk } from './disk.ts';
import { EventFiles } from './event-files.ts';
import { type FileOutboxOptions, type WholeOptions, withDefaults } from './file-outbox-options.ts';
import { GuardedReading } from './guarded-reading.ts';
import type { Outbox } from './outbox.ts';
import {
  acknowledgedName,
  begin,
  encodeAcknowledged,
  gapEvent,
  recover,
  renumber,
  removeTrust,
  unacknowledged,
  type Continued,
} from './recovery.ts';
import { sanitise } from './sanitise.ts';
import type { OutboxHistory, OutboxPosition } from './telling.ts';
import { WaitingEvents } from './waiting-events.ts';

const retryMs = 1_000;
const acknowledgedPersistMs = 1_000;

export class FileOutbox implements Outbox, OutboxHistory {
  readonly #options: WholeOptions;
  readonly #disk: OutboxDisk;
  readonly #listeners = new Set<() => void>();
  readonly #waiting: WaitingEvents;
  readonly #reading: GuardedReading;
  /** Null: the first file of this epoch could not be written yet, and what is on the disk is of an earlier one. */
  #files: EventFiles | null = null;
  #epoch = '';
  /** As it was opened; null: nothing that earlier lives have numbered stands here under its number. */
  #found: OutboxPosition | null = null;
  #lastSeq = 0;
  #acknowledged = 0;
  /** Up to here events may leave the process. */
  #readable = 0;
  #handedOut = 0;
  #lost = 0;
  /** Since this was opened. */
  #dropped = 0;
  #trusted = true;
  #troubled = false;
  /** What stands on the disk is of earlier lives and could not be read yet; this epoch lives in memory meanwhile. */
  #leftBehind = false;
  /** Why a new epoch has to begin, as soon as what it takes along can be read. Nothing leaves before. */
  #overdue: string | null = null;
  /** The disk does not even let go of the numbering that stands on it: it must be left for another as soon as it is delivered. */
  #stranded = false;
  #retry: Timer | null = null;
  #persist: Timer | null = null;
  #closed = false;

  /** Never fails, whatever the disk does. */
  static open(options: FileOutboxOptions): FileOutbox {
    return new FileOutbox(options);
  }

  private constructor(options: FileOutboxOptions) {
    this.#options = withDefaults(options);
    this.#disk = this.#options.disk;
    this.#waiting = new WaitingEvents(this.#options.memoryBytesMax);
    this.#reading = new GuardedReading(options.directory, options.logger);
    try {
      const recovered = this.#recover();
      if (recovered.kind === 'continue') {
        this.#use(recovered);
        this.#found = this.position;
      } else this.#begin(options.newEpoch(), recovered.events);
    } catch (error) {
      this.#reading.failed(error, 'new ones are kept in memory, and sent, meanwhile');
      this.#leftBehind = true;
      this.#liveInMemory(options.newEpoch(), []);
    }
  }

  get epoch(): string {
    return this.#epoch;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  get position(): OutboxPosition {
    return { epoch: this.#epoch, seq: this.#lastSeq };
  }

  since({ epoch, seq }: OutboxPosition): readonly AgentEvent[] | null {
    const found = this.#found;
    if (found === null || found.epoch !== epoch || this.#epoch !== epoch) return null;
    const events = this.#reading.attempt(() => [...this.#after(seq)].filter((event) => event.seq <= found.seq));
    if (events === null) return null;
    const next = events[0]?.seq ?? found.seq + 1;
    return next > seq + 1 ? null : events;
  }

  append(event: NewAgentEvent): AgentEvent {
    const accepted = this.#accept(event);
    this.#keepBudget();
    return accepted;
  }

  read(afterSeq: number, count: number): readonly AgentEvent[] {
    if (this.#overdue !== null) return [];
    const run: AgentEvent[] = [];
    for (const event of this.#readableAfter(Math.max(afterSeq, this.#acknowledged))) {
      const previous = run.at(-1);
      if (event.seq > this.#readable || run.length >= count || (previous !== undefined && event.seq !== previous.seq + 1)) break;
      run.push(event);
    }
    this.#handedOut = Math.max(this.#handedOut, run.at(-1)?.seq ?? 0);
    return run;
  }

  acknowledge(seq: number): void {
    if (this.#overdue !== null) return;
    if (seq > this.#lastSeq) return this.#renew(`the collector has event ${seq} of this epoch, which ends at ${this.#lastSeq}`);
    if (seq <= this.#acknowledged) return;
    this.#acknowledged = seq;
    this.#waiting.remove(seq);
    try {
      this.#files?.remove(seq);
    } catch (error) {
      this.#options.logger.warn({ error: errorMessage(error) }, 'event outbox: an acknowledged file could not be removed');
    }
    this.#persist ??= this.#options.clock.after(acknowledgedPersistMs, () => this.#persistAcknowledged());
    this.#leaveWhenDelivered();
  }

  /** For whoever measures. `oldestAt`: when the oldest happened that is not acknowledged; null: none waits. `dropped`: for want of room. */
  backlog(): { readonly bytes: number; readonly bytesMax: number; readonly oldestAt: number | null; readonly dropped: number } {
    const [oldest] = this.#readableAfter(this.#acknowledged);
    return { bytes: this.#files?.bytes ?? 0, bytesMax: this.#options.bytesMax, oldestAt: oldest?.at ?? null, dropped: this.#dropped };
  }

  onAppend(listener: () => void): { dispose(): void } {
    this.#listeners.add(listener);
    return { dispose: () => void this.#listeners.delete(listener) };
  }

  close(): void {
    if (this.#closed) return;
    this.#flushWaiting();
    this.#closed = true;
    this.#retry?.cancel();
    this.#persistAcknowledged();
    this.#files?.close();
    this.#listeners.clear();
  }

  *#after(seq: number): Generator<AgentEvent> {
    if (this.#files !== null) yield* this.#files.after(seq);
    for (const event of this.#waiting.events) if (event.seq > seq) yield event;
  }

  /** As far as the disk lets itself be read, and nothing from behind that. Later it is tried again: no event is lost, and nobody ends. */
  #readableAfter = (seq: number): Iterable<AgentEvent> => this.#reading.asFarAsItGoes(this.#after(seq));

  #recover(): ReturnType<typeof recover> {
    const recovered = recover(this.#disk, this.#options.clock.now());
    for (const note of recovered.notes) this.#options.logger.warn(`event outbox: ${note}`);
    return recovered;
  }

  #use(recovered: Continued): void {
    const files: EventFiles = new EventFiles(
      {
        ...this.#options,
        durable: (seq) => {
          if (this.#files === files) this.#advance(seq);
        },
        syncFailed: (error) => {
          this.#options.logger.error(
            { error: errorMessage(error) },
            'event outbox: fsync failed; numbers on this disk are not trusted any more',
          );
          this.#distrust();
        },
      },
      recovered,
    );
    this.#files = files;
    this.#epoch = recovered.epoch;
    this.#lastSeq = Math.max(recovered.files.at(-1)?.lastSeq ?? 0, recovered.acknowledged);
    this.#acknowledged = recovered.acknowledged;
    this.#readable = this.#lastSeq;
    this.#trusted = true;
  }

  /** A full disk does not stop the new epoch: it lives in memory until its first file can be written. */
  #begin(epoch: string, events: readonly AgentEvent[]): void {
    try {
      this.#use(begin(this.#disk, epoch, events));
    } catch (error) {
      this.#options.logger.error({ error: errorMessage(error) }, 'event outbox: the new epoch cannot be written');
      this.#liveInMemory(epoch, events);
    }
  }

  #liveInMemory(epoch: string, events: readonly AgentEvent[]): void {
    this.#files = null;
    this.#epoch = epoch;
    this.#acknowledged = 0;
    this.#lastSeq = events.at(-1)?.seq ?? 0;
    this.#readable = 0;
    for (const event of events) this.#keepInMemory(event);
    this.#retryLater();
  }

  #accept(event: NewAgentEvent): AgentEvent {
    const sanitised = sanitise(event, this.#lastSeq + 1, this.#options.clock.now());
    this.#lastSeq = sanitised.seq;
    if (this.#closed) this.#lost += 1;
    else if (!this.#waiting.empty || !this.#write(sanitised)) this.#keepInMemory(sanitised);
    return sanitised;
  }

  #write(event: AgentEvent): boolean {
    try {
      return this.#files?.write(event) ?? false;
    } catch (error) {
      if (!this.#troubled) this.#options.logger.error({ error: errorMessage(error) }, 'event outbox: an event could not be written');
      return false;
    }
  }

  #advance(seq: number): void {
    if (seq <= this.#readable) return;
    this.#readable = seq;
    this.#notify();
  }

  /** Lets events leave that are not durable: once the marker is gone, no later start continues this numbering. */
  #distrust(): void {
    // Of this epoch nothing is on the disk that a later start could go on with.
    if (this.#files === null) return this.#advance(this.#lastSeq);
    try {
      this.#removeTrust();
      this.#advance(this.#lastSeq);
    } catch (error) {
      if (!this.#troubled) this.#options.logger.error({ error: errorMessage(error) }, 'event outbox: the disk refuses every change');
      this.#stranded = true;
      this.#leaveWhenDelivered();
    }
  }

  #removeTrust(): void {
    if (this.#trusted) removeTrust(this.#disk);
    this.#trusted = false;
  }

  #leaveWhenDelivered(): void {
    if (!this.#stranded || this.#closed || this.#acknowledged < this.#readable) return;
    this.#renew('nothing can be written here any more');
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #keepInMemory(event: AgentEvent): void {
    const { dropped, anew } = this.#waiting.add(event, this.#handedOut);
    this.#lost += dropped;
    this.#dropped += anew;
    this.#distrust();
    this.#troubled = true;
    this.#retryLater();
  }

  #retryLater(): void {
    this.#retry ??= this.#options.clock.after(retryMs, () => {
      this.#retry = null;
      this.#flushWaiting();
    });
  }

  #flushWaiting(): void {
    if (this.#overdue !== null) this.#renew(this.#overdue);
    if (this.#files === null) this.#moveIn();
    let written = 0;
    for (const event of this.#waiting.events) {
      if (!this.#write(event)) break;
      written = event.seq;
    }
    this.#waiting.remove(written);
    if (this.#files === null || !this.#waiting.empty) {
      this.#retryLater();
      return;
    }
    const lost = this.#lost;
    this.#lost = 0;
    if (this.#troubled) this.#options.logger.warn({ lost }, 'event outbox: the disk takes events again');
    this.#troubled = false;
    if (lost > 0) this.#tellLost(lost, 'disk-full', 'the disk of this host was full');
  }

  /** Writes the first file of an epoch that has lived in memory so far. */
  #moveIn(): void {
    const [lastSeq, acknowledged, readable] = [this.#lastSeq, this.#acknowledged, this.#readable];
    try {
      const earlier = this.#leftBehind ? unacknowledged(this.#disk, this.#recover()) : [];
      const events = [...this.#waiting.events, ...earlier.map((event, index) => ({ ...event, seq: lastSeq + 1 + index }))];
      this.#use(begin(this.#disk, this.#epoch, events, lastSeq));
    } catch {
      return; // still no space, or nothing to be read: said once when it began, and tried again every second
    }
    this.#leftBehind = false;
    this.#reading.succeeded();
    this.#waiting.remove(lastSeq);
    this.#acknowledged = acknowledged;
    // The numbers of what was acknowledged or dropped meanwhile are not in the file; they must not be given again.
    this.#lastSeq = Math.max(lastSeq, this.#lastSeq);
    this.#readable = Math.max(readable, this.#readable);
    this.#notify();
  }

  #keepBudget(): void {
    const { bytesMax, logger } = this.#options;
    const excess = (this.#files?.bytes ?? 0) - bytesMax;
    if (excess <= 0) return;
    try {
      const { dropped, anew } = this.#files?.shed(this.#handedOut, excess + Math.ceil(bytesMax / 8)) ?? { dropped: 0, anew: 0 };
      if (dropped === 0) return;
      this.#dropped += anew;
      logger.warn({ dropped }, 'event outbox: full; the oldest events were dropped');
      this.#tellLost(dropped, 'outbox-full', 'the event queue of this host was full');
    } catch (error) {
      logger.error({ error: errorMessage(error) }, 'event outbox: full, and no space could be made');
    }
  }

  #tellLost(events: number, reason: string, why: string): void {
    this.#accept(gapEvent({ events, reason, message: `${events} events were dropped: ${why}`, at: this.#options.clock.now() }));
  }

  #persistAcknowledged(): void {
    this.#persist?.cancel();
    this.#persist = null;
    // It tells how far those have come that could not be read yet.
    if (this.#leftBehind) return;
    try {
      this.#disk.replaceLazily(acknowledgedName, encodeAcknowledged(this.#epoch, this.#acknowledged));
    } catch {
      // Costs nothing but a second sending after the next start, which the collector drops: it has the numbers.
    }
  }

  /** Goes on in a new epoch, in which everything unacknowledged comes first. */
  #renew(why: string): void {
    const left = this.#reading.attempt(() => [...this.#after(this.#acknowledged)]);
    if (left === null) return this.#renewLater(why);
    this.#overdue = null;
    this.#stranded = false;
    const kept = renumber(left);
    this.#options.logger.warn({ events: kept.length }, `event outbox: ${why}; a new epoch begins`);
    const old = this.#files;
    this.#files = null;
    old?.close();
    this.#handedOut = 0;
    this.#waiting.remove(this.#lastSeq);
    this.#begin(this.#options.newEpoch(), kept);
    this.#notify();
  }

  #renewLater(why: string): void {
    this.#overdue = why;
    this.#retryLater();
    try {
      // The numbers that are given meanwhile mean something else to the collector: a next start must not go on with them.
      this.#removeTrust();
    } catch {
      // Nor does the disk take anything: then they are not on it.
    }
  }
}
