/**
 * Lines of the engine's json-file log: one JSON object `{log, stream, time}` per entry. The engine splits lines at 16 KiB;
 * an entry whose `log` has no newline is continued by the next one of the same stream, and the other stream may come
 * between. Offsets are those of the file, so a joined line begins where its first entry begins.
 */
import { lineBytesMax } from '@relight/shared/log-block';
import type { OutputStream } from '@relight/shared/log-stream';
import { LineParts, type CutLine, type Cutter, type TimeOf } from './cut-line.ts';

interface Entry {
  readonly text: string;
  readonly stream: OutputStream;
  readonly at: number;
}

interface OpenLine {
  readonly offset: number;
  readonly at: number;
  readonly parts: LineParts;
  readonly continued: boolean;
}

/** An entry is at most 16 KiB of text, six bytes each when escaped, and its labels; longer is not an entry. */
const entryBytesMax = 1024 * 1024;
/** Lines that wait for one to end belong into one block, and its frame is smaller than this when they do not compress. */
const waitingBytesMax = 128 * 1024;

export class JsonFileCutter implements Cutter {
  #position: number;
  #entryStart: number;
  #entry: Buffer[] = [];
  /** The present entry does not begin at its beginning. */
  #torn = false;
  readonly #open = new Map<OutputStream, OpenLine>();
  /** Whole lines behind an open one of the other stream. */
  #waiting: CutLine[] = [];
  #waitingBytes = 0;
  /** Their open line was closed before its end. */
  readonly #cutOff = new Set<OutputStream>();

  constructor(position: number) {
    this.#position = position;
    this.#entryStart = position;
  }

  get position(): number {
    return this.#position;
  }

  get holding(): boolean {
    return this.#position > this.#entryStart || this.#open.size > 0;
  }

  push(chunk: Buffer, timeOf: TimeOf, torn = false): CutLine[] {
    this.#torn ||= torn;
    const lines: CutLine[] = [];
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(10, from);
      if (end < 0) break;
      this.#entry.push(chunk.subarray(from, end));
      this.#position += end + 1 - from;
      from = end + 1;
      lines.push(...this.#entryDone(timeOf));
    }
    if (from < chunk.length) {
      this.#entry.push(Buffer.from(chunk.subarray(from)));
      this.#position += chunk.length - from;
      if (this.#position - this.#entryStart > entryBytesMax) {
        lines.push(...this.#entryDone(timeOf));
        this.#torn = true;
      }
    }
    return lines;
  }

  finish(timeOf: TimeOf): CutLine[] {
    const lines = this.#position > this.#entryStart ? this.#entryDone(timeOf) : [];
    return [...lines, ...this.#release(true)];
  }

  #entryDone(timeOf: TimeOf): CutLine[] {
    const bytes = this.#entry.length === 1 ? (this.#entry[0] as Buffer) : Buffer.concat(this.#entry);
    const offset = this.#entryStart;
    this.#entry = [];
    this.#entryStart = this.#position;
    const continued = this.#torn;
    this.#torn = false;
    const entry = parseEntry(bytes);
    if (entry === null) {
      // Torn by a crash of the engine or the host. What is there is shown as it is.
      const kept = bytes.subarray(0, lineBytesMax);
      const truncated = kept.length < bytes.length;
      this.#add({ offset, end: null, bytes: kept, truncated, cutOff: true, continued, stream: 'both', ...timeOf(this.#position) });
    } else {
      this.#addEntry(offset, entry);
    }
    return this.#release(this.#waitingBytes > waitingBytesMax);
  }

  #addEntry(offset: number, entry: Entry): void {
    const whole = entry.text.endsWith('\n');
    const text = Buffer.from(whole ? entry.text.slice(0, -1) : entry.text);
    const begun = this.#open.get(entry.stream);
    const open = begun ?? { offset, at: entry.at, parts: new LineParts(), continued: this.#cutOff.delete(entry.stream) };
    open.parts.add(text);
    if (!whole) {
      this.#open.set(entry.stream, open);
      return;
    }
    this.#open.delete(entry.stream);
    const { at, continued, parts } = open;
    this.#add({ offset: open.offset, end: null, at, approx: false, stream: entry.stream, ...parts.take(), continued });
  }

  #add(line: CutLine): void {
    this.#waiting.push(line);
    this.#waitingBytes += line.bytes.length;
  }

  /** All lines, when none is open; with `force` the open ones too, marked truncated. */
  #release(force: boolean): CutLine[] {
    if (this.#open.size > 0 && !force) return [];
    for (const [stream, { offset, at, parts, continued }] of this.#open) {
      this.#add({ offset, end: null, at, approx: false, stream, bytes: parts.take().bytes, truncated: true, continued });
      this.#cutOff.add(stream);
    }
    this.#open.clear();
    const lines = this.#waiting.length > 1 ? this.#waiting.toSorted((a, b) => a.offset - b.offset) : this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    const last = lines.at(-1);
    return last === undefined ? [] : [...lines.slice(0, -1), { ...last, end: this.#entryStart }];
  }
}

function parseEntry(bytes: Buffer): Entry | null {
  try {
    const entry = JSON.parse(bytes.toString('utf8')) as { log?: unknown; stream?: unknown; time?: unknown } | null;
    const at = typeof entry?.time === 'string' ? Date.parse(entry.time) : Number.NaN;
    if (typeof entry?.log !== 'string' || Number.isNaN(at)) return null;
    const stream = entry.stream === 'stdout' || entry.stream === 'stderr' ? entry.stream : 'both';
    return { text: entry.log, stream, at };
  } catch {
    return null; // not JSON: the caller shows the bytes
  }
}
