export interface RateLimit {
  readonly lines: number;
  readonly windowMs: number;
}

/**
 * Admits at most `lines` per window of the lines' own time. A line whose time is only approximate is always admitted: it
 * waited on a disk, not in a flood.
 */
export class RateLimiter {
  readonly #limit: RateLimit | null;
  #window = Number.NaN;
  #count = 0;
  #refusedBytes = 0;

  constructor(limit: RateLimit | null) {
    this.#limit = limit;
  }

  /** How many lines of this time are admitted still. */
  room(at: number, approx: boolean): number {
    if (this.#limit === null || approx) return Infinity;
    const window = Math.floor(at / this.#limit.windowMs);
    if (window !== this.#window) {
      this.#window = window;
      this.#count = 0;
      this.#refusedBytes = 0;
    }
    return this.#limit.lines - this.#count;
  }

  /** Lines that were admitted by `room`. Those of approximate time do not count. */
  admitted(lines: number, approx: boolean): void {
    if (!approx) this.#count += lines;
  }

  refused(bytes: number): void {
    this.#refusedBytes += bytes;
  }

  /** In the window that was last asked about. */
  get refusedBytes(): number {
    return this.#refusedBytes;
  }
}
