/** How every connection to the collector's database is opened. */
import SqliteDatabase, { type Database } from 'better-sqlite3';
import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RelightError, errorMessage } from '@relight/shared/errors';
import { adviceUnderUnit } from '../service-unit.ts';

export const databasePath = (dataDir: string): string => join(dataDir, 'relight.db');

/** A command-line tool may hold the write lock for a moment; a group commit never takes this long. */
const busyTimeoutMs = 10_000;

const forbidden = (cause: unknown): boolean => ['EACCES', 'EPERM'].includes(String((cause as NodeJS.ErrnoException).code));
const asRoot = 'Run this command as root: sudo relight-collector …';

/** To somebody whom nobody lets in, a directory looks like one that holds nothing. Fails with config-unreadable. */
export function mustBeEnterable(dataDir: string): void {
  try {
    // Of a file it says that it is no program, to root, too.
    if (statSync(dataDir).isDirectory()) accessSync(dataDir, constants.X_OK);
  } catch (cause) {
    if (!forbidden(cause)) return;
    throw new RelightError('config-unreadable', `the data directory ${dataDir} cannot be read: permission denied`, {
      cause,
      advice: asRoot,
    });
  }
}

/** SQLite says of it "unable to open database file", as of everything: a copy that root has put there, above all. */
function mustBeOurs(dataDir: string, path: string): void {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (cause) {
    if (!forbidden(cause)) return;
    throw new RelightError('config-unreadable', `${path} cannot be opened: permission denied`, {
      cause,
      advice: `All of ${dataDir} has to belong to the account of the service. As root: chown -R --reference=${dataDir} ${dataDir}`,
    });
  }
}

/** For writing. FULL: what was committed survives a power loss, not only kill -9. */
export function openForWriting(dataDir: string): Database {
  const path = databasePath(dataDir);
  let db: Database | undefined;
  try {
    // It holds all that is stored: for this user alone. SQLite gives the files beside it the same mode. Never one that is there: to close any
    // descriptor of a file drops all locks that this process has on it, also those of other connections.
    if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600));
    mustBeOurs(dataDir, path);
    db = new SqliteDatabase(path, { timeout: busyTimeoutMs });
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('foreign_keys = ON');
    return db;
  } catch (cause) {
    db?.close();
    throw storeFault(dataDir, cause);
  }
}

export function openForReading(dataDir: string): Database {
  const db = new SqliteDatabase(databasePath(dataDir), { readonly: true, fileMustExist: true, timeout: busyTimeoutMs });
  db.pragma('query_only = ON');
  return db;
}

/** A token command holds the lock for a moment where no service does; a starting service outwaits it. */
const lockWaitMs = 1_000;

/**
 * Creates the directory where it is missing and takes the lock that only one service may hold. The lock is SQLite's own
 * (fcntl) on a file beside the database: the kernel drops it however the process ends.
 * @throws RelightError `config-unreadable` (not usable), `store-failed` (its disk is full) or `already-running`.
 */
export function lockDataDir(dataDir: string, waitMs = lockWaitMs): { release(): void } {
  mustBeEnterable(dataDir);
  try {
    makeDirectory(dataDir);
  } catch (cause) {
    throw unusable(dataDir, cause);
  }
  let lock: Database | undefined;
  try {
    lock = new SqliteDatabase(join(dataDir, 'service.lock'), { timeout: waitMs });
    lock.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    lock?.close();
    if ((cause as { code?: unknown }).code === 'SQLITE_BUSY') {
      throw new RelightError('already-running', `another collector uses the data directory ${dataDir}`, {
        cause,
        advice: 'Stop the other one or give --data-dir.',
      });
    }
    throw unusable(dataDir, cause);
  }
  const held = lock;
  return { release: () => void held.close() };
}

/** 0700. Not mkdirSync's own `recursive`: that one spins for ever where a file system says ENOENT to any mkdir, as /proc does. */
export function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeDirectory(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}

/** What the system or SQLite has refused; anything else is as it was thrown. Their own words name no place, or one that says nothing to a person. */
export function storeFault(dataDir: string, thrown: unknown): unknown {
  const isTheirs = thrown instanceof SqliteDatabase.SqliteError || (thrown instanceof Error && 'syscall' in thrown);
  return isTheirs ? unusable(dataDir, thrown) : thrown;
}

/** Of the disk or of what is on it; of anything else it is the wrong directory. */
const diskAdvice: readonly (readonly [RegExp, string])[] = [
  [/^(?:SQLITE_FULL|ENOSPC|EDQUOT)/, 'Make room on its disk.'],
  [
    /^SQLITE_(?:CORRUPT|NOTADB)/,
    'relight-collector verify says what is damaged, "Restore" in docs/operations.md how to go on from a backup.',
  ],
  [/^SQLITE_BUSY/, 'Something else holds a lock on its database: try again, or find out what it is.'],
  [/^(?:SQLITE_IOERR|SQLITE_READONLY|EIO|EROFS)/, 'Look at its disk (dmesg, mount).'],
];

function unusable(dataDir: string, cause: unknown): RelightError {
  const code = String((cause as { code?: unknown }).code);
  const onDisk = diskAdvice.find(([codes]) => codes.test(code))?.[1];
  // What a unit has closed looks like a disk that takes nothing, or like a directory of somebody else.
  const closed = onDisk === undefined || /^(?:EROFS|SQLITE_READONLY)/.test(code) ? adviceUnderUnit(dataDir, process.env) : null;
  const advice = onDisk === undefined || closed === null ? onDisk : `${closed} Else: ${onDisk}`;
  const message = `the data directory ${dataDir} cannot be used: ${errorMessage(cause)}`;
  return advice === undefined
    ? new RelightError('config-unreadable', message, {
        cause,
        advice: closed ?? 'Give a directory that this user may write to: --data-dir.',
      })
    : new RelightError('store-failed', message, { cause, advice });
}
