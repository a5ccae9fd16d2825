/**
 * Forward-only schema migrations. The table `migrations` holds one row for each that has run; a database that knows more
 * migrations than this program is refused, because an older program cannot know what its rows mean.
 */
import type { Database } from 'better-sqlite3';
import { existsSync } from 'node:fs';
import { errorMessage, RelightError } from '@relight/shared/errors';
import { initial } from './migrations/0001-initial.ts';
import { incidents } from './migrations/0002-incidents.ts';
import { logFiles } from './migrations/0003-log-files.ts';
import { access } from './migrations/0004-access.ts';
import { copyBeforeMigration, copyPath } from './migration-copy.ts';

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
 * Call only while this process alone writes to it (data-dir.ts). Each migration is one transaction: killed or failing in the middle,
 * the database is as before that one, and the next start goes on from there.
 * @returns what must be called when `db` is closed.
 * @throws RelightError `store-failed` when the database is newer than the program, cannot be copied, or cannot be changed.
 */
export function migrate(db: Database, now: number, steps: readonly Migration[] = migrations): () => void {
  const present = schemaVersion(db);
  refuseNewer(db, present, steps);
  const missing = steps.filter((step) => step.version > present);
  const [next] = missing;
  if (next === undefined) return () => undefined;
  const release = present > 0 ? copyBeforeMigration(db, present, next.version) : () => undefined;
  db.exec('CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT');
  const record = db.prepare('INSERT INTO migrations (version, at) VALUES (?, ?)');
  for (const step of missing) {
    try {
      step.prepare?.(db, now);
      db.transaction(() => {
        db.exec(step.sql);
        record.run(step.version, now);
      }).immediate();
    } catch (cause) {
      throw new RelightError('store-failed', `${db.name} cannot be brought to schema ${step.version}: ${errorMessage(cause)}`, {
        cause,
        advice: 'Nothing of that step was changed: put right what is in the way, such as a full disk, and start the collector again.',
      });
    }
  }
  return release;
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
    advice: `Install the newer version that wrote it. Or go back to what was there before the upgrade: ${wayBack(db.name, newest, present)}`,
  });
}

/** An upgrade over several schemas has made one copy, before the first of them. */
function wayBack(file: string, newest: number, present: number): string {
  for (let version = newest + 1; version <= present; version += 1) {
    const copy = copyPath(file, version);
    if (existsSync(copy))
      return `stop the collector, remove ${file}-wal and ${file}-shm, put ${copy} in the place of ${file}, start; what came since is lost.`;
  }
  return `there is no copy beside it (${copyPath(file, newest + 1)}), so restore a backup (relight-collector backup).`;
}
