import type { Clock, Timer } from './clock.ts';

interface Pending {
  readonly at: number;
  readonly order: number;
  readonly fn: () => void;
}

/** A clock that moves only when a test says so. Timers due at the same moment fire in the order they were set. */
export class ManualClock implements Clock {
  #elapsed = 0;
  #wallOffset: number;
  #order = 0;
  #pending: Pending[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#wallOffset = startMs;
  }

  now(): number {
    return this.#wallOffset + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(ms: number, fn: () => void): Timer {
    const pending: Pending = { at: this.#elapsed + Math.max(0, ms), order: this.#order++, fn };
    this.#pending.push(pending);
    return {
      cancel: () => {
        this.#pending = this.#pending.filter((other) => other !== pending);
      },
    };
  }

  /** Moves both clocks on by `ms`, firing what falls due on the way, in order. */
  advance(ms: number): void {
    const target = this.#elapsed + ms;
    for (;;) {
      const due = this.#pending.filter((timer) => timer.at <= target).toSorted((a, b) => a.at - b.at || a.order - b.order)[0];
      if (due === undefined) break;
      this.#pending = this.#pending.filter((timer) => timer !== due);
      this.#elapsed = Math.max(this.#elapsed, due.at);
      due.fn();
    }
    this.#elapsed = target;
  }

  /** Moves the wall clock alone, as NTP or a person does. */
  jumpWall(ms: number): void {
    this.#wallOffset += ms;
  }

  get pendingTimers(): number {
    return this.#pending.length;
  }
}
