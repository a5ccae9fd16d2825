/** Opening, making and setting aside of log files. A file has its name when it is whole and on disk, not before. */
import SqliteDatabase, { type Database } from 'better-sqlite3';
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { logSchema, writeMeta, type LogFileMeta } from './schema.ts';

const busyTimeoutMs = 10_000;
/** A body takes ten pages less than with SQLite's own 4 KiB, and a small commit is still small. */
const pageBytes = 8_192;

export interface Mark {
  readonly agent_id: string;
  readonly workload: string;
  readonly generation: number;
  readonly source: string;
  readonly run: string;
  readonly committed: number;
  readonly updated_at: number;
}

/** For writing. FULL: what was committed survives a power loss. Checkpoints are made by checkpoints.ts, never by a commit. */
export function openLogFile(path: string): Database {
  const db = new SqliteDatabase(path, { fileMustExist: true, timeout: busyTimeoutMs });
  try {
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('wal_autocheckpoint = 0');
    db.pragma('cache_size = -16384');
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

export function openLogFileForReading(path: string): Database {
  const db = new SqliteDatabase(path, { readonly: true, fileMustExist: true, timeout: busyTimeoutMs });
  db.pragma('query_only = ON');
  // Every reader has every file open: with the 16 MB that each may take otherwise, one search over a hundred files keeps 1.6 GB.
  db.pragma('cache_size = -1024');
  return db;
}

/** An empty file with the marks in it, not in its place yet: `placeLogFile` does that. A leftover of a crash is replaced. */
export function makeLogFile(path: string, meta: LogFileMeta, marks: Iterable<Mark>): Database {
  rmSync(path, { force: true });
  rmSync(`${path}-journal`, { force: true });
  // For this user alone; SQLite gives the files beside it the same mode.
  closeSync(openSync(path, 'a', 0o600));
  const db = new SqliteDatabase(path);
  try {
    db.pragma(`page_size = ${pageBytes}`);
    db.pragma('synchronous = FULL');
    db.transaction(() => {
      db.exec(logSchema);
      writeMeta(db, meta);
      putMarks(db, marks);
    }).immediate();
    return db;
  } catch (error) {
    // A full disk: it is tried again with every commit.
    db.close();
    rmSync(path, { force: true });
    throw error;
  }
}

export function putMarks(db: Database, marks: Iterable<Mark>): void {
  const put = db.prepare(
    `INSERT OR REPLACE INTO marks (agent_id, workload, generation, source, run, committed, updated_at)
     VALUES (@agent_id, @workload, @generation, @source, @run, @committed, @updated_at)`,
  );
  for (const mark of marks) put.run(mark);
}

export const marksOf = (db: Database): IterableIterator<Mark> => db.prepare<[], Mark>('SELECT * FROM marks').iterate();

/** From now on, also after a power loss, it is there under its name. */
export function placeLogFile(from: string, to: string): void {
  syncPath(from);
  renameSync(from, to);
  syncPath(dirname(to));
}

function syncPath(path: string): void {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  closeSync(fd);
}

const besides = ['-wal', '-shm', '-journal'];

/** Whoever has it open keeps what is in it. */
export function removeLogFile(path: string): void {
  rmSync(path, { force: true });
  for (const suffix of besides) rmSync(`${path}${suffix}`, { force: true });
}

/** Sets a damaged file aside under `FILE.damaged`, with what SQLite has beside it, for whoever wants to look at it. */
export function setAside(path: string): string {
  const aside = `${path}.damaged`;
  for (const suffix of besides) if (existsSync(`${path}${suffix}`)) renameSync(`${path}${suffix}`, `${aside}${suffix}`);
  renameSync(path, aside);
  syncPath(dirname(path));
  return aside;
}
