/** Reads of logs on connections of their own: for the main thread, and for threads that search. */
import { openForReading } from '../database.ts';
import type { LogReader } from './port.ts';
import { logReads } from './tables.ts';

/** Synchronous; sees every commit. The store must have been opened (openStore) at some time before. */
export function openLogReader(dataDir: string): LogReader {
  const db = openForReading(dataDir);
  return { ...logReads(db), close: () => void db.close() };
}
