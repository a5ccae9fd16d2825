/**
 * Events as checksummed NDJSON lines in append-only files.
 *
 * - append() is one write(2): it survives kill -9. fsync follows at once when none is running, else within `syncMs`; only
 *   then can the event be read and sent. So a number that anybody outside has seen is on the disk, and power loss does not
 *   lead to its reuse (see recovery.ts).
 * - Full disk: events wait in memory (`memoryBytesMax`) and are tried again (retry.ts). They may be sent meanwhile: the
 *   file `trusted` is removed first, so that the next start takes a new epoch. What does not fit is counted.
 * - A disk that refuses every change, that one too (read-only after errors): what is durable is sent and acknowledged first, then
 *   a new epoch begins in memory. A later start finds the old one on the disk, complete and acknowledged, and goes on with that.
 * - What earlier lives have left cannot be read, when this is opened or when a new epoch has to take it along: events are accepted
 *   and wait, in memory or behind what cannot be read, and it is tried again. No workload goes unwatched for it.
 *   So it is with a new epoch that cannot be written: what stands on the disk leaves only from there (earlier-events.ts).
 * - Over `bytesMax`: the oldest unsent `info` events go, then the oldest of any kind, down to 7/8 of the cap; each time one
 *   `log.gap` event tells how many. The numbers of what went are not used again: a run of events returned by read() is
 *   consecutive, but the next run may begin later.
 */
import { errorMessage } from '@relight/shared/errors';
import type { AgentEvent, NewAgentEvent } from '@relight/shared/event';
import { AcknowledgedFile } from './acknowledged.ts';
import type { OutboxDisk } from './disk.ts';
import { EarlierEvents } from './earlier-events.ts';
import { EventFiles } from './event-files.ts';
import { type FileOutboxOptions, type WholeOptions, withDefaults } from './file-outbox-options.ts';
import { GuardedReading } from './guarded-reading.ts';
import { Losses } from './losses.ts';
import type { EventBacklog, Outbox } from './outbox.ts';
import { begin, recover, renumber, type Continued } from './recovery.ts';
import { DiskRetry, type DiskTrouble } from './retry.ts';
import { sanitise } from './sanitise.ts';
import { Readable } from './readable.ts';
import type { OutboxHistory, OutboxPosition } from './telling.ts';
import { EpochTrust } from './trust.ts';
import { nextRun, WaitingEvents } from './waiting-events.ts';

