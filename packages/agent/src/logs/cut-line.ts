import { lineBytesMax, type RawLine, type RawText } from '@relight/shared/log-block';

/** A line cut out of a segment, and where the segment may be cut behind it. */
export interface CutLine extends RawLine {
  /** Offset behind the line and its newline. Null: lines are interwoven here, and a block must not end behind this one. */
  readonly end: number | null;
  /** It may go on behind its end, which only redaction has to know: a secret may be cut in two there. */
  readonly cutOff?: boolean;
  /** The same before its beginning. */
  readonly continued?: boolean;
  readonly lines?: never;
}

/** Whole lines just as they stand in the segment, which may be cut behind each of them. */
export type CutText = RawText;

export type Cut = CutLine | CutText;

/** When the bytes before `offset` had been written. What ends at `upTo` or before has the same time. */
export type TimeOf = (offset: number) => { readonly at: number; readonly approx: boolean; readonly upTo: number };

/** Turns the bytes of one segment, given in order, into lines. */
export interface Cutter {
  /** Offset of the next byte that is expected. */
  readonly position: number;
  /** The beginning of a line is held back. */
  readonly holding: boolean;
  /** What is returned may be a view of `chunk`. `torn`: it begins in the middle of a line. */
  push(chunk: Buffer, timeOf: TimeOf, torn?: boolean): readonly Cut[];
  /** What is held back, as lines: the writer is gone, or, when it is `torn`, what comes behind it. */
  finish(timeOf: TimeOf, torn?: boolean): readonly Cut[];
  /** What is held back is a progress bar: its last state is worth being told before its end. Absent: never. */
  readonly drawing?: boolean;
}

export const newline = 10;
export const carriageReturn = 13;

interface TakenLine {
  readonly bytes: Buffer;
  readonly truncated: boolean;
  readonly collapsed?: number;
}

/**
 * Collects a line that comes in pieces: its first `lineBytesMax` bytes, the rest is counted. Where a carriage return follows
 * on something, what comes behind it takes its place, as on a terminal: of a progress bar the last state is left.
 */
export class LineParts {
  #parts: Buffer[] = [];
  #kept = 0;
  /** Bytes of the present state. */
  #state = 0;
  #total = 0;
  #returned = false;
  #states = 0;

  /** Bytes of the whole line so far. */
  get total(): number {
    return this.#total;
  }

  /** At least one state has been replaced, or will be by the next byte. */
  get drawing(): boolean {
    return this.#states > 0 || (this.#returned && this.#state > 0);
  }

  add(part: Buffer): void {
    this.#total += part.length;
    let from = 0;
    for (;;) {
      const end = part.indexOf(carriageReturn, from);
      this.#addPlain(end < 0 ? part.subarray(from) : part.subarray(from, end));
      if (end < 0) return;
      this.#returned = true;
      from = end + 1;
    }
  }

  take(): TakenLine {
    const bytes = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
    const taken = { bytes, truncated: this.#state > this.#kept, ...(this.#states > 0 ? { collapsed: this.#states } : {}) };
    this.#total = 0;
    this.#states = 0;
    this.#returned = false;
    this.#clear();
    return taken;
  }

  #addPlain(part: Buffer): void {
    if (part.length === 0) return;
    if (this.#returned && this.#state > 0) {
      this.#states += 1;
      this.#clear();
    }
    this.#returned = false;
    this.#state += part.length;
    const room = lineBytesMax - this.#kept;
    if (room <= 0) return;
    // A copy: a view would keep the whole chunk alive for as long as the line is open.
    const kept = Buffer.from(part.subarray(0, room));
    this.#parts.push(kept);
    this.#kept += kept.length;
  }

  #clear(): void {
    this.#parts = [];
    this.#kept = 0;
    this.#state = 0;
  }
}

/** Runs over every byte that is sent: a loop of its own, that the agent has compiled for speed (v8-flags.ts). */
export function hotCountNewlines(bytes: Uint8Array): number {
  let count = 0;
  for (let position = 0; position < bytes.length; position += 1) if (bytes[position] === newline) count += 1;
  return count;
}
