/**
 * How far the collector has come, as a file: it has this event, and all that stand before it. It costs nothing but a second sending when
 * it is old, or not there: the collector drops those by number.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import type { OutboxDisk } from './disk.ts';
import { decodeLine, encodeText } from './lines.ts';
import type { OutboxPosition } from './outbox.ts';

const acknowledgedName = 'acknowledged';

/** Always of one length, within one sector: it is written in place, which a full disk takes, and never in part. */
const jsonLength = 96;

const encodeAcknowledged = ({ epoch, seq }: OutboxPosition): Buffer => encodeText(JSON.stringify({ epoch, seq }).padEnd(jsonLength));

/** Null: nothing is known. Throws errno errors. */
export function readAcknowledged(disk: OutboxDisk): OutboxPosition | null {
  if (!disk.list().includes(acknowledgedName)) return null;
  const bytes = disk.read(acknowledgedName);
  const value = decodeLine(bytes.subarray(0, Math.max(0, bytes.length - 1))) as Partial<OutboxPosition> | null | undefined;
  const { epoch, seq = 0 } = value ?? {};
  return typeof epoch === 'string' && Number.isSafeInteger(seq) ? { epoch, seq } : null;
}

const persistMs = 1_000;

export class AcknowledgedFile {
  readonly #disk: OutboxDisk;
  readonly #clock: Clock;
  readonly #current: () => OutboxPosition | null;
  #timer: Timer | null = null;

  /** `current`: null when it is not known what stands before it. */
  constructor(disk: OutboxDisk, clock: Clock, current: () => OutboxPosition | null) {
    this.#disk = disk;
    this.#clock = clock;
    this.#current = current;
  }

  writeSoon(): void {
    this.#timer ??= this.#clock.after(persistMs, () => this.write());
  }

  write(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const current = this.#current();
    if (current === null) return;
    try {
      this.#disk.overwrite(acknowledgedName, encodeAcknowledged(current));
    } catch {
      // The next one tries again.
    }
  }
}
