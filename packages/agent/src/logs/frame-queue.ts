/**
 * What was cut out of a segment and is not in frames yet: lines, runs of lines and holes, one behind the other. Takes out what
 * must not leave the host and what is over the rate limit, and makes frames whose ranges follow one another without a hole.
 */
import { BlockBuilder, blockFrameBytesMax, blockRawBytesMax, lineBytesMax, type Block } from '@relight/shared/log-block';
import type { SegmentKey } from '@relight/shared/log-stream';
import { newline, type Cut, type CutLine, type CutText } from './cut-line.ts';
import type { LogFrame } from './log-lane.ts';
import { RateLimiter, type RateLimit } from './rate-limiter.ts';

export interface Missing {
  readonly from: number;
  readonly to: number;
  readonly lines?: number;
  /** Absent: nobody knows how many. */
  readonly bytes?: number;
  readonly reason: 'rotated' | 'rate-limit' | 'outbox-full' | 'freed' | 'unreadable';
}

/**
 * Takes out what must not leave the host; returns the same bytes when there is nothing. Is asked about many lines at once,
 * with their newlines, and about single ones only when it would change something there: what it looks for lies within a line.
 * A line may be `truncated`, or `continued`, the rest of another one: then what it looks for may be cut in two at that end.
 */
export type Redact = (bytes: Uint8Array, truncated?: boolean, continued?: boolean) => Uint8Array;

type Unit = { readonly cut: Cut; readonly missing?: never } | { readonly missing: Missing; readonly cut?: never };

/** The header around a body. */
const headBytes = 4 * 1024;

export class FrameQueue {
  readonly #key: SegmentKey;
  readonly #rateLimit: RateLimit | null;
  readonly #redact: Redact;
  #limiter: RateLimiter;
  #units: Unit[] = [];
  #bytes = 0;
  /** Everything before it is in frames already. */
  #framed = 0;
  /** End of the last unit. */
  #cut = 0;
  /** Smaller than a block's limit while what is written here hardly compresses. */
  #rawBytesMax = blockRawBytesMax;

  constructor(key: SegmentKey, rateLimit: RateLimit | null, redact: Redact) {
    this.#key = key;
    this.#rateLimit = rateLimit;
    this.#redact = redact;
    this.#limiter = new RateLimiter(rateLimit);
  }

  get framed(): number {
    return this.#framed;
  }

  get cut(): number {
    return this.#cut;
  }

  get empty(): boolean {
    return this.#units.length === 0;
  }

  /** There is nothing but a hole, which may go on. */
  get isOneGap(): boolean {
    return this.#units.length === 1 && this.#units[0]?.missing !== undefined;
  }

  /** So much text makes a block. */
  get rawBytesMax(): number {
    return this.#rawBytesMax;
  }

  /** There is enough for a block. */
  get full(): boolean {
    return this.#bytes >= this.#rawBytesMax;
  }

  get limiter(): RateLimiter {
    return this.#limiter;
  }

  get lastReason(): Missing['reason'] | null {
    return this.#units.at(-1)?.missing?.reason ?? null;
  }

  /** Nothing is cut yet, and framing begins at `offset`. */
  restart(offset: number): void {
    this.#framed = offset;
    this.#cut = offset;
    this.#units = [];
    this.#bytes = 0;
    this.#limiter = new RateLimiter(this.#rateLimit);
  }

  add(cuts: readonly Cut[]): void {
    for (const cut of cuts) {
      if (cut.lines === undefined) this.#addLine(cut);
      else this.#addText(cut);
    }
  }

