/**
 * Lines of a file as a program wrote it. Bytes are kept as they are: `\r`, ANSI, NUL and invalid UTF-8 are the reader's
 * business. A line longer than `lineBytesMax` is cut and marked; its offsets cover all of it.
 */
import { lineBytesMax } from '@relight/shared/log-block';
import { LineParts, type CutLine, type Cutter, type TimeOf } from './cut-line.ts';

/** A line without an end is closed here, so that what comes after it can be acknowledged and freed. */
export const lineScanBytesMax = 8 * 1024 * 1024;

export class RawCutter implements Cutter {
  readonly #open = new LineParts();
  #start: number;
  #position: number;

  constructor(position: number) {
    this.#start = position;
    this.#position = position;
  }

  get position(): number {
    return this.#position;
  }

  get holding(): boolean {
    return this.#position > this.#start;
  }

  push(chunk: Buffer, timeOf: TimeOf): CutLine[] {
    const lines: CutLine[] = [];
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(10, from);
      if (end < 0) break;
      lines.push(this.#close(chunk.subarray(from, end), 1, timeOf));
      from = end + 1;
    }
    if (from < chunk.length) {
      this.#open.add(chunk.subarray(from));
      this.#position += chunk.length - from;
      if (this.#open.total >= lineScanBytesMax) lines.push(...this.finish(timeOf));
    }
    return lines;
  }

  finish(timeOf: TimeOf): CutLine[] {
    return this.holding ? [this.#close(Buffer.alloc(0), 0, timeOf)] : [];
  }

  #close(rest: Buffer, newline: 0 | 1, timeOf: TimeOf): CutLine {
    const offset = this.#start;
    const whole = !this.holding && rest.length <= lineBytesMax;
    if (!whole) this.#open.add(rest);
    this.#position += rest.length + newline;
    this.#start = this.#position;
    const { bytes, truncated } = whole ? { bytes: rest, truncated: false } : this.#open.take();
    return { offset, end: this.#position, bytes, truncated, stream: 'both', ...timeOf(this.#position) };
  }
}
