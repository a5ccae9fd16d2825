/** How far the collector has come in each epoch. Pure. */
import type { Numbers } from './event-files.ts';
import type { OutboxPosition } from './outbox.ts';

export class Progress {
  /** Of one that is not in here nothing is known. */
  readonly #acknowledged = new Map<string, number>();

  of(epoch: string): OutboxPosition {
    return { epoch, seq: this.#acknowledged.get(epoch) ?? 0 };
  }

  /** False: it is known already. */
  advance({ epoch, seq }: OutboxPosition): boolean {
    if (seq <= this.of(epoch).seq) return false;
    this.#acknowledged.set(epoch, seq);
    return true;
  }

  /** How many events of an epoch the collector is not known to have. */
  missing({ epoch, firstSeq, lastSeq }: Numbers): number {
    return Math.max(0, lastSeq - Math.max(this.of(epoch).seq, firstSeq - 1));
  }

  /** `before`: how far it was when an earlier life said so last; `epochs`: all, in their order. */
  recall(before: OutboxPosition | null, epochs: readonly Numbers[]): void {
    const index = epochs.findIndex(({ epoch }) => epoch === before?.epoch);
    if (before === null || index < 0) return;
    // Names of the other format tell nothing of what came before it: worst, the collector drops what it has already.
    const earlier = epochs.slice(0, index).filter(({ earlierVersion }) => earlierVersion === epochs[index]?.earlierVersion);
    for (const { epoch } of earlier) this.#acknowledged.set(epoch, Infinity);
    this.advance(before);
  }
}