  addMissing(missing: Missing): void {
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

  /** The next frame; null when there is nothing. `now` is the time of a gap. */
  next(now: number): LogFrame | null {
    const [first] = this.#units;
    if (first === undefined) return null;
    if (first.missing === undefined) return { kind: 'block', block: this.#block() };
    this.#units.shift();
    this.#framed = first.missing.to;
    return { kind: 'gap', gap: { type: 'gap', segment: this.#key, at: now, ...first.missing } };
  }

  #addLine(line: CutLine): void {
    const end = line.end ?? this.#cut;
    // Interwoven lines are admitted together: a block cannot end between them.
    const before = this.#units.at(-1)?.cut;
    const interwoven = line.end === null || (before !== undefined && before.lines === undefined && before.end === null);
    if (interwoven || this.#limiter.room(line.at, line.approx) > 0) {
      this.#limiter.admitted(1, line.approx);
      const bytes = this.#redact(line.bytes, line.truncated || line.cutOff === true, line.continued === true);
      this.#units.push({ cut: bytes === line.bytes ? line : { ...line, bytes } });
      this.#bytes += bytes.length + 1;
    } else this.#refuse(end, 1);
    this.#cut = end;
  }

  #addText(text: CutText): void {
    if (this.#redact(text.bytes) !== text.bytes) {
      for (const line of linesOf(text)) this.#addLine(line);
      return;
    }
    const room = Math.max(0, this.#limiter.room(text.at, text.approx));
    const bytes = text.lines <= room ? text.bytes : text.bytes.subarray(0, endOfLine(text.bytes, room));
    const lines = Math.min(text.lines, room);
    if (lines > 0) {
      this.#limiter.admitted(lines, text.approx);
      this.#units.push({ cut: bytes === text.bytes ? text : { ...text, bytes, lines } });
      this.#bytes += bytes.length;
      this.#cut = text.offset + bytes.length;
    }
    if (lines < text.lines) this.#refuse(text.offset + text.bytes.length, text.lines - lines);
  }

  #refuse(end: number, lines: number): void {
    const bytes = end - this.#cut;
    this.#limiter.refused(bytes);
    this.addMissing({ from: this.#cut, to: end, lines, bytes, reason: 'rate-limit' });
  }

  #block(): Block {
    for (let before = Infinity; ;) {
      const { count, to } = this.#blockEnd();
      const builder = new BlockBuilder(this.#key, this.#framed);
      for (const { cut } of this.#units.slice(0, count)) {
        if (cut?.lines === undefined) builder.addLine(cut as CutLine);
        else builder.addText(cut);
      }
      const block = builder.finish(to);
      const share = (blockFrameBytesMax - headBytes) / block.body.length;
      // What is left out waits for the next block. Interwoven lines cannot be parted; they are few enough.
      if (share < 1 && count < before && count > 1) {
        before = count;
        this.#rawBytesMax = Math.max(lineBytesMax, Math.floor(Math.min(builder.rawBytes * share * 0.9, builder.rawBytes - lineBytesMax)));
        continue;
      }
      this.#rawBytesMax = Math.min(blockRawBytesMax, Math.ceil(this.#rawBytesMax * 1.1));
      this.#units.splice(0, count);
      this.#bytes -= builder.rawBytes;
      this.#framed = to;
      return block;
    }
  }

  /** Of the units of the next block: how many, and where it ends. */
  #blockEnd(): { count: number; to: number } {
    let [count, bytes, to] = [0, 0, this.#framed];
    for (const [index, { cut }] of this.#units.entries()) {
      if (cut === undefined) break;
      bytes += cut.bytes.length + (cut.lines === undefined ? 1 : 0);
      if (count > 0 && bytes > this.#rawBytesMax) break;
      const end = cut.lines === undefined ? cut.end : cut.offset + cut.bytes.length;
      if (end === null) continue;
      count = index + 1;
      to = end;
    }
    return { count, to };
  }
}

/** Position behind the `lines`-th line. */
function endOfLine(bytes: Uint8Array, lines: number): number {
  let end = 0;
  for (let line = 0; line < lines; line += 1) end = bytes.indexOf(newline, end) + 1;
  return end;
}

function linesOf({ offset, bytes, ...common }: CutText): CutLine[] {
  const { at, approx, stream } = common;
  const lines: CutLine[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(newline, start);
    const line = { offset: offset + start, end: offset + end + 1, bytes: bytes.subarray(start, end) };
    lines.push({ ...line, at, approx, stream, truncated: false });
    start = end + 1;
  }
  return lines;
}
