/**
 * Follows the log files of all segments, cuts their lines into blocks and hands these to the uplink. The file is the outbox:
 * nothing is copied, the position is the committed byte offset that the collector tells. Implementation beside this file.
 */
import type { SegmentKey } from '@relight/shared/log-stream';
import type { Mark } from './time-marks.ts';

export interface SegmentFile {
  readonly key: SegmentKey;
  /** Host path. Opened with O_NOFOLLOW. */
  readonly path: string;
  /** raw: bytes as written by a run. json-file: the engine's container log, which rotates by renaming. */
  readonly format: 'raw' | 'json-file';
  /** Default: a json-file does. */
  readonly rotates?: boolean;
  /** Among the runs of its source; the newest has the highest. Default: above all that were followed before. */
  readonly order?: number;
  /** When which part of it was written, where that is known; see time-marks.ts. */
  readonly marks?: readonly Mark[];
  /** The file is somebody else's: never written to, and opened by this alone. `path` is then what messages say. */
  readonly foreign?: {
    /** A descriptor for reading, of a regular file; null: it is not there any more. Throws errno errors. */
    open(): number | null;
  };
}

export interface LogShipper {
  /**
   * Begins to follow, from the committed offset; the file may appear later. What is followed already is only taken back from
   * its end, when `finish` was called for it.
   */
  follow(file: SegmentFile): void;
  /** The writer is gone: read to the end, send the rest (also a last line without newline), then forget the segment. */
  finish(key: SegmentKey): void;
}

export interface LogBacklog {
  /** What logs keep of the disk because it is not acknowledged, and may keep, as it was at the last look. */
  readonly bytes: number;
  readonly bytesMax: number;
  /** Written and not acknowledged. */
  readonly waitingBytes: number;
  /** When the oldest line was written that could be sent; null: none waits. */
  readonly oldestAt: number | null;
  /** Handed to the connection, again after a break included. */
  readonly sentLines: number;
  readonly sentBytes: number;
}
