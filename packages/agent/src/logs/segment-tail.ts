/**
 * One segment on its way: reads behind the committed offset, cuts lines, and makes frames whose ranges follow one another
 * without a hole. Everything that is not yet acknowledged can be cut again at any time, because the file is the outbox.
 */
import { blockRawBytesMax, packBlock } from '@relight/shared/log-block';
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import type { CutLine, Cutter, TimeOf } from './cut-line.ts';
import { FollowedFile } from './followed-file.ts';
import { JsonFileCutter } from './json-file-cutter.ts';
import type { LogFrame } from './log-lane.ts';
import type { SegmentFile } from './log-shipper.ts';
import type { Position } from './positions.ts';
import { RateLimiter, type RateLimit } from './rate-limiter.ts';
import { RawCutter } from './raw-cutter.ts';
import { TimeMarks } from './time-marks.ts';

interface Missing {
  readonly from: number;
  readonly to: number;
  readonly lines?: number;
  /** Absent: nobody knows how many. */
  readonly bytes?: number;
  readonly reason: 'rotated' | 'rate-limit' | 'outbox-full' | 'freed';
}

type Unit = { readonly line: CutLine; readonly missing?: never } | { readonly missing: Missing; readonly line?: never };

const chunkBytes = 64 * 1024;
/** In one go, so that a sparse file of many gigabytes does not hold up everything else. */
const chunksMax = 16;
/** A run of NUL bytes of at least a file-system block is space that was freed (or never reached the disk), not output. */
const zeroBytesMin = 4_096;

/** Takes out what must not leave the host; returns the same bytes when there is nothing. Offsets stay those of the file. */
export type Redact = (bytes: Uint8Array) => Uint8Array;

export class SegmentTail {
  readonly key: SegmentKey;
  readonly id: string;
  readonly source: SegmentFile;
  readonly file: FollowedFile;
  readonly #marks = new TimeMarks();
  readonly #rateLimit: RateLimit | null;
  readonly #redact: Redact;
  #limiter: RateLimiter;
  #cutter: Cutter;
  #units: Unit[] = [];
  #unitBytes = 0;
  /** Everything before it is in frames already. */
  #framed: number;
  /** End of the last unit. */
  #cut: number;
  /** Where reading came to the end of the file with nothing to frame. */
  #exhausted = -1;
  committed: number;
  givenUp: number;
  finished = false;
  /** Monotonic time since when something waits to be framed; null: nothing does. */
  waitingSince: number | null = null;
  #looked = false;

  constructor(source: SegmentFile, position: Position | undefined, rateLimit: RateLimit | null, redact: Redact) {
    this.#redact = redact;
    this.source = source;
    this.key = source.key;
    this.id = segmentId(source.key);
    this.file = new FollowedFile(source.path, source.format === 'json-file', position?.pieces ?? []);
    this.committed = position?.committed ?? 0;
    this.givenUp = position?.givenUp ?? 0;
    this.#rateLimit = rateLimit;
    this.#limiter = new RateLimiter(rateLimit);
    this.#framed = this.committed;
    this.#cut = this.committed;
    this.#cutter = this.#newCutter(this.committed);
  }

  /** Looks at the file. True: it has grown. */
  refresh(now: number, monotonic: number): boolean {
    const first = !this.#looked;
    const before = this.file.end;
    this.file.refresh(this.committed);
    this.#looked = true;
    const { end } = this.file;
    if (end <= before) return false;
    if (first) this.#marks.note({ upTo: end, at: Math.min(now, Math.round(this.file.mtimeMs)), approx: true });
    else this.#marks.note({ upTo: end, at: now, approx: false });
    this.waitingSince ??= monotonic;
    return true;
  }

  position(): Position {
    return { committed: this.committed, givenUp: this.givenUp, pieces: this.file.saved() };
  }

  /** Bytes that are written, wanted and not yet committed. */
  get lagBytes(): number {
    return Math.max(0, this.file.end - Math.max(this.committed, this.givenUp));
  }

  /** After an error: not before `monotonic`. */
  postpone(monotonic: number): void {
    this.waitingSince = monotonic;
  }

  /** Everything has arrived, and nothing will follow. */
  get done(): boolean {
    return this.finished && this.committed >= this.file.end;
  }

  /** Everything from `offset` on is cut anew, and due at once. */
  rewind(offset: number): void {
    this.committed = offset;
    this.file.settle(offset);
    this.#restart(offset);
    if (this.file.end > offset) this.waitingSince = -Infinity;
  }

