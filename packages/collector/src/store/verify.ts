/** Reads through everything that is stored, beside a running service or without one. */
import SqliteDatabase from 'better-sqlite3';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { databasePath } from './database.ts';
import { checkLogFile, type FileCheck } from './logs/check.ts';
import { listLogFiles, logDirectory } from './logs/file-names.ts';
import { openLogFileForReading } from './logs/log-file.ts';
import { isDamage, lastIdIn, readMeta } from './logs/schema.ts';

export interface VerifiedFile extends FileCheck {
  /** Below the data directory. */
  readonly file: string;
}

/** One at a time, as they are read. A file that goes meanwhile is left out. */
export function* verifyStore(dataDir: string): Generator<VerifiedFile> {
  yield { file: basename(databasePath(dataDir)), pieces: 0, lines: 0, problems: checkDatabase(databasePath(dataDir)) };
  const inOrder = listLogFiles(logDirectory(dataDir))
    .map(({ path, name }) => ({ path, name, ids: idsOf(path) }))
    .toSorted((a, b) => a.ids.first - b.ids.first);
  let before = 0;
  for (const { path, name, ids } of inOrder) {
    if (!existsSync(path)) continue;
    const found = checkLogFile(path, { unpack: true });
    const overlap = ids.first <= before ? [`its ids begin at ${ids.first}, those of another file go up to ${before}`] : [];
    yield { file: `logs/${name}`, ...found, problems: [...overlap, ...found.problems] };
    before = Math.max(before, ids.last);
  }
}

function idsOf(path: string): { readonly first: number; readonly last: number } {
  try {
    const db = openLogFileForReading(path);
    try {
      const meta = readMeta(db);
      return { first: meta.firstId, last: lastIdIn(db, meta) };
    } finally {
      db.close();
    }
  } catch (error) {
    // Its own check says what is wrong with it; ids it has none.
    if (isDamage(error) || !existsSync(path)) return { first: Infinity, last: 0 };
    throw error;
  }
}

function checkDatabase(path: string): string[] {
  try {
    const db = new SqliteDatabase(path, { readonly: true, fileMustExist: true, timeout: 10_000 });
    try {
      const rows = db.pragma('integrity_check(20)') as { integrity_check: string }[];
      return rows.map(({ integrity_check }) => integrity_check).filter((text) => text !== 'ok');
    } finally {
      db.close();
    }
  } catch (error) {
    // Whatever SQLite says of it, as of a directory in its place.
    if (!(error instanceof SqliteDatabase.SqliteError)) throw error;
    return [error.message];
  }
}
