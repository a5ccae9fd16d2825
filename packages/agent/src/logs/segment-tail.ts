/**
 * One segment on its way: reads behind the committed offset, cuts lines, and queues them for frames. Everything that is not
 * yet acknowledged can be cut again at any time, because the file is the outbox.
 */
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import type { Cutter, TimeOf } from './cut-line.ts';
import { FollowedFile } from './followed-file.ts';
import { FrameQueue, type Missing, type Redact } from './frame-queue.ts';
import { JsonFileCutter } from './json-file-cutter.ts';
import type { LogFrame } from './log-lane.ts';
import type { SegmentFile } from './log-shipper.ts';
import type { Patience } from './patience.ts';
import { asOwed, type Position } from './positions.ts';
import type { RateLimit } from './rate-limiter.ts';
import { RawCutter } from './raw-cutter.ts';
import { TimeMarks } from './time-marks.ts';
import { leadingZeros, zeroBytesMin } from './zeros.ts';

export type { Redact } from './frame-queue.ts';

const chunkBytes = 64 * 1024;
/** In one go, so that a sparse file of many gigabytes does not hold up everything else. */
const chunksMax = 16;
/** The same, where lines are only counted, or nothing is there. */
const refusedChunksMax = 256;
/** In one window of the rate limit so much is counted line by line; what is more, and was written in one go, only by its bytes. */
const countedBytesMax = 16 * 1024 * 1024;
/** Longer after the last write than looks ever are apart while something is written. */
const lateLookMs = 250;
/** The kernel dates files by the last tick of its clock (CONFIG_HZ is 100 at least). */
const kernelTickMs = 10;

export class SegmentTail {
  readonly key: SegmentKey;
  readonly id: string;
  source: SegmentFile;
  readonly file: FollowedFile;
  readonly #marks = new TimeMarks();
  readonly #queue: FrameQueue;
  #cutter: Cutter;
  /** Where the cutter began. */
  #cutFrom = 0;
  /** Where reading came to the end of the file with nothing to frame. */
  #exhausted = -1;
  committed: number;
  givenUp: number;
  /** Of a file of our own: what lies before it was given back to the disk. */
  freed: number;
  finished = false;
  /** Monotonic time since when something waits to be framed; null: nothing does. */
  waitingSince: number | null = null;
  /** Monotonic time of the last frame. */
  #framedAt = -Infinity;
  /** Monotonic time since when a progress bar is held back that was not told of. */
  #drawingSince: number | null = null;
  #looked = false;
  /** Wall clock. */
  #lookedAt = 0;
  /** Where reading was begun anew. */
  #begun = 0;
  /** What was read last was space that was freed, and it goes on. */
  #inHole = false;
  #savedIncarnations = 0;
  #savedMissing = 0;
  /** Up to here it could not be read. */
  #lostTo: number;
  /** Let go of: not to be read again, also when the agent is started again before the collector has heard of it. */
  #letGo: boolean;

  /** `unpackInto`: see FollowedFile. */
  constructor(
    source: SegmentFile,
    position: Position | undefined,
    rateLimit: RateLimit | null,
    redact: Redact,
    unpackInto: string | null = null,
  ) {
    this.source = source;
    this.key = source.key;
    this.id = segmentId(source.key);
    this.file = new FollowedFile(source, position?.pieces ?? [], unpackInto);
    this.committed = position?.committed ?? 0;
    this.givenUp = position?.givenUp ?? 0;
    this.freed = position?.freed ?? 0;
    this.#lostTo = position?.lostTo ?? 0;
    this.#letGo = (position?.owed ?? null) !== null;
    this.#queue = new FrameQueue(source.key, rateLimit, redact);
    for (const mark of source.marks ?? []) this.#marks.note(mark);
    this.#cutter = this.#newCutter(this.committed);
    this.#restart(this.committed);
  }

  /** Looks at the file. True: it has grown. */
  refresh(now: number, monotonic: number): boolean {
    const first = !this.#looked;
    const lookedAt = this.#lookedAt;
    const before = this.file.end;
    this.file.refresh(this.committed);
    this.#looked = true;
    this.#lookedAt = now;
    const { end } = this.file;
    if (end <= before) return false;
    if (first) this.#marks.note({ upTo: end, at: Math.min(now, Math.round(this.file.mtimeMs)), approx: true });
    else this.#marks.note({ upTo: end, at: this.#writtenAt(now, lookedAt), approx: false });
    this.waitingSince ??= monotonic;
    return true;
  }

