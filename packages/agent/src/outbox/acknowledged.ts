/** How far the collector has come, as a file. It costs nothing but a second sending when it is old; the collector drops those by number. */
import type { Clock, Timer } from '@relight/shared/clock';
import type { OutboxDisk } from './disk.ts';
import { decodeLine, encodeText } from './lines.ts';

export const acknowledgedName = 'acknowledged';

/** Always of one length, within one sector: it is written in place, which a full disk takes, and never in part. */
const jsonLength = 96;

export function encodeAcknowledged(epoch: string, seq: number): Buffer {
  return encodeText(JSON.stringify({ epoch, seq }).padEnd(jsonLength));
}

/** 0: nothing is known of this epoch. Throws errno errors. */
export function readAcknowledged(disk: OutboxDisk, names: readonly string[], epoch: string): number {
  if (!names.includes(acknowledgedName)) return 0;
  const bytes = disk.read(acknowledgedName);
  const value = decodeLine(bytes.subarray(0, Math.max(0, bytes.length - 1))) as { epoch?: string; seq?: number } | undefined;
  return value?.epoch === epoch && Number.isSafeInteger(value.seq) ? (value.seq ?? 0) : 0;
}

const persistMs = 1_000;

export class AcknowledgedFile {
  readonly #disk: OutboxDisk;
  readonly #clock: Clock;
  readonly #current: () => { readonly epoch: string; readonly seq: number } | null;
  #timer: Timer | null = null;

  /** `current`: null when what the file tells is of another epoch, whose events still stand on the disk. */
  constructor(disk: OutboxDisk, clock: Clock, current: () => { readonly epoch: string; readonly seq: number } | null) {
    this.#disk = disk;
    this.#clock = clock;
    this.#current = current;
  }

  writeSoon(): void {
    this.#timer ??= this.#clock.after(persistMs, () => this.write());
  }

  write(durable = false): void {
    this.#timer?.cancel();
    this.#timer = null;
    const current = this.#current();
    if (current === null) return;
    try {
      this.#disk.overwrite(acknowledgedName, encodeAcknowledged(current.epoch, current.seq), durable);
    } catch {
      // The next one tries again.
    }
  }
}
