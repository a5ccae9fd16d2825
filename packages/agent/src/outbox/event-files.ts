/**
 * The files of all epochs: one, of the newest, is written on; those before it are only read and removed. Knows nothing of memory,
 * gaps or what is sent.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import type { AgentEvent } from '@relight/shared/event';
import type { AppendFile, OutboxDisk } from './disk.ts';
import { inspect, isEventFile, isOfEarlierVersion, nextFileName, readEvents, type EventFile } from './found-files.ts';
import { HeldBack } from './held-back.ts';
import { encodeFile, encodeLine } from './lines.ts';
import type { OutboxPosition } from './outbox.ts';
import { shed, type Shed } from './shed.ts';

interface Active {
  readonly name: string;
  readonly epoch: string;
  readonly handle: AppendFile;
  readonly firstSeq: number;
  bytes: number;
  readonly events: AgentEvent[];
}

/** What stands on the disk of one epoch. */
export interface Numbers {
  readonly epoch: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Of files of one format the order of names is that of lives; across formats it is not, once an earlier version was installed again. */
  readonly earlierVersion: boolean;
}

export interface EventFilesOptions {
  readonly disk: OutboxDisk;
  readonly clock: Clock;
  readonly fileBytesMax: number;
  /** So much a file counts at least. */
  readonly fileBytesMin: number;
  /** Between two fsyncs under load. */
  readonly syncMs: number;
  /** Everything up to this one is durable. */
  readonly durable: (position: OutboxPosition) => void;
  readonly syncFailed: (epoch: string, error: unknown) => void;
}

/**
 * So many files that earlier lives have left stay, although all in them is acknowledged: a life that was killed between a state and
 * its events is found out there (telling.ts), also when the next ones were killed before they had looked.
 */
const keptMax = 8;

export class EventFiles {
  readonly #options: EventFilesOptions;
  /** By name, which is the order in which one version wrote them. */
  #sealed: EventFile[] = [];
  /** Of those alone; null: they have changed. */
  #sealedSum: { readonly epochs: readonly Numbers[]; readonly bytes: number } | null = null;
  #active: Active | null = null;
  /** Of earlier lives, not looked into yet; null: nor even listed. */
  #unread: string[] | null = null;
  #kept: ReadonlySet<string> = new Set();
  /** Of earlier lives the newest. */
  #newestFound = '';
  /** Of the file that comes next. One that could not be finished is written over: no event stands in two files. */
  #nextName: string | null = null;
  #syncing: AppendFile | null = null;
  #syncPause: Timer | null = null;
  #syncWanted = false;
  #cached: { readonly name: string; readonly events: readonly AgentEvent[] } | null = null;
  /** Of the sealed ones, as it was when that was tried last. */
  readonly #unreadable = new HeldBack();
  #closed = false;

  constructor(options: EventFilesOptions) {
    this.#options = options;
  }

  /** Of the room of the disk: lives that end soon leave small files, of which each takes a block. */
  get bytes(): number {
    return this.#sum().bytes + (this.#active?.bytes ?? 0);
  }

  /** There is a file to be written on. */
  get open(): boolean {
    return this.#active !== null;
  }

  /** All that earlier lives have left is known. */
  get complete(): boolean {
    return this.#unread?.length === 0;
  }

