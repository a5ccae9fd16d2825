/**
 * The write-ahead logs, kept short. The maintenance thread copies them into their files while commits go on (PASSIVE waits for
 * nobody), so a log usually begins again from its start by itself. Where readers or a flood of writes prevent that, the
 * writer itself waits a moment for readers before its log exceeds the limit.
 */
import type { Database } from 'better-sqlite3';
import { statSync } from 'node:fs';

/** Together with one more group it stays below 64 MiB. */
const walBytesHigh = 44 * 1024 * 1024;
/** Below this a checkpoint is not worth its fsync. */
const walBytesLow = 2 * 1024 * 1024;
/** A reader holds its place for one query. */
const readersWaitMs = 200;

export const walBytes = (path: string): number => statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;

/** In the writing thread, between two groups. */
export function boundWal(db: Database, busyTimeoutMs = 10_000): void {
  if (walBytes(db.name) <= walBytesHigh) return;
  db.pragma(`busy_timeout = ${readersWaitMs}`);
  try {
    db.pragma('wal_checkpoint(TRUNCATE)');
  } catch {
    // A full or failing disk: commits meet the same trouble, and answer for it. The thread must not die of it.
  } finally {
    db.pragma(`busy_timeout = ${busyTimeoutMs}`);
  }
}

/** In the maintenance thread. True: something was copied. */
export function checkpointBeside(db: Database): boolean {
  if (walBytes(db.name) < walBytesLow) return false;
  db.pragma('wal_checkpoint(PASSIVE)');
  return true;
}
