import { lineBytesMax, type RawLine } from '@relight/shared/log-block';

/** A line cut out of a segment, and where the segment may be cut behind it. */
export interface CutLine extends RawLine {
  /** Offset behind the line and its newline. Null: lines are interwoven here, and a block must not end behind this one. */
  readonly end: number | null;
}

/** When the bytes before `offset` had been written. */
export type TimeOf = (offset: number) => { readonly at: number; readonly approx: boolean };

/** Turns the bytes of one segment, given in order, into lines. */
export interface Cutter {
  /** Offset of the next byte that is expected. */
  readonly position: number;
  /** The beginning of a line is held back. */
  readonly holding: boolean;
  push(chunk: Buffer, timeOf: TimeOf): CutLine[];
  /** What is held back, as lines: the writer is gone. */
  finish(timeOf: TimeOf): CutLine[];
}

/** Collects the first `lineBytesMax` bytes of a line that comes in pieces and counts the rest. */
export class LineParts {
  readonly #parts: Buffer[] = [];
  #kept = 0;
  #total = 0;

  get total(): number {
    return this.#total;
  }

  add(part: Buffer): void {
    this.#total += part.length;
    const room = lineBytesMax - this.#kept;
    if (room <= 0 || part.length === 0) return;
    // A copy: a view would keep the whole chunk alive for as long as the line is open.
    const kept = Buffer.from(part.subarray(0, room));
    this.#parts.push(kept);
    this.#kept += kept.length;
  }

  take(): { bytes: Buffer; truncated: boolean } {
    const bytes = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
    const truncated = this.#total > this.#kept;
    this.#parts.length = 0;
    this.#kept = 0;
    this.#total = 0;
    return { bytes, truncated };
  }
}
