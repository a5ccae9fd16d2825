/** Commands on the collector's own machine that work on its tokens, beside the running service or without one. */
import { systemClock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import type { Database } from 'better-sqlite3';
import { statSync, type Stats } from 'node:fs';
import { userInfo } from 'node:os';
import { auditWrites } from '../store/audit-store.ts';
import { lockDataDir, openForWriting, storeFault } from '../store/database.ts';
import type { AuditEntry } from '../store/store.ts';
import { migrate, requireCurrent } from '../store/migrate.ts';
import { tokenReads, tokenWrites } from '../store/token-store.ts';

export interface TokensBeside {
  readonly reads: ReturnType<typeof tokenReads>;
  readonly writes: ReturnType<typeof tokenWrites>;
  readonly now: number;
  readonly audit: (action: string, target: string, detail?: Readonly<Record<string, unknown>>, outcome?: AuditEntry['outcome']) => void;
}

/** Brings a new or older database to the present schema first, unless a service runs: then it must be current already. */
export function withTokens<T>(dataDir: string, use: (tokens: TokensBeside) => T): T {
  becomeOwnerOf(dataDir);
  const lock = lockUnlessServed(dataDir);
  try {
    const db = openForWriting(dataDir);
    let migrated = (): void => undefined;
    try {
      const now = systemClock.now();
      if (lock === null) requireCurrent(db);
      else migrated = migrate(db, now);
      return db.transaction(() => use({ reads: tokenReads(db), writes: tokenWrites(db), now, audit: auditor(db, now) })).immediate();
    } finally {
      db.close();
      migrated();
    }
  } catch (thrown) {
    throw storeFault(dataDir, thrown);
  } finally {
    lock?.release();
  }
}

/** Of the person: it is learnt before this process becomes the owner of the directory, and is that one for good. */
let person: string | null = null;

/**
 * Root may run these for a service that has an account of its own. What root makes in its directory, above all the files that SQLite
 * puts beside the database, the service could not open.
 */
export function becomeOwnerOf(dataDir: string): void {
  person ??= process.env['SUDO_USER'] ?? userName();
  // Nobody else could become it; who may not even look at the directory is told so where it is used.
  if (process.geteuid?.() !== 0) return;
  const owner = statsOf(dataDir);
  if (owner === null || owner.uid === 0) return;
  takeGroups(owner);
  process.setgid?.(owner.gid);
  process.setuid?.(owner.uid);
}

/** Null: it is not there, or cannot be looked at, which is said where it is used. */
function statsOf(dataDir: string): Stats | null {
  try {
    return statSync(dataDir);
  } catch {
    return null;
  }
}

/** Node has it; its types do not. */
type WithGroups = NodeJS.Process & { initgroups?(user: number, extraGroup: number): void };

/** All that the account has, as the service: a key may be there for it through one of them (`ssl-cert`). */
function takeGroups({ uid, gid }: { readonly uid: number; readonly gid: number }): void {
  try {
    (process as WithGroups).initgroups?.(uid, gid);
  } catch (thrown) {
    // No account has this number here, as with a volume of a container's.
    if ((thrown as NodeJS.ErrnoException).code !== 'ERR_UNKNOWN_CREDENTIAL') throw thrown;
    process.setgroups?.([gid]);
  }
}

function auditor(db: Database, at: number): TokensBeside['audit'] {
  const writes = auditWrites(db);
  const name = person === '' ? null : person;
  return (action, target, detail = {}, outcome = 'done') =>
    writes.appendAudit({ at, action, outcome, target, actor: 'local', name, role: 'admin', address: null, detail });
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // An account without a line in /etc/passwd, as in a container.
    return String(process.getuid?.() ?? '');
  }
}

function lockUnlessServed(dataDir: string): { release(): void } | null {
  try {
    return lockDataDir(dataDir, 0);
  } catch (error) {
    if (error instanceof RelightError && error.code === 'already-running') return null;
    throw error;
  }
}
