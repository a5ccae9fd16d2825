/**
 * What is said about the lines of a block beside their text, as columns of runs: a run holds from its line on, up to the next.
 * Differences instead of values, because those of neighbours are alike and compress well.
 */
import type { BlockHeader } from './log-block-frame.ts';
import type { OutputStream } from './log-stream.ts';

export interface BlockMeta {
  /** `from`, `to`, `lines`, `firstAt` of the header, so that a header that was changed is noticed. Older agents say nothing. */
  of?: [from: number, to: number, lines: number, firstAt: number];
  /** Flat pairs (lines, milliseconds): so many lines at so much later than those before; the first at so much later than `firstAt`. */
  times?: number[];
  /** What older agents say instead: [first line, epoch milliseconds]. */
  at?: [index: number, ms: number][];
  stream: [index: number, stream: OutputStream][];
  /**
   * Flat pairs (lines, bytes): so many lines whose text is followed in the segment by so many more bytes than its newline.
   * Left out when there are none: the text is the segment's bytes.
   */
  skips?: number[];
  /** Bytes before the first line. */
  lead?: number;
  /** What older agents say instead: each line's offset relative to `from`. */
  offsets?: number[];
  approx?: [index: number, count: number][];
  truncated?: number[];
  /** Lines that are the last state of a progress bar, and how many states came before. */
  collapsed?: [index: number, states: number][];
}

/** Values of lines, by binary search over the first line of every run. */
export class Runs<T> {
  readonly #starts: number[] = [];
  readonly #values: T[] = [];
  #run = 0;

  /** Ascending by `start`. */
  add(start: number, value: T): void {
    this.#starts.push(start);
    this.#values.push(value);
  }

  at(index: number): T | undefined {
    if (this.#holds(this.#run, index)) return this.#values[this.#run];
    if (this.#holds(this.#run + 1, index)) return this.#values[(this.#run += 1)];
    let [low, high] = [0, this.#starts.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as number) <= index) low = middle + 1;
      else high = middle;
    }
    this.#run = Math.max(0, low - 1);
    return low === 0 ? undefined : this.#values[low - 1];
  }

  #holds(run: number, index: number): boolean {
    const start = this.#starts[run];
    return start !== undefined && start <= index && (this.#starts[run + 1] ?? Infinity) > index;
  }
}

/** Flat pairs (lines, difference) while they are written. */
export class Differences {
  readonly pairs: number[] = [];

  add(lines: number, difference: number, join: boolean): void {
    const last = this.pairs.length - 2;
    if (join && last >= 0 && this.pairs[last + 1] === difference) this.pairs[last] = (this.pairs[last] as number) + lines;
    else this.pairs.push(lines, difference);
  }
}

export function timesOf(header: BlockHeader, meta: BlockMeta): Runs<number> {
  const runs = new Runs<number>();
  for (const [index, ms] of meta.at ?? []) runs.add(index, ms);
  let [index, at] = [0, header.firstAt];
  for (let pair = 0; pair < (meta.times?.length ?? 0); pair += 2) {
    at += meta.times?.[pair + 1] ?? 0;
    runs.add(index, at);
    index += meta.times?.[pair] ?? 0;
  }
  return runs;
}

/** What a header and the meta of its body both say. False: one of them was changed. */
export function agree({ from, to, lines, firstAt }: BlockHeader, { of }: BlockMeta): boolean {
  return of === undefined || (of[0] === from && of[1] === to && of[2] === lines && of[3] === firstAt);
}
