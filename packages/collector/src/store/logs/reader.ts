/** Reads over all log files, on connections of their own: for the main thread, and for threads that search. */
import type { SegmentKey } from '@relight/shared/log-stream';
import type { LogFilter, StoredLogPiece } from '../store.ts';
import { logDirectory } from './file-names.ts';
import { FileSet, type OpenLogFile } from './file-set.ts';
import type { LogPage, LogPlace, LogReader, LogSlice } from './port.ts';
import { isDamage } from './schema.ts';

export interface LogReaderOptions {
  /** A file cannot be read: its pieces are missing from what is read, those of all others are not. Told once a file. */
  readonly onDamage?: (file: string, error: Error) => void;
}

/** Synchronous; sees every commit. Files may come, be sealed and go meanwhile. */
export function openLogReader(dataDir: string, options: LogReaderOptions = {}): LogReader {
  const files = new FileSet(logDirectory(dataDir), options.onDamage ?? (() => undefined));
  return {
    committedOffset(agentId: string, segment: SegmentKey): number {
      const newest = files.ascending().at(-1);
      return newest === undefined ? 0 : (guarded(files, newest, (file) => file.reads.committedOffset(agentId, segment)) ?? 0);
    },
    logPieces(filter: LogFilter, page: LogPage): StoredLogPiece[] {
      const pieces: StoredLogPiece[] = [];
      for (let place: LogPlace | null = page; place !== null && pieces.length < page.limit;) {
        const rest: LogPage = { ...page, ...place, sealed: place.sealed ?? false, limit: page.limit - pieces.length };
        const slice = sliceOf(files, filter, rest);
        pieces.push(...slice.pieces);
        place = slice.next;
      }
      return pieces;
    },
    logSlice: (filter: LogFilter, page: LogPage): LogSlice => sliceOf(files, filter, page),
    damagedFiles: () => files.brokenNames(),
    close: () => files.close(),
  };
}

/** Of the first file that may have something. Files are looked up anew each time: they come, are sealed and go. */
function sliceOf(files: FileSet, filter: LogFilter, page: LogPage): LogSlice {
  const all = files.ascending();
  const wanted = all.filter((file, index) => mayHave(file, all[index + 1], page));
  const [file, behind] = page.newestFirst === true ? wanted.toReversed() : wanted;
  if (file === undefined) return { pieces: [], next: null, receivedAt: null };
  const found = guarded(files, file, (open) => (outOfTime(open, filter) ? undefined : open.reads.logSlice(filter, page)));
  const { pieces, next, receivedAt } = found ?? { pieces: [], next: null, receivedAt: null };
  if (next !== null || behind === undefined) return { pieces, next, receivedAt };
  // Between the ids of two files: no piece has parts on both sides.
  return { pieces, receivedAt, next: page.newestFirst === true ? { beforeId: file.meta.firstId } : { afterId: behind.meta.firstId - 1 } };
}

/** By its ids alone. `next`: the file behind it. */
function mayHave({ meta }: OpenLogFile, next: OpenLogFile | undefined, { afterId, beforeId, upTo }: LogPage): boolean {
  if (beforeId !== undefined && meta.firstId >= beforeId) return false;
  if (upTo !== undefined && meta.firstId > upTo) return false;
  return afterId === undefined || next === undefined || next.meta.firstId > afterId + 1;
}

function outOfTime(file: OpenLogFile, { since = -Infinity, until = Infinity }: LogFilter): boolean {
  if (!file.meta.sealed || (since === -Infinity && until === Infinity)) return false;
  file.times ??= file.reads.times();
  return file.times === null || file.times.last < since || file.times.first > until;
}

function guarded<T>(files: FileSet, file: OpenLogFile, read: (file: OpenLogFile) => T): T | undefined {
  try {
    return read(file);
  } catch (error) {
    if (!isDamage(error)) throw error;
    files.damaged(file, error as Error);
    return undefined;
  }
}
