/** Files of runs that are over and fully sent: the newest of each source stay on the host for a look on the spot, the others go. */
import { lstatSync, rmSync } from 'node:fs';
import type { SegmentTail } from './segment-tail.ts';

interface Kept {
  readonly path: string;
  readonly generation: number;
  readonly order: number;
  readonly since: number;
}

/** Whoever reports the failure of a run still reads its last lines. */
const graceMs = 60_000;

export class Retention {
  readonly #runs: number;
  readonly #kept = new Map<string, Kept[]>();

  constructor(runs: number) {
    this.#runs = runs;
  }

  /** `order`: a later run of the same generation has a higher one. */
  add(tail: SegmentTail, order: number, monotonic: number): void {
    if (tail.source.format !== 'raw' || tail.source.path.startsWith('/proc/')) return;
    const { generation, source, workload } = tail.key;
    const id = `${workload}/${source}`;
    const kept = this.#kept.get(id) ?? [];
    this.#kept.set(id, kept);
    // Nearly always the newest: thousands of runs come here one after the other when a collector is back.
    const older = kept.findLastIndex((other) => other.generation < generation || (other.generation === generation && other.order < order));
    kept.splice(older + 1, 0, { path: tail.source.path, generation, order, since: monotonic });
  }

  /** Removes all of them, because there is no room. Throws errno errors. */
  removeAll(): void {
    const kept = [...this.#kept.values()].flat();
    this.#kept.clear();
    for (const { path } of kept) rmSync(path, { force: true });
  }

  /** On the disk now. A container can put a link where one of them was. */
  get bytes(): number {
    const files = [...this.#kept.values()].flat();
    return files.reduce((sum, { path }) => sum + (lstatSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512, 0);
  }

  /** Removes what is over the number. Throws errno errors. */
  sweep(monotonic: number): void {
    for (const [id, kept] of this.#kept) {
      const surplus = kept.slice(0, Math.max(0, kept.length - this.#runs)).filter(({ since }) => monotonic - since >= graceMs);
      if (surplus.length === 0) continue;
      this.#kept.set(
        id,
        kept.filter((file) => !surplus.includes(file)),
      );
      for (const { path } of surplus) rmSync(path, { force: true });
    }
  }
}
