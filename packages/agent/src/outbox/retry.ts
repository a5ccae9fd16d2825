/**
 * When a disk that refused something is tried again, and what was wrong with it meanwhile. A disk that says no at once (full, read-only)
 * is asked every second: room comes suddenly, and what waits for it waits in memory. One that fails (EIO: a dying disk tries each bad
 * block for seconds, and this process stands still as long) is left alone twice as long after each failure, up to five minutes.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';

const firstMs = 1_000;
const longestMs = 5 * 60_000;

/** The kernel's own answers, for which no disk is asked: no room, no writing, no more descriptors. */
const prompt: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE', 'ENFILE']);

export interface DiskTrouble {
  /** Epoch milliseconds. */
  readonly since: number;
  /** As the operating system says it. */
  readonly reason: string;
}

export class DiskRetry {
  readonly #clock: Clock;
  readonly #act: () => void;
  #timer: Timer | null = null;
  #delayMs = firstMs;
  #trouble: DiskTrouble | null = null;
  #refusal: unknown = null;

  constructor(clock: Clock, act: () => void) {
    this.#clock = clock;
    this.#act = act;
  }

  /** Null: the disk does not fail. One that is merely full or read-only does not: whoever watches disks says that. */
  get trouble(): DiskTrouble | null {
    return this.#trouble;
  }

  /** `cause`: what the disk says; null: it took only a part, which is how a full one begins. */
  refused(cause: unknown): void {
    this.#refusal = cause;
  }

  /** After what it has refused last. */
  later(): void {
    const failed = this.#refusal !== null && !prompt.has((this.#refusal as NodeJS.ErrnoException | undefined)?.code);
    if (failed) this.#trouble ??= { since: this.#clock.now(), reason: errorMessage(this.#refusal) };
    else this.succeeded();
    if (this.#timer !== null) return;
    this.#timer = this.#clock.after(this.#delayMs, () => {
      this.#timer = null;
      this.#act();
    });
    if (failed) this.#delayMs = Math.min(2 * this.#delayMs, longestMs);
  }

  succeeded(): void {
    this.#trouble = null;
    this.#delayMs = firstMs;
  }

  stop(): void {
    this.#timer?.cancel();
  }
}
