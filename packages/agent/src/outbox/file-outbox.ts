/**
 * Events as checksummed NDJSON lines in append-only files.
 *
 * - Every life of the agent begins an epoch, and no number is ever given twice. What earlier lives have left is sent first, in their
 *   epochs, under the numbers that it has: whatever was lost on the way or on the disk, the collector knows what it has already.
 * - An epoch is on the disk as a whole or in memory as a whole. So the disk never lacks a number that somebody outside has seen in an
 *   epoch that goes on.
 * - append() is one write(2): it survives kill -9. fsync follows at once when none is running, else within `syncMs`; only
 *   then can the event be read and sent. Whose fsync fails may be sent at once: it may be gone after a power loss.
 * - A disk that takes no event, for whatever reason: a new epoch begins, in memory (`memoryBytesMax`; what does not fit is counted), and
 *   is sent from there. As soon as the disk takes a file with all of it (retry.ts), it is on the disk. The agent's death loses
 *   what is only in memory.
 * - What earlier lives or this one have left may be unreadable: it is tried again, and sent when it can be. What happens now does not wait
 *   for it: where it stands in the epoch of this life, another begins.
 * - Over `bytesMax`: the oldest unsent `info` events go, then the oldest of any kind, down to 7/8 of the cap; each time one
 *   `log.gap` event tells how many. What cannot be read stays. A run of events returned by read() is consecutive, but the next run may begin later.
 */
import { errorMessage } from '@relight/shared/errors';
import type { AgentEvent, NewAgentEvent } from '@relight/shared/event';
import { AcknowledgedFile, readAcknowledged } from './acknowledged.ts';
import { EventFiles, type Numbers } from './event-files.ts';
import { type FileOutboxOptions, type WholeOptions, withDefaults } from './file-outbox-options.ts';
import { GuardedReading } from './guarded-reading.ts';
import { HeldBack } from './held-back.ts';
import { Losses } from './losses.ts';
import type { EventBacklog, Outbox, OutboxPosition } from './outbox.ts';
import { Parting } from './parting.ts';
import { Progress } from './progress.ts';
import { Readable } from './readable.ts';
import { DiskRetry, type DiskTrouble } from './retry.ts';
import { sanitise } from './sanitise.ts';
import type { OutboxHistory } from './telling.ts';
import { nextRun, WaitingEvents } from './waiting-events.ts';

export class FileOutbox implements Outbox, OutboxHistory {
  readonly #options: WholeOptions;
  readonly #files: EventFiles;
  /** In the newest epoch; all of another one may leave. */
  readonly #readable = new Readable();
  /** All of the newest epoch that is not acknowledged, while it has no file. */
  readonly #waiting: WaitingEvents;
  /** Apart: what is sent can be read while something older cannot, and each failure is said once. */
  readonly #looking: GuardedReading;
  readonly #reading: GuardedReading;
  readonly #acknowledgedFile: AcknowledgedFile;
  readonly #retry: DiskRetry;
  readonly #parting: Parting;
  readonly #losses = new Losses();
  readonly #progress = new Progress();
  /** How far the collector was when an earlier life said so last. Null: nobody knows. */
  #before: OutboxPosition | null = null;
  #epoch: string;
  #lastSeq = 0;
  #sending: string;
  /** In `#sending`. */
  #handedOut = 0;
  /** An epoch whose numbers mean something else to the collector: what stands in it has to be numbered anew. */
  #disowned: string | null = null;
  /** Of those before this one. */
  readonly #heldBack = new HeldBack();
  #troubled = false;
  /** Over `bytesMax`, and the disk did not let room be made. */
  #crammed = false;
  #closed = false;

  /** Never fails, whatever the disk does. */
  static open(options: FileOutboxOptions): FileOutbox {
    return new FileOutbox(options);
  }

