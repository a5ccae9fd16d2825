/** Reads over all log files, on connections of their own: for the main thread, and for threads that search. */
import type { SegmentKey } from '@relight/shared/log-stream';
import type { LogFilter, StoredLogPiece } from '../store.ts';
import { logDirectory } from './file-names.ts';
import { FileSet, type OpenLogFile } from './file-set.ts';
import type { LogPage, LogReader } from './port.ts';
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
      const all = files.ascending();
      const pieces: StoredLogPiece[] = [];
      const wanted = all.filter((file, index) => mayHave(file, all[index + 1], page));
      for (const file of page.newestFirst === true ? wanted.toReversed() : wanted) {
        const limit = page.limit - pieces.length;
        if (limit <= 0) break;
        const found = guarded(files, file, (open) => (outOfTime(open, filter) ? [] : open.reads.logPieces(filter, { ...page, limit })));
        pieces.push(...(found ?? []));
      }
      return pieces;
    },
    damagedFiles: () => files.brokenNames(),
    close: () => files.close(),
  };
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
