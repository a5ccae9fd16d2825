/**
 * How long this process stands still: a timer that is due once a second, and how late it comes. A standstill of a hung disk, of a host
 * without a free processor or of a stopped process looks the same.
 */
import { beatAt, onBeat } from '@relight/shared/beat';
import type { Clock, Timer } from '@relight/shared/clock';

const stepMs = 1_000;
/** Less is the everyday noise of a busy host. */
const stallMs = 250;

export class LoopLag {
  readonly #clock: Clock;
  #timer: Timer | null = null;
  #longestMs = 0;
  #stalledMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(): void {
    const due = beatAt(this.#clock.monotonic(), stepMs);
    this.#timer = onBeat(this.#clock, stepMs, () => {
      this.#late(this.#clock.monotonic() - due);
      this.start();
    });
  }

  dispose(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** The longest one since this was last asked, and the sum of those of a quarter of a second and more since the beginning. */
  take(): { readonly longestMs: number; readonly stalledMs: number } {
    const longestMs = this.#longestMs;
    this.#longestMs = 0;
    return { longestMs, stalledMs: this.#stalledMs };
  }

  #late(byMs: number): void {
    this.#longestMs = Math.max(this.#longestMs, byMs);
    if (byMs >= stallMs) this.#stalledMs += byMs;
  }
}