export class FileOutbox implements Outbox, OutboxHistory {
  readonly #options: WholeOptions;
  readonly #disk: OutboxDisk;
  readonly #readable = new Readable();
  readonly #waiting: WaitingEvents;
  readonly #reading: GuardedReading;
  readonly #trust: EpochTrust;
  readonly #acknowledgedFile: AcknowledgedFile;
  readonly #retry: DiskRetry;
  /** Null: the first file of this epoch could not be written yet, and what is on the disk is of an earlier one. */
  #files: EventFiles | null = null;
  #epoch = '';
  /** As it was opened; null: nothing that earlier lives have numbered stands here under its number. */
  #found: OutboxPosition | null = null;
  #lastSeq = 0;
  #acknowledged = 0;
  #handedOut = 0;
  readonly #losses = new Losses();
  #troubled = false;
  /** Of earlier epochs, while this one lives in memory; null: it has files. */
  #earlier: EarlierEvents | null = null;
  /** Why a new epoch has to begin, as soon as what it takes along can be read. Nothing leaves before. */
  #overdue: string | null = null;
  /** The disk does not even let go of its numbering: that must be left for another as soon as it is delivered. */
  #stranded = false;
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
    this.#trust = new EpochTrust(this.#disk);
    // An epoch without files has nothing to tell: what earlier ones have left is on the disk, and the file tells how far those have come.
    this.#acknowledgedFile = new AcknowledgedFile(this.#disk, options.clock, () =>
      this.#files === null ? null : { epoch: this.#epoch, seq: this.#acknowledged },
    );
    this.#retry = new DiskRetry(options.clock, () => this.#flushWaiting());
    try {
      const recovered = this.#recover();
      if (recovered.kind === 'continue') {
        this.#use(recovered);
        this.#found = this.position;
      } else this.#begin(options.newEpoch(), recovered.events, []);
    } catch (error) {
      this.#reading.failed(error, 'new ones are kept in memory, and sent, meanwhile');
      this.#retry.refused(error);
      this.#earlier = new EarlierEvents(this.#disk, this.#recover, null);
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
    return events === null || (events[0]?.seq ?? found.seq + 1) > seq + 1 ? null : events;
  }

  append(event: NewAgentEvent): AgentEvent {
    const accepted = this.#accept(event);
    this.#keepBudget();
    this.#leaveWhenDelivered();
    return accepted;
  }

  read(afterSeq: number, count: number): readonly AgentEvent[] {
    if (this.#overdue !== null) return [];
    const run = nextRun(this.#readableAfter(Math.max(afterSeq, this.#acknowledged)), this.#readable.upTo, count);
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
    this.#acknowledgedFile.writeSoon();
    this.#leaveWhenDelivered();
  }

  backlog(): EventBacklog {
    const [oldest] = this.#readableAfter(this.#acknowledged);
    return {
      bytes: this.#files?.bytes ?? 0,
      bytesMax: this.#options.bytesMax,
      oldestAt: oldest?.at ?? null,
      dropped: this.#losses.dropped,
    };
  }

  get trouble(): DiskTrouble | null {
    return this.#retry.trouble;
  }

  onAppend(listener: () => void): { dispose(): void } {
    return this.#readable.onAdvance(listener);
  }

  close(): void {
    if (this.#closed) return;
    this.#flushWaiting();
    this.#closed = true;
    this.#retry.stop();
    this.#acknowledgedFile.write();
    this.#files?.close();
    this.#readable.close();
  }

  *#after(seq: number): Generator<AgentEvent> {
    if (this.#files !== null) yield* this.#files.after(seq);
    for (const event of this.#waiting.events) if (event.seq > seq) yield event;
  }

  /** As far as the disk lets itself be read, and nothing from behind that. Later it is tried again: no event is lost, and nobody ends. */
  #readableAfter = (seq: number): Iterable<AgentEvent> => this.#reading.asFarAsItGoes(this.#after(seq));

  readonly #recover = (): ReturnType<typeof recover> => {
    const recovered = recover(this.#disk, this.#options.clock.now());
    for (const note of recovered.notes) this.#options.logger.warn(`event outbox: ${note}`);
    return recovered;
  };

  #use(recovered: Continued): void {
    const files: EventFiles = new EventFiles(
      {
        ...this.#options,
        durable: (seq) => void (this.#files === files && this.#readable.advance(seq)),
        syncFailed: (error) => {
          if (this.#files !== files) return; // they are left: what was not durable goes along, and must not leave under two numbers
          this.#say(error, 'fsync failed; numbers on this disk are not trusted any more');
          this.#distrust();
        },
      },
      recovered,
    );
    this.#files = files;
    this.#epoch = recovered.epoch;
    this.#lastSeq = Math.max(recovered.files.at(-1)?.lastSeq ?? 0, recovered.acknowledged);
    this.#acknowledged = recovered.acknowledged;
    this.#readable.reset(this.#lastSeq);
    this.#trust.found();
  }

  /**
   * Begins with what stands on the disk and then what waits in memory. A full disk does not stop the new epoch: it lives in memory until
   * its first file can be written, and what stands on the disk stays there.
   */
  #begin(epoch: string, standing: readonly AgentEvent[], waiting: readonly AgentEvent[]): void {
    if (this.#earlier === null) {
      try {
        return this.#start(epoch, renumber([...standing, ...waiting]));
      } catch (error) {
        this.#say(error, 'the new epoch cannot be written');
        this.#retry.refused(error);
        this.#earlier = new EarlierEvents(this.#disk, this.#recover, standing);
      }
    }
    this.#liveInMemory(epoch, renumber(waiting));
  }

  /** Throws errno errors; then nothing of it is on the disk that a later start would count on. */
  #start(epoch: string, events: readonly AgentEvent[], given = 0): void {
    const begun = begin({ disk: this.#disk, epoch, events, given, use: (files) => this.#use(files) });
    this.#earlier = null;
    this.#trust.owe(begun);
    this.#settle();
    this.#acknowledgedFile.writeSoon();
  }

  #settle(): void {
    try {
      this.#trust.settle();
    } catch (error) {
      this.#retry.refused(error);
      this.#retry.later();
    }
  }

  #liveInMemory(epoch: string, events: readonly AgentEvent[]): void {
    this.#files = null;
    this.#epoch = epoch;
    this.#acknowledged = 0;
    this.#lastSeq = events.at(-1)?.seq ?? 0;
    this.#readable.reset(0);
    for (const event of events) this.#keepInMemory(event);
    this.#retry.later();
  }

  #accept(event: NewAgentEvent): AgentEvent {
    const sanitised = sanitise(event, this.#lastSeq + 1, this.#options.clock.now());
    this.#lastSeq = sanitised.seq;
    if (this.#closed) this.#losses.refused();
    else if (!this.#waiting.empty || !this.#write(sanitised)) this.#keepInMemory(sanitised);
    return sanitised;
  }

  #write(event: AgentEvent): boolean {
    if (this.#files === null) return false;
    try {
      this.#retry.refused(null);
      return this.#files.write(event);
    } catch (error) {
      this.#retry.refused(error);
      if (!this.#troubled) this.#say(error, 'an event could not be written');
      return false;
    }
  }

  /** Lets events leave that are not durable: once the marker is gone, no later start continues this numbering. */
  #distrust(): void {
    if (this.#files === null) return this.#readable.advance(this.#lastSeq); // a later start finds nothing of it to go on with
    try {
      this.#trust.remove();
      this.#stranded = false;
      this.#readable.advance(this.#lastSeq);
    } catch (error) {
      this.#retry.refused(error);
      if (!this.#troubled) this.#say(error, 'the disk refuses every change');
      this.#stranded = true;
      this.#leaveWhenDelivered();
    }
  }

  #leaveWhenDelivered(): void {
    if (!this.#stranded || this.#closed || this.#overdue !== null || this.#files?.writing === true) return;
    if (this.#acknowledged >= this.#readable.upTo) this.#renew('nothing can be written here any more');
  }

  #keepInMemory(event: AgentEvent): void {
    this.#losses.add(this.#waiting.add(event, this.#handedOut));
    // A disk that did not let go is asked again by `#retry` alone: a dying one stands still for seconds each time.
    if (!this.#stranded && this.#overdue === null) this.#distrust();
    this.#troubled = true;
    this.#retry.later();
  }

  #flushWaiting(): void {
    if (this.#overdue !== null) this.#renew(this.#overdue);
    if (this.#files === null) this.#moveIn();
    this.#settle();
    let written = 0;
    for (const event of this.#waiting.events) {
      if (!this.#write(event)) break;
      written = event.seq;
    }
    this.#waiting.remove(written);
    if (this.#stranded && this.#overdue === null && !this.#waiting.empty) this.#distrust();
    this.#leaveWhenDelivered();
    if (this.#files === null || !this.#waiting.empty || this.#overdue !== null || this.#trust.owed) return this.#retry.later();
    this.#retry.succeeded();
    if (this.#troubled) this.#options.logger.warn({ lost: this.#losses.untold }, 'event outbox: the disk takes events again');
    this.#troubled = false;
    this.#tellLost('disk-full', 'the disk of this host was full');
  }

  /** Writes the first file of an epoch that has lived in memory so far. */
  #moveIn(): void {
    const [lastSeq, acknowledged, readable] = [this.#lastSeq, this.#acknowledged, this.#readable.upTo];
    try {
      const earlier = (this.#earlier?.read() ?? []).map((event, index) => ({ ...event, seq: lastSeq + 1 + index }));
      this.#start(this.#epoch, [...this.#waiting.events, ...earlier], lastSeq);
    } catch (error) {
      return this.#retry.refused(error); // still no space, or nothing to be read: said once when it began
    }
    this.#reading.succeeded();
    this.#waiting.remove(lastSeq);
    this.#acknowledged = acknowledged;
    // The numbers of what was acknowledged or dropped meanwhile are not in the file; they must not be given again.
    this.#lastSeq = Math.max(lastSeq, this.#lastSeq);
    this.#readable.reset(Math.max(readable, this.#readable.upTo));
    this.#readable.notify();
  }

  #keepBudget(): void {
    const { bytesMax, logger } = this.#options;
    try {
      const shed = this.#files?.shed(this.#handedOut, bytesMax) ?? null;
      if (shed === null || shed.dropped === 0) return;
      this.#losses.add(shed);
      logger.warn({ dropped: shed.dropped }, 'event outbox: full; the oldest events were dropped');
      this.#tellLost('outbox-full', 'the event queue of this host was full');
    } catch (error) {
      this.#say(error, 'full, and no space could be made');
    }
  }

  #say(error: unknown, what: string): void {
    this.#options.logger.error({ error: errorMessage(error) }, `event outbox: ${what}`);
  }

  #tellLost(reason: string, why: string): void {
    const gap = this.#losses.take(reason, why, this.#options.clock.now());
    if (gap !== null) this.#accept(gap);
  }

  /** Goes on in a new epoch, in which everything unacknowledged comes first. */
  #renew(why: string): void {
    let written: readonly AgentEvent[];
    try {
      written = [...(this.#files?.after(this.#acknowledged) ?? [])];
      this.#reading.succeeded();
    } catch (error) {
      this.#reading.failed(error);
      return this.#renewLater(why, error);
    }
    // What is not durable may be gone after a power loss: that is kept in memory, too.
    const standing = written.filter(({ seq }) => seq <= this.#readable.upTo);
    const waiting = [...written.slice(standing.length), ...this.#waiting.events];
    this.#overdue = null;
    this.#stranded = false;
    this.#trust.leave();
    this.#options.logger.warn({ events: standing.length + waiting.length }, `event outbox: ${why}; a new epoch begins`);
    // Under the numbers of the next epoch nobody drops what comes a second time.
    this.#acknowledgedFile.write(true);
    const old = this.#files;
    this.#files = null;
    old?.close();
    this.#handedOut = 0;
    this.#waiting.remove(this.#lastSeq);
    this.#begin(this.#options.newEpoch(), standing, waiting);
    this.#readable.notify();
  }

  #renewLater(why: string, cause: unknown): void {
    this.#overdue = why;
    this.#retry.refused(cause);
    this.#retry.later();
    this.#acknowledgedFile.write(true);
    try {
      // The numbers that are given meanwhile mean something else to the collector: a next start must not go on with them.
      this.#trust.remove();
    } catch {
      // Nor does the disk take anything: then they are not on it.
    }
  }
}
