/**
 * Forward-only schema migrations. The table `migrations` holds one row for each that has run; a database that knows more
 * migrations than this program is refused, because an older program cannot know what its rows mean.
 */
import type { Database } from 'better-sqlite3';
import { copyFileSync, constants } from 'node:fs';
import { RelightError } from '@relight/shared/errors';
import { initial } from './migrations/0001-initial.ts';
import { incidents } from './migrations/0002-incidents.ts';
import { logFiles } from './migrations/0003-log-files.ts';
import { access } from './migrations/0004-access.ts';

export interface Migration {
  /** 1, 2, 3 … without holes. */
  readonly version: number;
  readonly sql: string;
  /** Before `sql`, outside of its transaction: it may be interrupted and is done again then. */
  readonly prepare?: (db: Database, now: number) => void;
}

export const migrations: readonly Migration[] = [initial, incidents, logFiles, access];

/** The version of the schema, 0 for an empty database. */
export function schemaVersion(db: Database): number {
  const known = db.prepare(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'`).get();
  if (known === undefined) return 0;
  return db.prepare<[], { version: number | null }>('SELECT max(version) AS version FROM migrations').get()?.version ?? 0;
}

/**
 * Brings `db` to the newest schema. A database that holds something is copied to `FILE.before-VERSION` beforehand.
 * Call only while this process alone writes to it (data-dir.ts). Each migration is one transaction.
 * @throws RelightError `store-failed` when the database is newer than the program.
 */
export function migrate(db: Database, now: number, steps: readonly Migration[] = migrations): void {
  const present = schemaVersion(db);
  refuseNewer(db, present, steps);
  const missing = steps.filter((step) => step.version > present);
  if (missing.length === 0) return;
  if (present > 0) {
    // Everything must be in the main file before it is copied.
    db.pragma('wal_checkpoint(TRUNCATE)');
    copyFileSync(db.name, `${db.name}.before-${missing[0]?.version}`, constants.COPYFILE_FICLONE);
  }
  db.exec('CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT');
  const record = db.prepare('INSERT INTO migrations (version, at) VALUES (?, ?)');
  for (const step of missing) {
    step.prepare?.(db, now);
    db.transaction(() => {
      db.exec(step.sql);
      record.run(step.version, now);
    }).immediate();
  }
}

/** @throws RelightError `store-failed` unless the schema is exactly the one this program knows. */
export function requireCurrent(db: Database, steps: readonly Migration[] = migrations): void {
  const present = schemaVersion(db);
  refuseNewer(db, present, steps);
  if (present < (steps.at(-1)?.version ?? 0)) {
    throw new RelightError('store-failed', `${db.name} has schema ${present}, older than this program, and its service is running`, {
      advice: 'Restart the service with this version first.',
    });
  }
}

function refuseNewer(db: Database, present: number, steps: readonly Migration[]): void {
  const newest = steps.at(-1)?.version ?? 0;
  if (present <= newest) return;
  throw new RelightError('store-failed', `${db.name} has schema ${present}; this program knows only up to ${newest}`, {
    recoverable: false,
    advice: 'Use the newer program that wrote it, or restore the copy made before the upgrade.',
  });
}
