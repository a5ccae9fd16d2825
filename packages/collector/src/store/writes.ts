/**
 * Every write there is, and the group commit: many commands, one transaction, one fsync. A command that fails is undone
 * alone; when the transaction itself fails, all of its commands do.
 */
import type { Database } from 'better-sqlite3';
import { errorMessage, type ErrorCode } from '@relight/shared/errors';
import { alertWrites } from './alert-store.ts';
import { eventWrites } from './events-store.ts';
import { hostWrites } from './hosts-store.ts';
import { incidentWrites } from './incident-store.ts';
import { logWrites } from './logs/tables.ts';
import { notificationWrites } from './notification-store.ts';
import { retentionWrites } from './retention.ts';
import { tokenWrites } from './token-store.ts';

export function createWrites(db: Database) {
  return {
    ...hostWrites(db),
    ...eventWrites(db),
    ...logWrites(db),
    ...incidentWrites(db),
    ...alertWrites(db),
    ...notificationWrites(db),
    ...tokenWrites(db),
    ...retentionWrites(db),
  };
}
export type Writes = ReturnType<typeof createWrites>;

/** A call of one of `Writes`, as data. `id` matches the answer to it. */
export interface Command<K extends keyof Writes = keyof Writes> {
  readonly id: number;
  readonly name: K;
  readonly args: Parameters<Writes[K]>;
}
export type Outcome =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly code: ErrorCode; readonly message: string };

/** Conditions of the machine, not of the row: the same command can succeed later. */
const passing = /^SQLITE_(?:FULL|IOERR|BUSY|LOCKED|NOMEM|READONLY|CANTOPEN|PROTOCOL)/;

export function commitGroup(db: Database, writes: Writes, commands: readonly Command[]): Outcome[] {
  try {
    db.exec('BEGIN IMMEDIATE');
    const outcomes = commands.map((command) => runAlone(db, writes, command));
    db.exec('COMMIT');
    return outcomes;
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK');
    return commands.map(({ id }) => failure(id, error));
  }
}

function runAlone(db: Database, writes: Writes, command: Command): Outcome {
  db.exec('SAVEPOINT command');
  try {
    const run = writes[command.name] as (...args: unknown[]) => unknown;
    const value = run(...command.args);
    db.exec('RELEASE command');
    return { id: command.id, ok: true, value };
  } catch (error) {
    // A full disk makes SQLite roll the whole transaction back by itself: then nothing of the group may be answered with ok.
    if (!db.inTransaction) throw error;
    db.exec('ROLLBACK TO command; RELEASE command');
    return failure(command.id, error);
  }
}

function failure(id: number, error: unknown): Outcome {
  const code = (error as { code?: unknown }).code;
  const passes = typeof code === 'string' && passing.test(code);
  return { id, ok: false, code: passes ? 'store-failed' : 'internal', message: errorMessage(error) };
}
