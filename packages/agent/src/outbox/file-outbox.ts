/**
 * Events as checksummed NDJSON lines in append-only files.
 *
 * - append() is one write(2): it survives kill -9. fsync follows at once when none is running, else within `syncMs`; only
 *   then can the event be read and sent. So a number that anybody outside has seen is on the disk, and power loss does not
 *   lead to its reuse (see recovery.ts).
 * - Full disk: events wait in memory (`memoryBytesMax`) and are tried again every second. They may be sent meanwhile: the
 *   file `trusted` is removed first, so that the next start takes a new epoch. What does not fit is counted.
 * - Over `bytesMax`: the oldest unsent `info` events go, then the oldest of any kind, down to 7/8 of the cap; each time one
 *   `log.gap` event tells how many. The numbers of what went are not used again: a run of events returned by read() is
 *   consecutive, but the next run may begin later.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { AgentEvent, NewAgentEvent } from '@relight/shared/event';
import type { Logger } from 'pino';
import { directoryDisk, type AppendFile, type OutboxDisk } from './disk.ts';
import { encodeLine } from './lines.ts';
import type { Outbox } from './outbox.ts';
import {
  acknowledgedName,
  begin,
  encodeAcknowledged,
  nextFileName,
  readEvents,
  recover,
  trustedName,
  renumber,
  type Continued,
  type EventFile,
} from './recovery.ts';
import { sanitise } from './sanitise.ts';
import { shed, weight } from './shed.ts';

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

interface Active {
  name: string;
  handle: AppendFile;
  firstSeq: number;
  bytes: number;
  events: AgentEvent[];
}

export class FileOutbox implements Outbox {
  readonly #options: Required<Omit<FileOutboxOptions, 'directory'>>;
  readonly #disk: OutboxDisk;
  readonly #listeners = new Set<() => void>();
  #epoch = '';
  #lastSeq = 0;
  #acknowledged = 0;
  /** Up to here events may leave the process. */
  #readable = 0;
  #handedOut = 0;
  #sealed: EventFile[] = [];
  #active: Active | null = null;
  /** Events that the disk did not take, in order, with their size. */
  #waiting: { readonly event: AgentEvent; readonly bytes: number }[] = [];
  #waitingBytes = 0;
  #lost = 0;
  #trusted = true;
  /** The files on the disk are of an earlier epoch, because the first file of this one could not be written yet. */
  #homeless = false;
  #syncing: AppendFile | null = null;
  #syncPause: Timer | null = null;
  #syncWanted = false;
  #retry: Timer | null = null;
  #persist: Timer | null = null;
  #cached: { name: string; events: readonly AgentEvent[] } | null = null;
  #closed = false;

  /** Never fails for a full disk; throws when the directory cannot be made or read. */
  static open(options: FileOutboxOptions): FileOutbox {
    return new FileOutbox(options);
  }

  private constructor(options: FileOutboxOptions) {
    const bytesMax = options.bytesMax ?? 64 * 1024 ** 2;
    this.#disk = options.disk ?? directoryDisk(options.directory);
    this.#options = {
      fileBytesMax: Math.min(256 * 1024, Math.ceil(bytesMax / 8)),
      memoryBytesMax: 1024 ** 2,
      syncMs: 50,
      ...options,
      bytesMax,
      disk: this.#disk,
    };
    this.#restore();
  }

  get epoch(): string {
    return this.#epoch;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  append(event: NewAgentEvent): AgentEvent {
    const sanitised = this.#accept(event);
    if (this.#bytes() > this.#options.bytesMax) this.#shed();
    return sanitised;
  }

  read(afterSeq: number, count: number): readonly AgentEvent[] {
    const from = Math.max(afterSeq, this.#acknowledged);
    const run: AgentEvent[] = [];
    for (const event of this.#eventsAfter(from)) {
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
    while ((this.#sealed[0]?.lastSeq ?? Infinity) <= seq) this.#removeSealed(0);
    this.#setWaiting(this.#waiting.filter(({ event }) => event.seq > seq));
    this.#persist ??= this.#options.clock.after(acknowledgedPersistMs, () => this.#persistAcknowledged());
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
    this.#dropActive();
    this.#listeners.clear();
  }

  #restore(): void {
    const recovered = recover(this.#disk, this.#options.clock.now());
    for (const note of recovered.notes) this.#options.logger.warn(`event outbox: ${note}`);
    if (recovered.kind === 'continue') this.#use(recovered);
    else this.#begin(this.#options.newEpoch(), recovered.events);
  }

  #use(recovered: Continued): void {
    const last = recovered.files.at(-1);
    if (last === undefined) return;
    const handle = this.#disk.open(last.name);
    handle.syncNow();
    this.#epoch = recovered.epoch;
    this.#lastSeq = last.lastSeq;
    this.#acknowledged = recovered.acknowledged;
    this.#sealed = recovered.files.slice(0, -1);
    this.#active = { ...last, handle, events: [...readEvents(this.#disk, last.name)] };
    this.#readable = this.#lastSeq;
    this.#trusted = true;
    this.#homeless = false;
  }

  /** A full disk does not stop the new epoch: it lives in memory until its first file can be written. */
  #begin(epoch: string, events: readonly AgentEvent[]): void {
    try {
      this.#use(begin(this.#disk, epoch, events));
    } catch (error) {
      this.#options.logger.error({ error: errorMessage(error) }, 'event outbox: the new epoch cannot be written');
      this.#homeless = true;
      this.#epoch = epoch;
      this.#sealed = [];
      this.#acknowledged = 0;
      this.#lastSeq = events.at(-1)?.seq ?? 0;
      this.#readable = 0;
      for (const event of events) this.#keepInMemory(event);
    }
  }

  #accept(event: NewAgentEvent): AgentEvent {
    const sanitised = sanitise(event, this.#lastSeq + 1, this.#options.clock.now());
    this.#lastSeq = sanitised.seq;
    if (this.#closed) this.#lost += 1;
    else if (this.#waiting.length > 0 || !this.#write(sanitised)) this.#keepInMemory(sanitised);
    return sanitised;
  }

  /** False: the disk did not take it and nothing of it is in the file. */
  #write(event: AgentEvent): boolean {
    if (this.#homeless) return false;
    const line = encodeLine(event);
    try {
      const full = this.#active !== null && this.#active.events.length > 0 && this.#active.bytes + line.length > this.#options.fileBytesMax;
      if (full) this.#dropActive();
      const active = (this.#active ??= this.#create(event.seq));
      const written = active.handle.append(line);
      if (written < line.length) {
        this.#undo(active);
        return false;
      }
      active.bytes += line.length;
      active.events.push(event);
    } catch (error) {
      if (this.#waiting.length === 0)
        this.#options.logger.error({ error: errorMessage(error) }, 'event outbox: an event could not be written');
      return false;
    }
    this.#sync();
    return true;
  }

  #undo(active: Active): void {
    try {
      active.handle.truncate(active.bytes);
    } catch {
      this.#dropActive(); // the half line stays at the end of a file that is not written any more, where it does no harm
    }
  }

  #create(firstSeq: number): Active {
    const name = nextFileName([...this.#disk.list(), ...this.#sealed.map((file) => file.name)]);
    const header = encodeLine({ epoch: this.#epoch, firstSeq });
    this.#disk.replace(name, header);
    return { name, handle: this.#disk.open(name), firstSeq, bytes: header.length, events: [] };
  }

  /** Makes the active file durable and sealed. */
  #dropActive(): void {
    const active = this.#active;
    if (active === null) return;
    this.#active = null;
    const lastSeq = active.events.at(-1)?.seq ?? active.firstSeq - 1;
    try {
      active.handle.syncNow();
      this.#advance(lastSeq);
    } catch (error) {
      this.#syncFailed(error);
    }
    if (this.#syncing !== active.handle) active.handle.close();
    if (this.#closed) return;
    this.#sealed.push({ name: active.name, firstSeq: active.firstSeq, lastSeq, bytes: active.bytes });
  }

  #sync(): void {
    const active = this.#active;
    if (this.#syncing !== null || this.#syncPause !== null || active === null) {
      this.#syncWanted = true;
      return;
    }
    const { handle } = active;
    const upTo = active.events.at(-1)?.seq ?? 0;
    const epoch = this.#epoch;
    this.#syncing = handle;
    handle.sync((error) => {
      this.#syncing = null;
      if (this.#active?.handle !== handle) handle.close();
      if (error !== null) this.#syncFailed(error);
      else if (epoch === this.#epoch) this.#advance(upTo);
      if (this.#closed) return;
      this.#syncPause = this.#options.clock.after(this.#options.syncMs, () => {
        this.#syncPause = null;
        if (!this.#syncWanted) return;
        this.#syncWanted = false;
        this.#sync();
      });
    });
  }

  #syncFailed(error: unknown): void {
    this.#options.logger.error({ error: errorMessage(error) }, 'event outbox: fsync failed; numbers on this disk are not trusted any more');
    this.#distrust();
  }

  #advance(seq: number): void {
    if (seq <= this.#readable) return;
    this.#readable = seq;
    this.#notify();
  }

  /** Lets events leave that are not durable: once the marker is gone, no later start continues this numbering. */
  #distrust(): void {
    try {
      if (this.#trusted) {
        this.#disk.remove(trustedName);
        this.#disk.syncDirectory();
      }
      this.#trusted = false;
      this.#advance(this.#lastSeq);
    } catch (error) {
      this.#options.logger.error({ error: errorMessage(error) }, 'event outbox: the disk refuses every change; events wait');
    }
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #keepInMemory(event: AgentEvent): void {
    const bytes = encodeLine(event).length;
    this.#waiting.push({ event, bytes });
    this.#waitingBytes += bytes;
    while (this.#waitingBytes > this.#options.memoryBytesMax && this.#waiting.length > 1) {
      const oldestInfo = this.#waiting.findIndex(({ event }) => event.severity === 'info' && event.seq > this.#handedOut);
      const [dropped] = this.#waiting.splice(Math.max(0, oldestInfo), 1);
      this.#waitingBytes -= dropped?.bytes ?? 0;
      this.#lost += dropped === undefined ? 0 : weight(dropped.event);
    }
    this.#distrust();
    this.#retryLater();
  }

  #retryLater(): void {
    this.#retry ??= this.#options.clock.after(retryMs, () => {
      this.#retry = null;
      this.#flushWaiting();
    });
  }

  #setWaiting(waiting: { event: AgentEvent; bytes: number }[]): void {
    this.#waiting = waiting;
    this.#waitingBytes = waiting.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #flushWaiting(): void {
    if (this.#homeless) this.#moveIn();
    const before = this.#waiting;
    let written = 0;
    while (written < before.length && this.#write((before[written] as (typeof before)[number]).event)) written += 1;
    this.#setWaiting(before.slice(written));
    if (this.#homeless || this.#waiting.length > 0) {
      this.#retryLater();
      return;
    }
    const lost = this.#lost;
    this.#lost = 0;
    if (written > 0 || lost > 0) this.#options.logger.warn({ lost }, 'event outbox: the disk takes events again');
    if (lost > 0) this.#accept(this.#gapEvent(lost, 'disk-full', 'the disk of this host was full'));
  }

  #moveIn(): void {
    const { lastSeq } = this;
    const [acknowledged, readable] = [this.#acknowledged, this.#readable];
    try {
      this.#use(
        begin(
          this.#disk,
          this.#epoch,
          this.#waiting.map(({ event }) => event),
        ),
      );
    } catch {
      return; // still no space: said once when it began, and tried again every second
    }
    this.#setWaiting([]);
    this.#acknowledged = acknowledged;
    // The numbers of what was acknowledged or dropped meanwhile are not in the file; they must not be given again.
    this.#lastSeq = Math.max(lastSeq, this.#lastSeq);
    this.#advance(Math.max(readable, this.#lastSeq));
  }

  #bytes(): number {
    return this.#sealed.reduce((sum, file) => sum + file.bytes, this.#active?.bytes ?? 0);
  }

  #shed(): void {
    const { bytesMax } = this.#options;
    try {
      const result = shed(this.#disk, this.#sealed, this.#epoch, this.#handedOut, this.#bytes() - Math.floor((bytesMax * 7) / 8));
      this.#sealed = [...result.files];
      this.#cached = null;
      if (result.dropped === 0) return;
      this.#options.logger.warn({ dropped: result.dropped }, 'event outbox: full; the oldest events were dropped');
      this.#accept(this.#gapEvent(result.dropped, 'outbox-full', 'the event queue of this host was full'));
    } catch (error) {
      this.#options.logger.error({ error: errorMessage(error) }, 'event outbox: full, and no space could be made');
    }
  }

  #gapEvent(events: number, reason: string, why: string): NewAgentEvent {
    const message = `${events} events were dropped: ${why}`;
    return { at: this.#options.clock.now(), kind: 'log.gap', severity: 'warning', message, data: { reason, events } };
  }

  *#eventsAfter(seq: number): Generator<AgentEvent> {
    for (const file of this.#sealed) {
      if (file.lastSeq <= seq) continue;
      if (this.#cached?.name !== file.name) this.#cached = { name: file.name, events: readEvents(this.#disk, file.name) };
      for (const event of this.#cached.events) if (event.seq > seq) yield event;
    }
    const inMemory = this.#active?.events ?? [];
    for (let index = firstAfter(inMemory, seq); index < inMemory.length; index += 1) yield inMemory[index] as AgentEvent;
    for (const { event } of this.#waiting) if (event.seq > seq) yield event;
  }

  #removeSealed(index: number): void {
    const [file] = this.#sealed.splice(index, 1);
    if (file === undefined) return;
    if (this.#cached?.name === file.name) this.#cached = null;
    try {
      this.#disk.remove(file.name);
    } catch (error) {
      this.#options.logger.warn({ file: file.name, error: errorMessage(error) }, 'event outbox: an acknowledged file could not be removed');
    }
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
    const kept = renumber([...this.#eventsAfter(this.#acknowledged)]);
    this.#options.logger.warn({ events: kept.length }, `event outbox: ${why}; a new epoch begins`);
    this.#dropActive();
    this.#cached = null;
    this.#handedOut = 0;
    this.#setWaiting([]);
    this.#begin(this.#options.newEpoch(), kept);
    this.#notify();
  }
}

/** Index of the first event with a number above `seq`: numbers ascend, with holes. */
function firstAfter(events: readonly AgentEvent[], seq: number): number {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((events[middle]?.seq ?? 0) > seq) high = middle;
    else low = middle + 1;
  }
  return low;
}
