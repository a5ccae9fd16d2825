/**
 * Runs that are over while the collector is away. Each that is followed costs a descriptor, and without descriptors no run can be
 * started: only so many are, the oldest. Of the others, as long as they are short and nothing of them was ever sent, their names are
 * kept and the times of their lines, until there is room. On the disk they are left alone: where parts of files can be freed the budget
 * takes nothing of so short a one, and elsewhere nothing is set aside.
 */
import { hostLogs } from '@relight/shared/log-stream';
import type { Followed } from './followed.ts';
import type { SegmentFile } from './log-shipper.ts';
import type { SegmentTail } from './segment-tail.ts';
import { isOwn, keptTailBytes } from './space.ts';

/** As many as the uplink is busy with for a second. */
const heldMax = 2_000;
/** Of times. A run that lasts a second or two has no more. */
const marksMax = 16;

interface Aside {
  readonly file: SegmentFile;
  readonly bytes: number;
}

export class SetAside {
  readonly #heldMax: number;
  /** By segment; the oldest first. */
  readonly #files = new Map<string, Aside>();
  #bytes = 0;

  constructor(max = heldMax) {
    this.#heldMax = max;
  }

  /** Of all of them. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Those of `all`, the oldest first, that are not followed from now on. */
  surplus(all: Iterable<Followed>): Followed[] {
    return this.#over(all)
      .slice(this.#heldMax)
      .filter(({ tail, order, trouble, unread }) => {
        const file = trouble === null && unread === null && isShort(tail) ? tail.unsent() : null;
        if (file === null || (file.marks?.length ?? 0) > marksMax) return false;
        const bytes = tail.lagBytes;
        this.#files.set(tail.id, { file: { ...file, order }, bytes });
        this.#bytes += bytes;
        return true;
      });
  }

  /** Those for which there is room beside `all`: to be followed from now on. */
  due(all: Iterable<Followed>): Aside[] {
    if (this.#files.size === 0) return [];
    const room = Math.max(0, this.#heldMax - this.#over(all).length);
    return [...this.#files.values()].slice(0, room);
  }

  /** It is followed from now on. Undefined: it was not set aside. */
  take(id: string): SegmentFile | undefined {
    const aside = this.#files.get(id);
    this.#files.delete(id);
    this.#bytes -= aside?.bytes ?? 0;
    return aside?.file;
  }

  /** Those that an earlier agent has left are counted where they come from (earlier-logs.ts). */
  #over(all: Iterable<Followed>): Followed[] {
    return [...all].filter(({ tail, order }) => tail.finished && order > 0 && tail.source.format === 'raw');
  }
}

/** A file that the budget takes nothing of, and that is found by its name again. */
function isShort(tail: SegmentTail): boolean {
  const { file, key, source } = tail;
  // The agent's own keeps house itself.
  if (key.workload === hostLogs) return false;
  if (!isOwn(tail) || !file.opened || file.begin > 0 || file.unlinked || source.path.startsWith('/proc/')) return false;
  return Math.max(file.end, file.allocatedBytes) <= keptTailBytes;
}
