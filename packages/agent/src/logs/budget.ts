/** How much of the disk unsent logs may take, looked up again every 10 s. */
import { statfsSync } from 'node:fs';
import type { Clock } from '@relight/shared/clock';

const lookMs = 10_000;
const bytesMax = 512 * 1024 ** 2;
const diskShare = 0.05;

export class DiskBudget {
  readonly #directory: string;
  readonly #clock: Clock;
  #at = -Infinity;
  #bytes = 0;

  constructor(directory: string, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /** 512 MiB, at most 5 % of the disk of the directory and half of what would be free there without the `held` bytes of logs. */
  bytes(held: number): number {
    const now = this.#clock.monotonic();
    if (now - this.#at >= lookMs) {
      this.#at = now;
      this.#bytes = this.#look(held) ?? (this.#bytes || bytesMax);
    }
    return this.#bytes;
  }

  /** Null: the directory is gone, which others notice. */
  #look(held: number): number | null {
    try {
      const { bavail, blocks, bsize } = statfsSync(this.#directory);
      return Math.min(bytesMax, blocks * bsize * diskShare, (bavail * bsize + held) / 2);
    } catch {
      return null;
    }
  }
}