  /** In the order of their files. */
  epochs(): readonly Numbers[] {
    const { epochs } = this.#sum();
    if (this.#active === null) return epochs;
    const last = epochs.at(-1);
    const continued = last?.epoch === this.#active.epoch ? [last] : [];
    return [...epochs.slice(0, epochs.length - continued.length), ...byEpoch([...continued, asNumbers(asSealed(this.#active))])];
  }

  /**
   * Looks into what earlier lives have left, oldest first, as far as that has not been done. Tells how many events are damaged. Throws
   * errno errors; the next time it goes on there.
   */
  look(damaged: (events: number) => void): void {
    const { disk } = this.#options;
    const unread = this.#list();
    for (let name = unread[0]; name !== undefined; name = unread[0]) {
      const { file, lost, holdsAll } = inspect(disk, name);
      unread.shift();
      if (holdsAll) attempt(() => this.#drop(({ name: earlier }) => earlier < name && isOfEarlierVersion(earlier)));
      if (name === this.#newestFound) this.#makeDurable(name);
      if (file !== null) this.#insert(file);
      damaged(lost);
    }
  }

  /** The first file of an epoch, with all that is in it so far. It is durable on return. Throws errno errors. */
  begin(epoch: string, firstSeq: number, events: readonly AgentEvent[]): void {
    this.#list();
    this.#active = this.#create(epoch, firstSeq, events);
  }

  /** What comes is of another epoch. */
  leave(): void {
    this.#seal();
  }

  /** One write(2); fsync follows. False: the disk is full, or nothing is open, and nothing of it is in a file. Throws errno errors. */
  write(event: AgentEvent): boolean {
    const line = encodeLine(event);
    const active = this.#activeFor(event, line.length);
    if (active === null) return false;
    if (active.handle.append(line) < line.length) {
      this.#undo(active);
      return false;
    }
    active.bytes += line.length;
    active.events.push(event);
    this.#sync();
    return true;
  }

  /** Of one epoch. Throws errno errors. */
  *after({ epoch, seq }: OutboxPosition): Generator<AgentEvent> {
    for (const file of this.#sealed) {
      if (file.epoch !== epoch || file.lastSeq <= seq) continue;
      for (const event of this.#eventsOf(file)) if (event.seq > seq) yield event;
    }
    if (this.#active?.epoch !== epoch) return;
    const { events } = this.#active;
    for (let index = firstAfter(events, seq); index < events.length; index += 1) yield events[index] as AgentEvent;
  }

  /** What earlier lives have appended behind it. Null: not all of it is here. Throws errno errors. */
  since({ epoch, seq }: OutboxPosition): readonly AgentEvent[] | null {
    if (!this.complete) return null;
    const found = this.#sealed.filter(({ name }) => name <= this.#newestFound);
    const start = found.findIndex((file) => file.epoch === epoch);
    const files = start < 0 ? [] : found.slice(start);
    const whole = files.every((file, index) => {
      const sameEpoch = file.epoch === (files[index - 1]?.epoch ?? epoch);
      return index === 0 ? file.firstSeq <= seq + 1 : sameEpoch || file.firstSeq === 1;
    });
    if (files.length === 0 || !whole) return null;
    return files.flatMap((file) => this.#eventsOf(file).filter((event) => file.epoch !== epoch || event.seq > seq));
  }

  /** Removes files that hold nothing but what is acknowledged, told by epoch. Throws errno errors. */
  remove(acknowledged: (epoch: string) => number): void {
    this.#drop(({ epoch, lastSeq, name }) => lastSeq <= acknowledged(epoch) && !this.#kept.has(name));
  }

  /** Removes all of an epoch. Throws errno errors. */
  forget(epoch: string): void {
    this.#drop((file) => file.epoch === epoch);
  }

  /** Nothing stays that is acknowledged. */
  release(): void {
    this.#kept = new Set();
  }

  /**
   * Down to 7/8 of `bytesMax` where that is possible, and tells what went. What cannot be read stays. Each such file may take a failing
   * disk seconds: one of those that are known is tried again, and the first that comes to light ends it; the next time it goes on behind it.
   */
  shed(underWay: OutboxPosition, bytesMax: number): Omit<Shed, 'files'> {
    this.#cached = null;
    const { disk, fileBytesMin } = this.#options;
    const failing = this.#unreadable.tryAgain((name) => this.#read(name));
    const kept = new Set(this.#sealed.filter(({ name }) => this.#unreadable.has(name)));
    const readable = this.#sealed.filter((file) => !kept.has(file));
    const room = { bytes: this.bytes - bytesMax + Math.ceil(bytesMax / 8), fileBytesMin };
    const { files, refusal, ...dropped } = shed(disk, (name) => this.#read(name), readable, underWay, room);
    const left = new Map(files.map((file) => [file.name, file]));
    this.#sealed = this.#sealed.flatMap((file) => (kept.has(file) ? file : (left.get(file.name) ?? [])));
    this.#sealedSum = null;
    return { ...dropped, refusal: refusal ?? failing };
  }

  close(): void {
    this.#closed = true;
    this.#syncPause?.cancel();
    this.#seal();
  }

  #sum(): { readonly epochs: readonly Numbers[]; readonly bytes: number } {
    const { fileBytesMin } = this.#options;
    return (this.#sealedSum ??= {
      epochs: byEpoch(this.#sealed.map(asNumbers)),
      bytes: this.#sealed.reduce((sum, file) => sum + Math.max(file.bytes, fileBytesMin), 0),
    });
  }

  #list(): string[] {
    if (this.#unread !== null) return this.#unread;
    const names = this.#options.disk.list().filter(isEventFile);
    this.#kept = new Set(names.slice(-keptMax));
    this.#newestFound = names.at(-1) ?? '';
    return (this.#unread = names);
  }

  /** Else the collector might have what a power loss takes from here, and it would be told once more under another number (telling.ts). */
  #makeDurable(name: string): void {
    attempt(() => {
      const handle = this.#options.disk.open(name);
      try {
        handle.syncNow();
      } finally {
        handle.close();
      }
    });
  }

  #eventsOf({ name }: EventFile): readonly AgentEvent[] {
    if (this.#cached?.name !== name) this.#cached = { name, events: this.#read(name) };
    return this.#cached.events;
  }

  #read(name: string): readonly AgentEvent[] {
    try {
      const events = readEvents(this.#options.disk, name);
      this.#unreadable.remove(name);
      return events;
    } catch (error) {
      this.#unreadable.add(name);
      throw error;
    }
  }

  /** What was found is older than what this life has written. */
  #insert(file: EventFile): void {
    const before = this.#sealed.findLastIndex(({ name }) => name < file.name);
    this.#sealed.splice(before + 1, 0, file);
    this.#sealedSum = null;
  }

  /** One that the disk does not let go of is forgotten all the same: a later life finds it, and that it is acknowledged. */
  #drop(which: (file: EventFile) => boolean): void {
    const gone = new Set(this.#sealed.filter(which));
    if (gone.size === 0) return;
    this.#sealed = this.#sealed.filter((file) => !gone.has(file));
    this.#sealedSum = null;
    for (const { name } of gone) this.#unreadable.remove(name);
    for (const { name } of gone) this.#options.disk.remove(name);
  }

  #activeFor(event: AgentEvent, bytes: number): Active | null {
    const active = this.#active;
    if (active === null || active.events.length === 0 || active.bytes + bytes <= this.#options.fileBytesMax) return active;
    this.#seal();
    return (this.#active = this.#create(active.epoch, event.seq, []));
  }

  #create(epoch: string, firstSeq: number, events: readonly AgentEvent[]): Active {
    const { disk } = this.#options;
    const name = (this.#nextName ??= nextFileName([...disk.list(), ...this.#sealed.map((file) => file.name)]));
    const bytes = encodeFile({ epoch, firstSeq }, events);
    disk.replace(name, bytes);
    const handle = disk.open(name);
    this.#nextName = null;
    return { name, epoch, handle, firstSeq, bytes: bytes.length, events: [...events] };
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
    const file = asSealed(active);
    this.#sealed.push(file);
    this.#sealedSum = null;
    // A disk that takes no more may give no more either: what was in memory just now is sent all the same.
    this.#cached = { name: file.name, events: active.events };
    try {
      active.handle.syncNow();
      this.#options.durable({ epoch: file.epoch, seq: file.lastSeq });
    } catch (error) {
      this.#options.syncFailed(file.epoch, error);
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
    const { epoch, handle } = active;
    const seq = active.events.at(-1)?.seq ?? 0;
    this.#syncing = handle;
    handle.sync((error) => {
      this.#syncing = null;
      if (this.#active?.handle !== handle) handle.close();
      if (this.#closed) return;
      if (error === null) durable({ epoch, seq });
      else syncFailed(epoch, error);
      this.#syncPause = clock.after(syncMs, () => {
        this.#syncPause = null;
        if (!this.#syncWanted) return;
        this.#syncWanted = false;
        this.#sync();
      });
    });
  }
}

/** What a disk may refuse that goes on all the same. */
function attempt(act: () => void): void {
  try {
    act();
  } catch {
    // The next life tries it again.
  }
}

function asSealed({ name, epoch, firstSeq, bytes, events }: Active): EventFile {
  return { name, epoch, firstSeq, lastSeq: events.at(-1)?.seq ?? firstSeq - 1, bytes };
}

const asNumbers = ({ name, epoch, firstSeq, lastSeq }: EventFile): Numbers => ({
  epoch,
  firstSeq,
  lastSeq,
  earlierVersion: isOfEarlierVersion(name),
});

function byEpoch(files: readonly Numbers[]): Numbers[] {
  const numbers = new Map<string, Numbers>();
  for (const file of files) numbers.set(file.epoch, { ...file, firstSeq: numbers.get(file.epoch)?.firstSeq ?? file.firstSeq });
  return [...numbers.values()];
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
