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
 * - Over `bytesMax`: the oldest unsent `info` events go, then the oldest of any kind, down to 7/8 of the cap; each time one
 *   `log.gap` event tells how many. The numbers of what went are not used again: a run of events returned by read() is
 *   consecutive, but the next run may begin later.
 */
import type { Timer, Clock } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { AgentEvent, NewAgentEvent } from '@relight/shared/event';
import type { Logger } from 'pino';
import { directoryDisk, type OutboxDisk } from './disk.ts';
import { EventFiles } from './event-files.ts';
import type { Outbox } from './outbox.ts';
import { acknowledgedName, begin, encodeAcknowledged, recover, renumber, trustedName, type Continued } from './recovery.ts';
import { sanitise } from './sanitise.ts';
import type { OutboxHistory, OutboxPosition } from './telling.ts';
import { WaitingEvents } from './waiting-events.ts';

export interface FileOutboxOptions {
  readonly directory: string;
  readonly newEpoch: () => string;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Of all files together. Default 64 MiB. */
  readonly bytesMax?: number;
  /** Of one file. Default 256 KiB. */
  readonly fileBytesMax?: number;
  /** Of the events that wait for a full disk. Default 1 MiB. */
  readonly memoryBytesMax?: number;
  /** Between two fsyncs under load. Default 50 ms. */
  readonly syncMs?: number;
  readonly disk?: OutboxDisk;
}

const retryMs = 1_000;
const acknowledgedPersistMs = 1_000;

export class FileOutbox implements Outbox, OutboxHistory {
  readonly #options: Required<Omit<FileOutboxOptions, 'directory'>>;
  readonly #disk: OutboxDisk;
  readonly #listeners = new Set<() => void>();
  readonly #waiting: WaitingEvents;
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
  #unreadable = false;
  /** The disk does not even let go of the numbering that stands on it: it must be left for another as soon as it is delivered. */
  #stranded = false;
  #retry: Timer | null = null;
  #persist: Timer | null = null;
  #closed = false;

  /** Never fails for a full disk; throws when the directory cannot be made or read. */
  static open(options: FileOutboxOptions): FileOutbox {
    return new FileOutbox(options);
  }

  private constructor(options: FileOutboxOptions) {
    const bytesMax = options.bytesMax ?? 64 * 1024 ** 2;
    const memoryBytesMax = options.memoryBytesMax ?? 1024 ** 2;
    const fileBytesMax = Math.min(256 * 1024, Math.ceil(bytesMax / 8));
    this.#disk = options.disk ?? directoryDisk(options.directory);
    this.#options = { fileBytesMax, syncMs: 50, ...options, bytesMax, memoryBytesMax, disk: this.#disk };
    this.#waiting = new WaitingEvents(memoryBytesMax);
    const recovered = recover(this.#disk, options.clock.now());
    for (const note of recovered.notes) options.logger.warn(`event outbox: ${note}`);
    if (recovered.kind === 'continue') {
      this.#use(recovered);
      this.#found = this.position;
    } else this.#begin(options.newEpoch(), recovered.events);
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
    const events = [...this.#after(seq)].filter((event) => event.seq <= found.seq);
    const next = events[0]?.seq ?? found.seq + 1;
    return next > seq + 1 ? null : events;
  }

  append(event: NewAgentEvent): AgentEvent {
    const accepted = this.#accept(event);
    this.#keepBudget();
    return accepted;
  }

  read(afterSeq: number, count: number): readonly AgentEvent[] {
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
    if (seq > this.#lastSeq) {
      this.#renew(`the collector has event ${seq} of this epoch, which ends at ${this.#lastSeq}`);
      return;
    }
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
  *#readableAfter(seq: number): Generator<AgentEvent> {
    try {
      yield* this.#after(seq);
      this.#unreadable = false;
    } catch (error) {
      if (!this.#unreadable)
        this.#options.logger.error({ error: errorMessage(error) }, 'event outbox: events cannot be read; they wait until they can');
      this.#unreadable = true;
    }
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
    this.#lastSeq = recovered.files.at(-1)?.lastSeq ?? 0;
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
      this.#files = null;
      this.#epoch = epoch;
      this.#acknowledged = 0;
      this.#lastSeq = events.at(-1)?.seq ?? 0;
      this.#readable = 0;
      for (const event of events) this.#keepInMemory(event);
      this.#retryLater();
    }
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
      if (this.#trusted) {
        this.#disk.remove(trustedName);
        this.#disk.syncDirectory();
      }
      this.#trusted = false;
      this.#advance(this.#lastSeq);
    } catch (error) {
      if (!this.#troubled) this.#options.logger.error({ error: errorMessage(error) }, 'event outbox: the disk refuses every change');
      this.#stranded = true;
      this.#leaveWhenDelivered();
    }
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
    if (lost > 0) this.#accept(this.#gapEvent(lost, 'disk-full', 'the disk of this host was full'));
  }

  /** Writes the first file of an epoch that has lived in memory so far. */
  #moveIn(): void {
    const [lastSeq, acknowledged, readable] = [this.#lastSeq, this.#acknowledged, this.#readable];
    const { events } = this.#waiting;
    try {
      this.#use(begin(this.#disk, this.#epoch, events));
    } catch {
      return; // still no space: said once when it began, and tried again every second
    }
    this.#waiting.remove(lastSeq);
    this.#acknowledged = acknowledged;
    // The numbers of what was acknowledged or dropped meanwhile are not in the file; they must not be given again.
    this.#lastSeq = lastSeq;
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
      this.#accept(this.#gapEvent(dropped, 'outbox-full', 'the event queue of this host was full'));
    } catch (error) {
      logger.error({ error: errorMessage(error) }, 'event outbox: full, and no space could be made');
    }
  }

  #gapEvent(events: number, reason: string, why: string): NewAgentEvent {
    const message = `${events} events were dropped: ${why}`;
    return { at: this.#options.clock.now(), kind: 'log.gap', severity: 'warning', message, data: { reason, events } };
  }

  #persistAcknowledged(): void {
    this.#persist?.cancel();
    this.#persist = null;
    try {
      this.#disk.replaceLazily(acknowledgedName, encodeAcknowledged(this.#epoch, this.#acknowledged));
    } catch {
      // Costs nothing but a second sending after the next start, which the collector drops: it has the numbers.
    }
  }

  /** Goes on in a new epoch, in which everything unacknowledged comes first. */
  #renew(why: string): void {
    this.#stranded = false;
    const kept = renumber([...this.#after(this.#acknowledged)]);
    this.#options.logger.warn({ events: kept.length }, `event outbox: ${why}; a new epoch begins`);
    const old = this.#files;
    this.#files = null;
    old?.close();
    this.#handedOut = 0;
    this.#waiting.remove(this.#lastSeq);
    this.#begin(this.#options.newEpoch(), kept);
    this.#notify();
  }
}
