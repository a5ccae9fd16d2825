/**
 * What the rest of the collector may ask of stored logs, and nothing more. Reads are synchronous and have connections of
 * their own, so that they can be made on any thread. Every committed piece is seen at once.
 */
import type { SegmentKey } from '@relight/shared/log-stream';
import type { LogFilter, StoredLogPiece } from '../store.ts';

/** One of the pieces that were merged into a larger one: the id that it had, and how many of the lines were its own. */
export interface LogPart {
  readonly id: number;
  readonly lines: number;
  readonly receivedAt: number;
}

/** Where a page begins: behind a piece (before it, where the newest come first). */
export interface LogPlace {
  readonly afterId?: number;
  readonly beforeId?: number;
  readonly sealed?: boolean;
}

/**
 * A page in order of id. Small pieces of one segment are merged when their file is sealed. The merged piece has the id of its
 * last part, so it may stand behind a place up to which a reader has seen some of its parts already. Therefore a page says
 * how the place was seen: `sealed` is that flag of the piece at `afterId` or `beforeId`. Without it pieces come again that
 * have parts on both sides of the place; parts.ts says which of their lines are wanted.
 */
export interface LogPage extends LogPlace {
  /** Only pieces with a part up to this id. */
  readonly upTo?: number;
  readonly limit: number;
  readonly newestFirst?: boolean;
}

/** What a little work has found, perhaps nothing. */
export interface LogSlice {
  readonly pieces: readonly StoredLogPiece[];
  /** Where to go on; null: nothing is left. */
  readonly next: LogPlace | null;
  /** When the last piece was received that was looked at, found or not; null: there was none. */
  readonly receivedAt: number | null;
}

export interface LogReads {
  /** End of the bytes of a segment that are stored, from 0 on without a hole that is not counted. */
  committedOffset(agentId: string, segment: SegmentKey): number;
  /** Pieces that may hold matching lines, in order of id (which is the order of commit). Blocks stay compressed. */
  logPieces(filter: LogFilter, page: LogPage): readonly StoredLogPiece[];
}

export interface LogReader extends LogReads {
  /**
   * As `logPieces`, but of one file at most and of so many pieces that it takes a few milliseconds, however little it finds: who looks
   * for what is rare lets others in between.
   */
  logSlice(filter: LogFilter, page: LogPage): LogSlice;
  /** Names of the files that cannot be read, set aside or found so by this reader: what they hold is missing from what it reads. */
  damagedFiles(): readonly string[];
  close(): void;
}
