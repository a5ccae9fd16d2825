/**
 * Lines of a file as a program wrote it. Bytes are kept as they are: ANSI, NUL and invalid UTF-8 are the reader's business;
 * only of what `\r` overwrites the last state is told. A line longer than `lineBytesMax` is cut and marked; its offsets
 * cover all of it. What needs nothing of this, nearly everything, is passed on as it stands, many lines at once.
 */
import { lineBytesMax } from '@relight/shared/log-block';
import { carriageReturn, hotCountNewlines, LineParts, newline, type Cut, type CutLine, type Cutter, type TimeOf } from './cut-line.ts';

/** A line without an end is closed here, so that what comes after it can be acknowledged and freed. */
export const lineScanBytesMax = 8 * 1024 * 1024;

export class RawCutter implements Cutter {
  readonly #open = new LineParts();
  #start: number;
  #position: number;
  /** The line that comes, or is held back, goes on with one that is closed. */
  #continued = false;

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

  get drawing(): boolean {
    return this.#open.drawing;
  }

  push(chunk: Buffer, timeOf: TimeOf, torn = false): Cut[] {
    // What begins with a carriage return stands over what was there.
    this.#continued ||= torn && chunk[0] !== carriageReturn;
    const cuts: Cut[] = [];
    const open = this.holding || this.#continued ? chunk.indexOf(newline) + 1 : 0;
    if (open > 0) cuts.push(this.#line(chunk.subarray(0, open), timeOf));
    const last = Math.max(open, chunk.lastIndexOf(newline) + 1);
    if (last > open) this.#whole(chunk.subarray(open, last), timeOf, cuts);
    if (last < chunk.length) {
      this.#open.add(chunk.subarray(last));
      this.#position += chunk.length - last;
      if (this.#open.total >= lineScanBytesMax) {
        cuts.push(...this.finish(timeOf, true));
        this.#continued = true;
      }
    }
    return cuts;
  }

  finish(timeOf: TimeOf, torn = false): CutLine[] {
    if (!this.holding) return [];
    const line = this.#close(timeOf);
    return [torn ? { ...line, cutOff: true } : line];
  }

  /** Lines that are all there: those that need care one by one, what is between them as it is. */
  #whole(text: Buffer, timeOf: TimeOf, cuts: Cut[]): void {
    let from = 0;
    while (from < text.length) {
      const returned = text.indexOf(carriageReturn, from);
      const drawn = returned < 0 ? text.length : Math.max(from, text.lastIndexOf(newline, returned) + 1);
      const special = Math.min(drawn, longLine(text, from));
      if (special > from) this.#plain(text.subarray(from, special), timeOf, cuts);
      from = special;
      if (special === text.length) return;
      from = text.indexOf(newline, special) + 1;
      cuts.push(this.#line(text.subarray(special, from), timeOf));
    }
  }

  #plain(text: Buffer, timeOf: TimeOf, cuts: Cut[]): void {
    let from = 0;
    while (from < text.length) {
      const offset = this.#position;
      const first = text.indexOf(newline, from) + 1;
      const { at, approx, upTo } = timeOf(offset + first - from);
      // A line has the time of its end.
      const end = upTo >= offset + text.length - from ? text.length : text.lastIndexOf(newline, from + upTo - offset - 1) + 1;
      const bytes = text.subarray(from, end);
      cuts.push({ offset, at, approx, stream: 'both', bytes, lines: hotCountNewlines(bytes) });
      this.#position += bytes.length;
      this.#start = this.#position;
      from = end;
    }
  }

  /** What is held back, and `rest` with its newline. */
  #line(rest: Buffer, timeOf: TimeOf): CutLine {
    this.#open.add(rest.subarray(0, -1));
    this.#position += rest.length;
    return this.#close(timeOf);
  }

  #close(timeOf: TimeOf): CutLine {
    const offset = this.#start;
    this.#start = this.#position;
    const { at, approx } = timeOf(this.#position);
    const continued = this.#continued ? { continued: true } : {};
    this.#continued = false;
    return { offset, end: this.#position, at, approx, stream: 'both', ...this.#open.take(), ...continued };
  }
}

/** Where the first line from `from` on begins that is longer than `lineBytesMax`; behind the text when there is none. */
function longLine(text: Buffer, from: number): number {
  let start = from;
  while (text.length - start > lineBytesMax + 1) {
    const end = text.lastIndexOf(newline, start + lineBytesMax);
    if (end < start) return start;
    start = end + 1;
  }
  return text.length;
}
