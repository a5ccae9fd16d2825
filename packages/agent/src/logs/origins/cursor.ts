/**
 * Where reading through the engine's API goes on: it is opened again a second before the last line that was written down, and
 * what comes once more is recognised, as often as it was there. Equal lines at one time are honest, so they are counted. Pure.
 */
import { crc32 } from 'node:zlib';
import type { Entry } from './engine-lines.ts';

/** Times need not come in order: so much before the last one is compared. */
export const windowMs = 2_000;
const againMs = 1_000;

export class Cursor {
  readonly #counts = new Map<string, number>();
  readonly #last: Entry | null;
  readonly #until: string;
  #found: boolean;

  /** `recent`: what was written down last, in order. */
  constructor(recent: readonly Entry[]) {
    this.#last = recent.at(-1) ?? null;
    this.#found = this.#last === null;
    const newest = recent.reduce((time, entry) => (entry.time > time ? entry.time : time), '');
    this.#until = newest === '' ? '' : shifted(newest, windowMs);
    const from = newest === '' ? '' : shifted(newest, -windowMs);
    for (const entry of recent) {
      if (entry.time < from) continue;
      const key = keyOf(entry);
      this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    }
  }

  /** For the API: seconds.nanoseconds, inclusive. Null: from the beginning. */
  get since(): string | null {
    if (this.#last === null) return null;
    const time = shifted(this.#last.time, -againMs);
    return `${Math.floor(Date.parse(time) / 1_000)}.${time.slice(20, 29)}`;
  }

  /** `gap`: the last line that was written down is not there any more, and nobody knows what came between. Said once. */
  take(entry: Entry): 'new' | 'known' | 'gap' {
    if (this.#counts.size > 0) {
      const key = keyOf(entry);
      const count = this.#counts.get(key) ?? 0;
      if (count > 0) {
        this.#counts.set(key, count - 1);
        if (this.#last !== null && key === keyOf(this.#last)) this.#found = true;
        return 'known';
      }
      if (entry.time > this.#until) this.#counts.clear();
    }
    if (this.#found || this.#last === null || entry.time <= this.#last.time) return 'new';
    this.#found = true;
    return 'gap';
  }
}

const keyOf = ({ stream, time, log }: Entry): string => `${stream} ${time} ${log.length} ${crc32(log)}`;

/** Nanoseconds stay as they are. */
function shifted(time: string, byMs: number): string {
  return new Date(Date.parse(`${time.slice(0, 19)}Z`) + byMs).toISOString().slice(0, 19) + time.slice(19);
}
