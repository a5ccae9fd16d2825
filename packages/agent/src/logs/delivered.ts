/**
 * What was handed to the connection, and the holes that the collector has been told of. A hole is counted when it is known to have
 * arrived, and so once, however often it had to be sent. Pure.
 */
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import type { Gap } from '@relight/shared/protocol';
import type { LogFrame } from './log-lane.ts';

/** Since the beginning of this process. */
export interface LogGaps {
  readonly count: number;
  /** Missing in them, of those that say how many. */
  readonly lines: number;
  readonly bytes: number;
  readonly last: Pick<Gap, 'segment' | 'reason' | 'at'> | null;
}

export class Delivered {
  #sent = { sentLines: 0, sentBytes: 0 };
  #gaps: LogGaps = { count: 0, lines: 0, bytes: 0, last: null };
  /** By segment. Never more than may be under way. */
  readonly #unanswered = new Map<string, readonly Gap[]>();

  /** Handed to the connection, again after a break included. */
  get sent(): { readonly sentLines: number; readonly sentBytes: number } {
    return this.#sent;
  }

  get gaps(): LogGaps {
    return this.#gaps;
  }

  handedOver(frame: LogFrame): void {
    if (frame.kind === 'block') {
      const { lines, rawBytes } = frame.block.header;
      this.#sent = { sentLines: this.#sent.sentLines + lines, sentBytes: this.#sent.sentBytes + rawBytes };
      return;
    }
    const id = segmentId(frame.gap.segment);
    this.#unanswered.set(id, [...(this.#unanswered.get(id) ?? []), frame.gap]);
  }

  /** The collector has everything before `offset`. `anew`: what lies behind it is sent again. */
  committed(segment: SegmentKey, offset: number, anew: boolean): void {
    const id = segmentId(segment);
    const gaps = this.#unanswered.get(id);
    if (gaps === undefined) return;
    for (const gap of gaps) if (gap.to <= offset) this.#arrived(gap);
    const left = anew ? [] : gaps.filter(({ to }) => to > offset);
    if (left.length === 0) this.#unanswered.delete(id);
    else this.#unanswered.set(id, left);
  }

  /** A session has begun: what it is not told of is sent again. */
  begun(): void {
    this.#unanswered.clear();
  }

  #arrived({ segment, reason, at, lines = 0, bytes = 0 }: Gap): void {
    const { count, lines: linesBefore, bytes: bytesBefore } = this.#gaps;
    this.#gaps = { count: count + 1, lines: linesBefore + lines, bytes: bytesBefore + bytes, last: { segment, reason, at } };
  }
}
