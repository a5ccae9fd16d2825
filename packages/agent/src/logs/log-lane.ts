/**
 * The log lane as the uplink sees it: it is told what the collector has committed, and asked for the next frame whenever one
 * may be sent. All offsets are those of segments; the collector's word about them always wins.
 */
import type { Block } from '@relight/shared/log-block';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { Gap } from '@relight/shared/protocol';

export type LogFrame = { readonly kind: 'block'; readonly block: Block } | { readonly kind: 'gap'; readonly gap: Gap };

export interface Committed {
  readonly segment: SegmentKey;
  readonly offset: number;
}

export interface LogLane {
  /** Segments that are followed, for hello. */
  segments(): SegmentKey[];
  /** A session has begun: everything is cut anew from these offsets, and from what was last known for all other segments. */
  resume(committed: readonly Committed[]): void;
  /** The session is over: nothing is read until the next resume. */
  suspend(): void;
  /** The next frame that is due, taking turns among the segments; null: nothing is due now. Only between resume and suspend. */
  nextFrame(): LogFrame | null;
  /** `rewind`: go back to `offset` and cut anew; otherwise everything before it is safe. */
  committed(segment: SegmentKey, offset: number, rewind: boolean): void;
  /** Who is being tailed: their lines are due at once. Replaces what was watched before. */
  watch(selectors: readonly { workload?: string | undefined; source?: string | undefined }[]): void;
  /** Everything that is written by now is due at once. For the end. */
  flush(): void;
  /** Calls back, until disposed, when nextFrame may have something that it had not before. */
  onReady(listener: () => void): { dispose(): void };
  /** Bytes written but not yet committed, over all segments. */
  lagBytes(): number;
}