  private constructor(options: FileOutboxOptions) {
    this.#options = withDefaults(options);
    const { clock, directory, disk, logger, memoryBytesMax, newEpoch } = this.#options;
    this.#waiting = new WaitingEvents(memoryBytesMax);
    this.#looking = new GuardedReading(directory, logger);
    this.#reading = new GuardedReading(directory, logger);
    this.#acknowledgedFile = new AcknowledgedFile(disk, clock, () =>
      this.#files.complete ? this.#progress.of(this.#firstMissing(() => true)) : null,
    );
    this.#retry = new DiskRetry(clock, () => this.#flush());
    this.#parting = new Parting(clock, (error) => this.#part(error));
    this.#epoch = this.#sending = newEpoch();
    this.#files = new EventFiles({
      ...this.#options,
      durable: ({ epoch, seq }) => void (epoch === this.#epoch && this.#readable.advance(seq)),
      syncFailed: (epoch, error) => {
        this.#say(error, 'fsync failed; a power loss may take what is sent all the same');
        if (epoch === this.#epoch) this.#readable.advance(this.#lastSeq);
      },
    });
    try {
      this.#before = readAcknowledged(disk);
    } catch {
      // Then it is sent a second time.
    }
    this.#flush();
  }

  get epoch(): string {
    return this.#epoch;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  get position(): OutboxPosition {
    return { epoch: this.#epoch, seq: this.#lastSeq };
  }

  get sending(): OutboxPosition {
    // Not while something of it is under way: acknowledgements of one epoch would come while another is sent.
    if (this.#handedOut <= this.#progress.of(this.#sending).seq || this.#missingIn(this.#sending) === 0) {
      this.#sending = this.#firstMissing((epoch) => !this.#heldBack.has(epoch));
      this.#handedOut = 0;
    }
    return this.#progress.of(this.#sending);
  }

  get pending(): number {
    return this.#numbers().reduce((sum, numbers) => sum + this.#missing(numbers), 0);
  }

  since(position: OutboxPosition): readonly AgentEvent[] | null {
    const last = this.#before?.epoch;
    // What was acknowledged last is in no file: it was sent from memory, and nobody knows what else was.
    if (last !== undefined && this.#files.epochs().every(({ epoch }) => epoch !== last)) return null;
    return this.#reading.attempt(() => this.#files.since(position));
  }

  append(event: NewAgentEvent): AgentEvent {
    const accepted = this.#accept(event);
    // Where the disk did not let it be made, it is tried again by the clock alone, not with every event.
    if (!this.#crammed) this.#makeRoom();
    return accepted;
  }

  read(afterSeq: number, count: number): readonly AgentEvent[] {
    const { epoch, seq } = this.sending;
    const own = epoch === this.#epoch;
    const upTo = own ? this.#readable.upTo : Infinity;
    let failure: unknown = null;
    const readable = this.#readableAfter({ epoch, seq: Math.max(afterSeq, seq) }, (error) => (failure = error));
    const run = nextRun(readable, upTo, count);
    this.#handedOut = Math.max(this.#handedOut, run.at(-1)?.seq ?? 0);
    if (run.length === 0 && afterSeq <= seq) {
      if (failure !== null) this.#handedOut = 0;
      if (failure !== null && own) this.#parting.soon(failure);
      else if (failure !== null) this.#holdBack(failure);
      // It has less than it seemed to have: what was damaged since is not waited for.
      else if (!own) this.acknowledge({ epoch, seq: Infinity });
    }
    return run;
  }

  acknowledge({ epoch, seq }: OutboxPosition): void {
    if (epoch === this.#epoch && seq > this.#lastSeq) return this.#disown(seq);
    const known = epoch !== this.#disowned && this.#numbers().some((numbers) => numbers.epoch === epoch);
    if (!known || !this.#progress.advance({ epoch, seq })) return;
    if (epoch === this.#epoch) this.#waiting.remove(seq);
    this.#removeAcknowledged();
    this.#acknowledgedFile.writeSoon();
  }

  backlog(): EventBacklog {
    const [oldest] = this.#readableAfter(this.sending);
    return {
      bytes: this.#files.bytes,
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
    this.#flush();
    this.#closed = true;
    this.#acknowledgedFile.write();
    this.#files.close();
    this.#readable.close();
    // Last: who hears of the last ones that are durable may read once more.
    this.#retry.stop();
    this.#parting.forget();
  }

  /** Of all epochs; the newest comes last. */
  #numbers(): readonly Numbers[] {
    const onDisk = this.#files.epochs();
    const found = onDisk.find(({ epoch }) => epoch === this.#epoch);
    const own = { firstSeq: 1, earlierVersion: false, ...found, epoch: this.#epoch, lastSeq: this.#lastSeq };
    return [...onDisk.filter(({ epoch }) => epoch !== this.#epoch), own];
  }

  #missing(numbers: Numbers): number {
    return numbers.epoch === this.#disowned ? 0 : this.#progress.missing(numbers);
  }

  #missingIn(epoch: string): number {
    return this.#numbers().reduce((sum, numbers) => (numbers.epoch === epoch ? sum + this.#missing(numbers) : sum), 0);
  }

  /** The oldest epoch of those of which something is not acknowledged, else the newest. */
  #firstMissing(of: (epoch: string) => boolean): string {
    return this.#numbers().find((numbers) => of(numbers.epoch) && this.#missing(numbers) > 0)?.epoch ?? this.#epoch;
  }

  /** What is in the newest epoch cannot be read: it becomes an earlier one, so that what happens now does not wait for it. */
  #part(error: unknown): void {
    // Another is sent, or it was handed out since: then it could be read.
    if (this.#sending !== this.#epoch || this.#handedOut > this.#progress.of(this.#epoch).seq) return;
    this.#begin();
    this.#moveIn();
    this.#holdBack(error);
  }

  /** Nothing of it is under way. A dying disk takes seconds for each file: with this one wait all others before the newest. */
  #holdBack(error: unknown): void {
    for (const { epoch } of this.#numbers()) if (epoch !== this.#epoch) this.#heldBack.add(epoch);
    this.#handedOut = 0;
    this.#retry.refused(error);
    this.#retry.later();
  }

  *#after(position: OutboxPosition): Generator<AgentEvent> {
    yield* this.#files.after(position);
    if (position.epoch === this.#epoch) for (const event of this.#waiting.events) if (event.seq > position.seq) yield event;
  }

  /** As far as the disk lets itself be read, and nothing from behind that. Later it is tried again: no event is lost, and nobody ends. */
  #readableAfter(position: OutboxPosition, onFailure?: (error: unknown) => void): Iterable<AgentEvent> {
    return this.#reading.asFarAsItGoes(this.#after(position), onFailure);
  }

  #accept(event: NewAgentEvent): AgentEvent {
    const numbered = sanitise(event, this.#lastSeq + 1, this.#options.clock.now());
    if (this.#closed) this.#losses.refused();
    else if (this.#files.open && !this.#write(numbered)) {
      this.#begin();
      return this.#keepInMemory({ ...numbered, seq: 1 });
    } else if (!this.#files.open) return this.#keepInMemory(numbered);
    this.#lastSeq = numbered.seq;
    return numbered;
  }

  #write(event: AgentEvent): boolean {
    try {
      this.#retry.refused(null);
      return this.#files.write(event);
    } catch (error) {
      this.#retry.refused(error);
      if (!this.#troubled) this.#say(error, 'an event could not be written');
      return false;
    }
  }

  /** What is appended is of a new epoch, which is in memory. */
  #begin(): void {
    this.#parting.forget();
    this.#epoch = this.#options.newEpoch();
    this.#lastSeq = 0;
    this.#readable.reset(0);
    // Last: whoever hears that what is left is durable reads what is so by then.
    this.#files.leave();
  }

  #keepInMemory(event: AgentEvent): AgentEvent {
    this.#lastSeq = event.seq;
    this.#losses.add(this.#waiting.add(event, this.#sending === this.#epoch ? this.#handedOut : 0));
    this.#troubled = true;
    this.#retry.later();
    this.#readable.advance(event.seq);
    return event;
  }

  /** Whatever a disk has refused that did not take everything. */
  #flush(): void {
    const waited = this.#heldBack.some;
    const damaged = this.#look();
    if (!this.#files.open) this.#moveIn();
    if (damaged > 0) this.#tellLost('damaged', 'they were damaged on its disk');
    const error = this.#heldBack.tryAgain((epoch) => this.#files.after(this.#progress.of(epoch)).next());
    if (error !== null) this.#retry.refused(error);
    if (this.#crammed) this.#makeRoom();
    if (this.#crammed || this.#heldBack.some || !this.#files.complete || !this.#files.open) this.#retry.later();
    else this.#retry.succeeded();
    if (this.#files.complete && this.#files.open) this.#tellTaken();
    if (waited) this.#readable.notify();
  }

  #tellTaken(): void {
    if (this.#troubled) this.#options.logger.warn({ lost: this.#losses.untold }, 'event outbox: the disk takes events again');
    this.#troubled = false;
    this.#tellLost('disk-full', 'its disk was full');
  }

  /** Into what earlier lives have left. Returns how many events in it are damaged. */
  #look(): number {
    if (this.#files.complete) return 0;
    let damaged = 0;
    try {
      this.#files.look((events) => (damaged += events));
      this.#looking.succeeded();
    } catch (error) {
      this.#looking.failed(error, 'new ones are kept, and sent, meanwhile');
      this.#retry.refused(error);
    }
    this.#losses.add({ dropped: damaged, anew: damaged });
    this.#progress.recall(this.#before, this.#numbers());
    this.#removeAcknowledged();
    this.#readable.notify();
    return damaged;
  }

  /** Writes the first file of the newest epoch, with all that is in memory. */
  #moveIn(): void {
    try {
      const disowned = this.#disowned === null ? [] : [...this.#files.after(this.#progress.of(this.#disowned))];
      const anew = disowned.map((event, index) => ({ ...event, seq: this.#lastSeq + 1 + index }));
      const events = [...this.#waiting.events, ...anew];
      this.#files.begin(this.#epoch, events[0]?.seq ?? this.#lastSeq + 1, events);
      this.#lastSeq += anew.length;
    } catch (error) {
      if (!this.#troubled && !this.#looking.failing) this.#say(error, 'no file can be begun');
      this.#troubled = true;
      return this.#retry.refused(error);
    }
    this.#waiting.remove(this.#lastSeq);
    if (this.#disowned !== null) this.#attempt(() => this.#files.forget(this.#disowned ?? ''), 'a file could not be removed');
    this.#disowned = null;
    this.#acknowledgedFile.writeSoon();
    this.#readable.advance(this.#lastSeq);
  }

  /**
   * This process goes on from an earlier moment of its own, as a machine does that was saved with its memory: others got the numbers that it
   * is about to give. Whether the collector has what is left here nobody can tell.
   */
  #disown(seq: number): void {
    const { logger } = this.#options;
    logger.warn(`event outbox: the collector has event ${seq} of this epoch, which ends at ${this.#lastSeq}; a new epoch begins`);
    if (this.#files.open) this.#disowned = this.#epoch;
    this.#begin();
    const waiting = this.#waiting.events;
    this.#waiting.remove(Infinity);
    for (const [index, event] of waiting.entries()) this.#keepInMemory({ ...event, seq: index + 1 });
    this.#flush();
    this.#readable.notify();
  }

  #removeAcknowledged(): void {
    this.#attempt(() => this.#files.remove((epoch) => this.#progress.of(epoch).seq), 'an acknowledged file could not be removed');
  }

  #makeRoom(): void {
    const { bytesMax, logger } = this.#options;
    const told = this.#crammed;
    this.#crammed = false;
    if (this.#files.bytes <= bytesMax) return;
    this.#files.release();
    this.#removeAcknowledged();
    if (this.#files.bytes <= bytesMax) return;
    const shed = this.#files.shed({ epoch: this.#sending, seq: this.#handedOut }, bytesMax);
    this.#crammed = this.#files.bytes > bytesMax;
    this.#losses.add(shed);
    if (shed.dropped > 0) {
      logger.warn({ dropped: shed.dropped }, 'event outbox: full; the oldest events were dropped');
      this.#tellLost('outbox-full', 'its event queue was full');
    }
    if (!this.#crammed) return;
    if (!told) this.#say(shed.refusal, 'full, and no space could be made');
    this.#retry.refused(shed.refusal);
    this.#retry.later();
  }

  #attempt(act: () => void, otherwise: string): void {
    try {
      act();
    } catch (error) {
      this.#say(error, otherwise);
    }
  }

  #say(error: unknown, what: string): void {
    this.#options.logger.error({ error: errorMessage(error) }, `event outbox: ${what}`);
  }

  #tellLost(reason: string, why: string): void {
    const gap = this.#losses.take(reason, why, this.#options.clock.now());
    if (gap !== null) this.#accept(gap);
  }
}
