export interface RateLimit {
  readonly lines: number;
  readonly windowMs: number;
}

/** Admits at most `lines` per window of the lines' own time. A line whose time is only approximate is always admitted: it waited on a disk, not in a flood. */
export class RateLimiter {
  readonly #limit: RateLimit | null;
  #window = Number.NaN;
  #count = 0;

  constructor(limit: RateLimit | null) {
    this.#limit = limit;
  }

  admit(at: number, approx: boolean): boolean {
    if (this.#limit === null || approx) return true;
    const window = Math.floor(at / this.#limit.windowMs);
    if (window !== this.#window) {
      this.#window = window;
      this.#count = 0;
    }
    this.#count += 1;
    return this.#count <= this.#limit.lines;
  }
}
