/**
 * Whether a later start may go on with the numbers on the disk: the file `trusted` names the epoch whose numbers nobody outside has seen
 * more of than stand there.
 */
import type { OutboxDisk } from './disk.ts';
import { removeBefore, removeTrust, trustedName, type Continued } from './recovery.ts';

export class EpochTrust {
  readonly #disk: OutboxDisk;
  /** The file may be there. */
  #given = true;
  #unsettled: Continued | null = null;

  constructor(disk: OutboxDisk) {
    this.#disk = disk;
  }

  /** A later start would begin anew, although it need not. */
  get owed(): boolean {
    return this.#unsettled !== null;
  }

  /** Of files that were found on the disk. */
  found(): void {
    this.#given = true;
    this.#unsettled = null;
  }

  /** Of files that were written now, of a new epoch. */
  owe(begun: Continued): void {
    this.#given = true;
    this.#unsettled = begun;
  }

  /** From now on a start goes on with them. The old files go only now, as that is durable. Throws errno errors. */
  settle(): void {
    if (this.#unsettled === null) return;
    this.#disk.replace(trustedName, Buffer.from(this.#unsettled.epoch));
    removeBefore(this.#disk, this.#unsettled);
    this.#unsettled = null;
  }

  /** No later start continues this numbering. Throws errno errors. */
  remove(): void {
    this.#unsettled = null;
    if (this.#given) removeTrust(this.#disk);
    this.#given = false;
  }

  /** Whatever stands there is settled no more: another epoch follows. */
  leave(): void {
    this.#unsettled = null;
  }
}
