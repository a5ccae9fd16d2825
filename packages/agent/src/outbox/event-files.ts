/** The files of one epoch: one is written on, the sealed ones before it are only read and removed. Knows nothing of trust, memory or gaps. */
import type { Clock, Timer } from '@relight/shared/clock';
import type { AgentEvent } from '@relight/shared/event';
import type { AppendFile, OutboxDisk } from './disk.ts';
import { encodeLine } from './lines.ts';
import { nextFileName, readEvents, type Continued, type EventFile } from './recovery.ts';
import { shed, type Dropped } from './shed.ts';

interface Active {
  readonly name: string;
  readonly handle: AppendFile;
  readonly firstSeq: number;
  bytes: number;
  readonly events: AgentEvent[];
}

export interface EventFilesOptions {
  readonly disk: OutboxDisk;
  readonly clock: Clock;
  readonly fileBytesMax: number;
  /** Between two fsyncs under load. */
  readonly syncMs: number;
  /** Everything up to `seq` is durable. */
  readonly durable: (seq: number) => void;
  readonly syncFailed: (error: unknown) => void;
}

export class EventFiles {
  readonly #options: EventFilesOptions;
  readonly epoch: string;
  #sealed: EventFile[];
  #active: Active | null;
  #syncing: AppendFile | null = null;
  #syncPause: Timer | null = null;
  #syncWanted = false;
  #cached: { readonly name: string; readonly events: readonly AgentEvent[] } | null = null;
  #closed = false;
  #writing = false;

  /** Makes durable what the last file holds. Throws errno errors. */
  constructor(options: EventFilesOptions, { epoch, files, lastEvents }: Continued) {
    this.#options = options;
    this.epoch = epoch;
    this.#sealed = files.slice(0, -1);
    const last = files.at(-1) as EventFile;
    const handle = options.disk.open(last.name);
    try {
      handle.syncNow();
    } catch (error) {
      handle.close();
      throw error;
    }
    this.#active = { name: last.name, handle, firstSeq: last.firstSeq, bytes: last.bytes, events: [...lastEvents] };
  }

  get bytes(): number {
    return this.#sealed.reduce((sum, file) => sum + file.bytes, this.#active?.bytes ?? 0);
  }

  /** One write(2); fsync follows. False: the disk is full and nothing of it is in the file. Throws errno errors. */
  write(event: AgentEvent): boolean {
    this.#writing = true;
    try {
      return this.#write(event);
    } finally {
      this.#writing = false;
    }
  }

  /** In the middle of `write`: whoever is called back by it must not leave these files yet. */
  get writing(): boolean {
    return this.#writing;
  }

  #write(event: AgentEvent): boolean {
    const line = encodeLine(event);
    const active = this.#activeFor(event, line.length);
    if (active.handle.append(line) < line.length) {
      this.#undo(active);
      return false;
    }
    active.bytes += line.length;
    active.events.push(event);
    this.#sync();
    return true;
  }

  *after(seq: number): Generator<AgentEvent> {
    const { disk } = this.#options;
    for (const { lastSeq, name } of this.#sealed) {
      if (lastSeq <= seq) continue;
      if (this.#cached?.name !== name) this.#cached = { name, events: readEvents(disk, name) };
      for (const event of this.#cached.events) if (event.seq > seq) yield event;
    }
    const events = this.#active?.events ?? [];
    for (let index = firstAfter(events, seq); index < events.length; index += 1) yield events[index] as AgentEvent;
  }

  /** Removes files that hold nothing above `seq`. Throws errno errors. */
  remove(seq: number): void {
    for (let file = this.#sealed[0]; file !== undefined && file.lastSeq <= seq; file = this.#sealed[0]) {
      this.#sealed.shift();
      this.#options.disk.remove(file.name);
    }
  }

  /** Over `bytesMax`: down to 7/8 of it where that is possible, and tells what went; null: it is not. Throws errno errors. */
  shed(handedOut: number, bytesMax: number): Dropped | null {
    const excess = this.bytes - bytesMax;
    if (excess <= 0) return null;
    this.#cached = null;
    const { files, ...dropped } = shed(this.#options.disk, this.#sealed, this.epoch, handedOut, excess + Math.ceil(bytesMax / 8));
    this.#sealed = [...files];
    return dropped;
  }

  close(): void {
    this.#closed = true;
    this.#syncPause?.cancel();
    this.#seal();
  }

  #activeFor(event: AgentEvent, bytes: number): Active {
    const full = this.#active !== null && this.#active.events.length > 0 && this.#active.bytes + bytes > this.#options.fileBytesMax;
    if (full) this.#seal();
    return (this.#active ??= this.#create(event.seq));
  }

  #create(firstSeq: number): Active {
    const { disk } = this.#options;
    const name = nextFileName([...disk.list(), ...this.#sealed.map((file) => file.name)]);
    const header = encodeLine({ epoch: this.epoch, firstSeq });
    disk.replace(name, header);
    return { name, handle: disk.open(name), firstSeq, bytes: header.length, events: [] };
  }

  #undo(active: Active): void {
    try {
      active.handle.truncate(active.bytes);
    } catch {
      this.#seal(); // the half line stays at the end of a file that is not written any more, where it does no harm
    }
  }

  /** Makes the active file durable and lets go of it. */
  #seal(): void {
    const active = this.#active;
    if (active === null) return;
    this.#active = null;
    const lastSeq = active.events.at(-1)?.seq ?? active.firstSeq - 1;
    this.#sealed.push({ name: active.name, firstSeq: active.firstSeq, lastSeq, bytes: active.bytes });
    try {
      active.handle.syncNow();
      this.#options.durable(lastSeq);
    } catch (error) {
      this.#options.syncFailed(error);
    }
    if (this.#syncing !== active.handle) active.handle.close();
  }

  /** At once when none is under way and the last one is long enough ago; those that come meanwhile share the next. */
  #sync(): void {
    const active = this.#active;
    if (this.#syncing !== null || this.#syncPause !== null || active === null) {
      this.#syncWanted = true;
      return;
    }
    const { clock, durable, syncFailed, syncMs } = this.#options;
    const { handle } = active;
    const upTo = active.events.at(-1)?.seq ?? 0;
    this.#syncing = handle;
    handle.sync((error) => {
      this.#syncing = null;
      if (this.#active?.handle !== handle) handle.close();
      if (this.#closed) return;
      if (error === null) durable(upTo);
      else syncFailed(error);
      this.#syncPause = clock.after(syncMs, () => {
        this.#syncPause = null;
        if (!this.#syncWanted) return;
        this.#syncWanted = false;
        this.#sync();
      });
    });
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
