/**
 * The newest epoch is to be left, for it cannot be read. Not in the middle of whatever it was read for, an append included, but in the
 * next turn: what is appended until then stands behind what cannot be read, and waits with it.
 */
import type { Clock, Timer } from '@relight/shared/clock';

export class Parting {
  readonly #clock: Clock;
  readonly #part: (error: unknown) => void;
  #timer: Timer | null = null;

  /** `part` is called with why it cannot be read. */
  constructor(clock: Clock, part: (error: unknown) => void) {
    this.#clock = clock;
    this.#part = part;
  }

  soon(error: unknown): void {
    this.#timer ??= this.#clock.after(0, () => {
      this.#timer = null;
      this.#part(error);
    });
  }

  /** That epoch was left otherwise. */
  forget(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }
}
