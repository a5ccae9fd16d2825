/** A store that cannot be opened because its disk has no room left. SQLite calls that a disk I/O error: its shared memory cannot grow. */
import { RelightError, toRelightError } from '@relight/shared/errors';
import { formatBytes } from '@relight/shared/units';
import { statfsSync } from 'node:fs';

/** Shared memory, a few pages of a write-ahead log, and the database of a new day. */
const neededBytes = 4 * 1024 ** 2;

/** The error itself, unless the disk of the data directory is what it failed of. */
export function explainFullDisk(thrown: unknown, dataDir: string, freeBytes: (path: string) => number = freeBytesOf): RelightError {
  const error = toRelightError(thrown, 'store-failed');
  // It knows better how much it needs.
  if (error.code !== 'store-failed' || error.data['neededBytes'] !== undefined) return error;
  const free = freeBytes(dataDir);
  if (free >= neededBytes) return error;
  return new RelightError('store-failed', `the disk of ${dataDir} is full: ${formatBytes(free)} are free (${error.message})`, {
    cause: error,
    advice:
      `Make at least ${formatBytes(neededBytes)} free on it and start the collector again: agents keep what they have meanwhile. The oldest files of ` +
      `${dataDir}/logs may go as well; then lower retention.logs_bytes.`,
  });
}

function freeBytesOf(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    // It fails of something else.
    return Infinity;
  }
}