  position(): Position {
    const { committed, givenUp, freed, file, source } = this;
    const owed = this.#letGo ? asOwed(source, file.rotates) : null;
    return { committed, givenUp, freed, lostTo: this.#lostTo, owed, pieces: file.saved() };
  }

  /** Of one that is over, and of which nothing was ever sent or given up: all that is known of it. Null: there is more. */
  unsent(): SegmentFile | null {
    const untouched = this.committed + this.givenUp + this.freed + this.#lostTo === 0 && this.#framedAt === -Infinity;
    return this.finished && !this.#letGo && untouched ? { ...this.source, marks: this.#marks.all } : null;
  }

  /** Since the last call: something that a restart of the agent should know. */
  piecesChanged(): boolean {
    const [incarnations, missing] = [this.file.incarnations, this.givenUp + this.#lostTo];
    const changed = incarnations !== this.#savedIncarnations || missing !== this.#savedMissing;
    [this.#savedIncarnations, this.#savedMissing] = [incarnations, missing];
    return changed;
  }

  /** Bytes that are written, wanted and not yet committed. */
  get lagBytes(): number {
    return Math.max(0, this.file.end - Math.max(this.committed, this.givenUp));
  }

  /**
   * When the oldest was written of what could be sent and is not acknowledged; null: there is nothing. The beginning of a line, and the
   * state of a progress bar, are awaited, they do not wait.
   */
  oldestWaitingAt(now: number): number | null {
    const from = Math.max(this.committed, this.givenUp);
    if (this.file.end <= from || (this.waitingSince === null && this.#queue.framed <= from)) return null;
    return this.#marks.of(from + 1, now).at;
  }

  /** After an error: not before `monotonic`. */
  postpone(monotonic: number): void {
    this.waitingSince = monotonic;
  }

  /** Everything has arrived, and nothing will follow. */
  get done(): boolean {
    return this.finished && !this.file.pending && this.committed >= this.#end;
  }

  /** Everything from `offset` on is cut anew, and due at once. */
  rewind(offset: number): void {
    this.committed = offset;
    this.#restart(offset);
    // It may fail, and is made up for by the next look; what was cut before is forgotten in any case.
    this.file.settle(offset);
    if (this.file.end > offset) this.waitingSince = -Infinity;
  }

  acknowledge(offset: number): void {
    if (offset <= this.committed) return;
    this.committed = offset;
    // More than it was sent: it has the segment from an earlier time.
    const more = offset > this.#queue.framed;
    if (more) this.#restart(offset);
    this.#marks.forget(offset);
    this.file.settle(more ? offset : 0);
    this.file.release(offset);
  }

  isDue(monotonic: number, patience: Patience): boolean {
    const end = this.#end;
    if (this.#drawingSince !== null && monotonic - this.#drawingSince >= patience.drawingMs) return true;
    if (this.#queue.empty && end <= this.#exhausted) return false;
    if (this.finished && end > this.#queue.framed) return true;
    if (end - this.#queue.framed >= this.#queue.rawBytesMax) return true;
    return monotonic >= this.#linesDueAt(patience);
  }

  /** Monotonic time from which on something is due that waits now; null: nothing waits. */
  dueAt(patience: Patience): number | null {
    const at = Math.min(this.#linesDueAt(patience), (this.#drawingSince ?? Infinity) + patience.drawingMs);
    return at === Infinity ? null : at;
  }

  /** The next frame, or null when there is no whole line. `now` is the time of lines and gaps that have no better one. */
  frame(now: number, monotonic: number, patience: Patience): LogFrame | null {
    const { position: before } = this.#cutter;
    const timeOf: TimeOf = (offset) => this.#marks.of(offset, now);
    this.#fill(timeOf);
    this.#draw(timeOf, monotonic, patience);
    const frame = this.#inHole && this.#queue.isOneGap ? null : this.#queue.next(now);
    if (frame !== null) this.#framedAt = monotonic;
    if (frame === null) {
      // A line or a hole longer than what is read in one go: the rest of it is there already, and nothing else may ever wake us.
      const { position } = this.#cutter;
      const more = position > before && position < this.file.end;
      this.#exhausted = more ? -1 : this.file.end;
      this.waitingSince = more ? -Infinity : null;
    } else if (this.#queue.empty && this.#queue.framed >= this.file.end) this.waitingSince = null;
    return frame;
  }

  /** Nobody writes any more: the rest is due, also a line without an end. */
  finish(): void {
    this.finished = true;
    this.#exhausted = -1;
    if (this.#letGo) this.file.letGo(Math.max(this.givenUp, this.#lostTo));
  }

  /** Only what is missing is still to be told. */
  get isLetGo(): boolean {
    return this.#letGo && this.finished;
  }

  /** Somebody writes again. */
  goOn(source: SegmentFile): void {
    this.source = source;
    this.finished = false;
    this.#letGo = false;
    this.file.takeUp(source);
  }

  /** The bytes before `offset` are wanted no more. */
  giveUp(offset: number): void {
    this.givenUp = Math.max(this.givenUp, offset);
    this.file.release(this.givenUp);
  }

  /** Of one that is finished: what was not sent is given up, and the file is let go of. */
  letGo(): void {
    const { end } = this.file;
    this.#letGo = true;
    this.file.letGo();
    this.giveUp(end);
    this.#exhausted = -1;
    if (this.committed < end) this.waitingSince = -Infinity;
  }

  /** Of one that is finished: what lies behind what was sent could not be read, and nobody knows how much it is. */
  loseRest(): void {
    this.#lostTo = Math.max(this.file.end, this.#queue.cut) + 1;
    this.#letGo = true;
    this.file.letGo(this.#lostTo);
    this.#exhausted = -1;
    this.waitingSince = -Infinity;
  }

  /** The file is emptied, and what of it was not sent is given up. */
  empty(): void {
    this.file.refresh(this.committed);
    const { end } = this.file;
    this.file.empty(!this.finished);
    this.giveUp(Math.max(end, this.file.begin - 1));
    this.#exhausted = -1;
    if (this.committed < end) this.waitingSince = -Infinity;
  }

  /** A look that a slow disk or a busy host has put off must not date what it finds: the file says when it was last written to. */
  #writtenAt(now: number, lookedAt: number): number {
    const written = Math.ceil(this.file.mtimeMs) + kernelTickMs;
    // Not before the look that did not find it, whatever somebody has made of the file's time.
    return now - written < lateLookMs ? now : Math.min(now, Math.max(written, lookedAt));
  }

  /** Also of what is gone, and was not told of. */
  get #end(): number {
    return Math.max(this.file.end, this.givenUp, this.#lostTo);
  }

  #linesDueAt({ lineMs, firstLineMs }: Patience): number {
    if (this.waitingSince === null) return Infinity;
    return Math.min(this.waitingSince + lineMs, Math.max(this.waitingSince + firstLineMs, this.#framedAt + lineMs));
  }

  #newCutter(offset: number): Cutter {
    this.#cutFrom = offset;
    return this.source.format === 'json-file' ? new JsonFileCutter(offset) : new RawCutter(offset);
  }

  #restart(offset: number): void {
    this.#begun = offset;
    this.#inHole = false;
    this.#queue.restart(offset);
    this.#cutter = this.#newCutter(offset);
    this.#drawingSince = null;
    this.#exhausted = -1;
  }

  #fill(timeOf: TimeOf): void {
    let refused = 0;
    this.#inHole = false;
    for (let chunks = 0; chunks - refused < chunksMax && refused < refusedChunksMax && !this.#queue.full; chunks += 1) {
      if (this.#skipMissing(timeOf) || this.#skipFlood(timeOf)) continue;
      const { position } = this.#cutter;
      const chunk = this.file.read(position, chunkBytes);
      if (chunk.length === 0) {
        if (position < this.file.end) {
          // Shorter than it was when it was last looked at.
          this.file.refresh(this.committed);
          continue;
        }
        if (this.finished && position >= this.file.end) this.#queue.add(this.#cutter.finish(timeOf));
        return;
      }
      const zeros = this.#cutter.holding ? 0 : leadingZeros(chunk);
      if (this.#isFreed(position, zeros)) {
        this.#queue.addMissing({ from: position, to: position + zeros, bytes: zeros, reason: 'freed' });
        this.#cutter = this.#newCutter(position + zeros);
        this.#inHole = zeros === chunk.length && position + zeros < this.file.end;
        if (this.#inHole) refused += 1;
      } else {
        this.#inHole = false;
        this.#queue.add(this.#cutter.push(chunk, timeOf, position === this.#cutFrom && !this.file.beginsLine(position)));
        if (this.#queue.lastReason === 'rate-limit') refused += 1;
      }
    }
  }

  #isFreed(position: number, zeros: number): boolean {
    if (zeros >= zeroBytesMin) return true;
    if (zeros === 0) return false;
    // The last block of a hole, where reading begins in it.
    return this.#queue.lastReason === 'freed' || (position === this.#begun && (position + zeros) % zeroBytesMin === 0);
  }

  /** A progress bar that is at it for hours is told of now and then; what comes next is drawn over a line of its own. */
  #draw(timeOf: TimeOf, monotonic: number, { drawingMs }: Patience): void {
    if (this.#cutter.drawing !== true || this.#cutter.position < this.file.end) {
      this.#drawingSince = null;
      return;
    }
    this.#drawingSince ??= monotonic;
    if (monotonic - this.#drawingSince < drawingMs) return;
    this.#queue.add(this.#cutter.finish(timeOf));
    this.#drawingSince = null;
  }

  /** Steps over what cannot be read any more. True: something was stepped over. */
  #skipMissing(timeOf: TimeOf): boolean {
    const { position } = this.#cutter;
    if (position < this.givenUp) {
      const from = this.#queue.cut;
      const to = this.#lineStart(this.givenUp);
      this.#skip({ from, to, bytes: to - from, reason: 'outbox-full' });
      return true;
    }
    // The collector has lost what it had: of that, this is here no more.
    if (position < this.freed) {
      const from = this.#queue.cut;
      const to = this.#lineStart(this.freed);
      this.#skip({ from, to, bytes: to - from, reason: 'freed' });
      return true;
    }
    if (position < this.#lostTo) {
      this.#skip({ from: this.#queue.cut, to: this.#lostTo, reason: 'unreadable' });
      return true;
    }
    const hole = this.file.holeAt(position);
    if (hole === null) return false;
    // A piece ends in the middle of a line only when its writer was killed, or its end is in the hole: that line ends here.
    this.#queue.add(this.#cutter.finish(timeOf, true));
    this.#skip({ from: this.#queue.cut, to: hole.to, reason: 'rotated', ...(hole.measured ? { bytes: hole.to - this.#queue.cut } : {}) });
    return true;
  }

  /** Steps over what is far over the rate limit: reading it only to count lines would be what the limit is to prevent. */
  #skipFlood(timeOf: TimeOf): boolean {
    // Lines of the engine's log bring their own times, which only reading them tells.
    if (this.source.format !== 'raw') return false;
    const { position } = this.#cutter;
    const { at, approx, upTo } = timeOf(position + 1);
    const { limiter } = this.#queue;
    const end = Math.min(upTo, this.file.end);
    if (end - position <= 2 * chunkBytes || limiter.room(at, approx) > 0 || limiter.refusedBytes < countedBytesMax) return false;
    const tail = this.file.read(end - chunkBytes, chunkBytes);
    const to = end - chunkBytes + tail.lastIndexOf(10) + 1;
    const from = this.#queue.cut;
    if (tail.length < chunkBytes || to <= position) return false;
    limiter.refused(to - from);
    this.#skip({ from, to, bytes: to - from, reason: 'rate-limit' });
    return true;
  }

  #skip(missing: Missing): void {
    this.#queue.addMissing(missing);
    this.#cutter = this.#newCutter(missing.to);
  }

  /** Where the first line begins at or after `offset`, where one is near. */
  #lineStart(offset: number): number {
    const newline = this.file.read(offset - 1, chunkBytes).indexOf(10);
    return newline < 0 ? offset : offset + newline;
  }
}
