/**
 * What stands on the disk under the numbers of earlier epochs, while this one lives in memory. It leaves the host only from the disk:
 * sent from memory under new numbers it would come a second time, should the agent end before the new ones are written.
 */
import type { AgentEvent } from '@relight/shared/event';
import type { OutboxDisk } from './disk.ts';
import { type recover, unacknowledged } from './recovery.ts';

export type Recover = () => ReturnType<typeof recover>;

export class EarlierEvents {
  readonly #disk: OutboxDisk;
  readonly #recover: Recover;
  #events: readonly AgentEvent[] | null;

  /** `events`: null when they could not be read yet. */
  constructor(disk: OutboxDisk, recoverAll: Recover, events: readonly AgentEvent[] | null) {
    this.#disk = disk;
    this.#recover = recoverAll;
    this.#events = events;
  }

  /**
   * Read once: an attempt to write them into a new file may have left that file behind, and a second reading would find them there
   * again. Throws errno errors.
   */
  read(): readonly AgentEvent[] {
    return (this.#events ??= unacknowledged(this.#disk, this.#recover()));
  }
}