  acknowledge(offset: number): void {
    if (offset <= this.committed) return;
    this.committed = offset;
    if (offset > this.#framed) this.#restart(offset);
    this.#marks.forget(offset);
    this.file.release(offset);
  }

  isDue(monotonic: number, ageMs: number): boolean {
    const { end } = this.file;
    if (this.#units.length === 0 && end <= this.#exhausted) return false;
    if (this.finished && end > this.#framed) return true;
    if (end - this.#framed >= blockRawBytesMax) return true;
    return this.waitingSince !== null && monotonic - this.waitingSince >= ageMs;
  }

  /** The next frame, or null when there is no whole line. `now` is the time of lines and gaps that have no better one. */
  frame(now: number): LogFrame | null {
    const { position: before } = this.#cutter;
    this.#fill(now);
    const [first] = this.#units;
    if (first === undefined) {
      // A line longer than what is read in one go: the rest of it is there already, and nothing else may ever wake us.
      const { position } = this.#cutter;
      const more = position > before && position < this.file.end;
      this.#exhausted = more ? -1 : this.file.end;
      this.waitingSince = more ? -Infinity : null;
      return null;
    }
    const frame = first.missing === undefined ? this.#block() : this.#gap(first.missing, now);
    if (this.#units.length === 0 && this.#framed >= this.file.end) this.waitingSince = null;
    return frame;
  }

  /** Nobody writes any more: the rest is due, also a line without an end. */
  finish(): void {
    this.finished = true;
    this.#exhausted = -1;
  }

  /** The bytes before `offset` are wanted no more. */
  giveUp(offset: number): void {
    this.givenUp = Math.max(this.givenUp, offset);
    this.file.release(this.givenUp);
  }

  #newCutter(offset: number): Cutter {
    return this.source.format === 'json-file' ? new JsonFileCutter(offset) : new RawCutter(offset);
  }

  #restart(offset: number): void {
    this.#framed = offset;
    this.#startCutting(offset);
    this.#units = [];
    this.#unitBytes = 0;
    this.#limiter = new RateLimiter(this.#rateLimit);
    this.#exhausted = -1;
  }

  #startCutting(offset: number): void {
    this.#cut = offset;
    this.#cutter = this.#newCutter(offset);
  }

  #fill(now: number): void {
    const timeOf: TimeOf = (offset) => this.#marks.of(offset, now);
    for (let chunks = 0; chunks < chunksMax && this.#unitBytes < blockRawBytesMax; chunks += 1) {
      if (this.#skipMissing(timeOf)) continue;
      const { position } = this.#cutter;
      const chunk = this.file.read(position, chunkBytes);
      if (chunk.length === 0) {
        if (this.finished && position >= this.file.end) this.#addLines(this.#cutter.finish(timeOf));
        return;
      }
      const zeros = this.#cutter.holding ? 0 : leadingZeros(chunk);
      if (zeros >= zeroBytesMin || (zeros > 0 && this.#units.at(-1)?.missing?.reason === 'freed')) {
        this.#addMissing({ from: position, to: position + zeros, bytes: zeros, reason: 'freed' });
        this.#startCutting(position + zeros);
      } else {
        this.#addLines(this.#cutter.push(chunk, timeOf));
      }
    }
  }

  /** Steps over what cannot be read any more. True: something was stepped over. */
  #skipMissing(timeOf: TimeOf): boolean {
    const { position } = this.#cutter;
    if (position < this.givenUp) {
      const to = this.#lineStart(this.givenUp);
      this.#addMissing({ from: this.#cut, to, bytes: to - this.#cut, reason: 'outbox-full' });
      this.#startCutting(to);
      return true;
    }
    const hole = this.file.holeAt(position);
    if (hole === null) return false;
    // A piece ends in the middle of a line only when its writer was killed: that line ends here.
    this.#addLines(this.#cutter.finish(timeOf));
    this.#addMissing({ from: position, to: hole.to, reason: 'rotated', ...(hole.measured ? { bytes: hole.to - position } : {}) });
    this.#startCutting(hole.to);
    return true;
  }

  /** Behind the first newline at or after `offset`, where one is near. */
  #lineStart(offset: number): number {
    const newline = this.file.read(offset, chunkBytes).indexOf(10);
    return newline < 0 ? offset : offset + newline + 1;
  }

  #addLines(lines: readonly CutLine[]): void {
    for (const line of lines) {
      const end = line.end ?? this.#cut;
      // Interwoven lines are admitted together: a block cannot end between them.
      const interwoven = line.end === null || this.#units.at(-1)?.line?.end === null;
      if (this.#limiter.admit(line.at, line.approx) || interwoven) {
        const bytes = this.#redact(line.bytes);
        this.#units.push({ line: bytes === line.bytes ? line : { ...line, bytes } });
        this.#unitBytes += bytes.length + 1;
      } else {
        this.#addMissing({ from: this.#cut, to: end, lines: 1, bytes: end - this.#cut, reason: 'rate-limit' });
      }
      this.#cut = end;
    }
  }

  #addMissing(missing: Missing): void {
    const last = this.#units.at(-1)?.missing;
    this.#cut = missing.to;
    if (missing.to <= missing.from) return;
    if (last === undefined || last.reason !== missing.reason || last.to !== missing.from) {
      this.#units.push({ missing });
      return;
    }
    const lines = last.lines === undefined || missing.lines === undefined ? {} : { lines: last.lines + missing.lines };
    const bytes = last.bytes === undefined || missing.bytes === undefined ? {} : { bytes: last.bytes + missing.bytes };
    this.#units[this.#units.length - 1] = { missing: { from: last.from, to: missing.to, reason: missing.reason, ...lines, ...bytes } };
  }

  #gap(missing: Missing, now: number): LogFrame {
    this.#units.shift();
    this.#framed = missing.to;
    return { kind: 'gap', gap: { type: 'gap', segment: this.key, at: now, ...missing } };
  }

  #block(): LogFrame {
    let count = 0;
    let bytes = 0;
    let to = this.#framed;
    for (const [index, { line }] of this.#units.entries()) {
      if (line === undefined || (count > 0 && bytes + line.bytes.length + 1 > blockRawBytesMax)) break;
      bytes += line.bytes.length + 1;
      if (line.end === null) continue;
      count = index + 1;
      to = line.end;
    }
    const lines = this.#units.splice(0, count).flatMap(({ line }) => line ?? []);
    for (const line of lines) this.#unitBytes -= line.bytes.length + 1;
    const block = packBlock(this.key, this.#framed, to, lines);
    this.#framed = to;
    return { kind: 'block', block };
  }
}

function leadingZeros(chunk: Buffer): number {
  if (chunk[0] !== 0) return 0;
  const first = chunk.findIndex((byte) => byte !== 0);
  return first < 0 ? chunk.length : first;
}
