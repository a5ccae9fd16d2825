/**
 * When which part of a file was written, remembered while it grows: so lines that are sent much later, after the collector
 * was away, still carry the time at which they appeared. What existed before we looked has only the file's own time.
 */
export interface Mark {
  /** Bytes before this offset had been written … */
  readonly upTo: number;
  /** … at this time, epoch milliseconds. */
  readonly at: number;
  readonly approx: boolean;
}

/** 40 minutes of a file that grows all the time, at one mark per 250 ms; then the resolution is halved. */
const marksMax = 8_192;
/** A mark that replaces others may be this far off before its time counts as approximate. */
const exactMs = 1_000;

export class TimeMarks {
  #marks: Mark[] = [];
  /** The last one that was forgotten. */
  #forgotten: Mark | null = null;

  get size(): number {
    return this.#marks.length;
  }

  get all(): readonly Mark[] {
    return this.#marks;
  }

  note(mark: Mark): void {
    if (mark.upTo <= (this.#marks.at(-1)?.upTo ?? 0)) return;
    this.#marks.push(mark);
    if (this.#marks.length > marksMax) this.#marks = halve(this.#marks);
  }

  /** The time of what ends at `offset`, and how far it holds. Of what was forgotten it is only known that it is older than this. */
  of(offset: number, now: number): Mark {
    if (this.#forgotten !== null && offset <= this.#forgotten.upTo) return { ...this.#forgotten, approx: true };
    let [low, high] = [0, this.#marks.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#marks[middle]?.upTo ?? 0) >= offset) high = middle;
      else low = middle + 1;
    }
    return this.#marks[low] ?? { upTo: Infinity, at: now, approx: false };
  }

  /** What lies before `offset` will not be asked for again, unless the collector loses it. */
  forget(offset: number): void {
    const found = this.#marks.findIndex((mark) => mark.upTo > offset);
    const first = found < 0 ? this.#marks.length : found;
    if (first === 0) return;
    this.#forgotten = this.#marks[first - 1] ?? null;
    this.#marks = this.#marks.slice(first);
  }
}

function halve(marks: readonly Mark[]): Mark[] {
  const kept: Mark[] = [];
  for (let index = 1; index < marks.length; index += 2) {
    const [before, mark] = [marks[index - 1] as Mark, marks[index] as Mark];
    kept.push({ upTo: mark.upTo, at: before.at, approx: mark.approx || before.approx || mark.at - before.at > exactMs });
  }
  const odd = marks.length % 2 === 1 ? marks.at(-1) : undefined;
  return odd === undefined ? kept : [...kept, odd];
}
