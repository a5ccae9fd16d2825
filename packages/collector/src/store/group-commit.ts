/**
 * The group commit: many commands, one transaction, one fsync. A command that fails is undone alone; when the transaction
 * itself fails, all of its commands do.
 */
import type { Database } from 'better-sqlite3';
import { errorMessage, type ErrorCode } from '@relight/shared/errors';

// oxlint-disable-next-line typescript/no-explicit-any
type Calls = Readonly<Record<string, (...args: any[]) => unknown>>;

/** A call of one of `W`, as data. `id` matches the answer to it. */
export type Command<W> = {
  readonly [K in keyof W]: W[K] extends (...args: infer Args) => unknown
    ? { readonly id: number; readonly name: K; readonly args: Args }
    : never;
}[keyof W];
export type Outcome =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly code: ErrorCode; readonly message: string };

/** Conditions of the machine, not of the row: the same command can succeed later. */
const passing = /^SQLITE_(?:FULL|IOERR|BUSY|LOCKED|NOMEM|READONLY|CANTOPEN|PROTOCOL)/;

/** @throws what `mustThrow` says, with nothing committed; every other error is an answer. */
export function commitGroup<W extends object>(
  db: Database,
  writes: W,
  commands: readonly Command<W>[],
  mustThrow: (error: unknown) => boolean = () => false,
): Outcome[] {
  try {
    db.exec('BEGIN IMMEDIATE');
    const outcomes = commands.map((command) => runAlone(db, writes, command, mustThrow));
    db.exec('COMMIT');
    return outcomes;
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK');
    if (mustThrow(error)) throw error;
    return failAll(commands, error);
  }
}

export const failAll = (commands: readonly { readonly id: number }[], error: unknown): Outcome[] =>
  commands.map(({ id }) => failure(id, error));

function runAlone<W extends object>(db: Database, writes: W, command: Command<W>, mustThrow: (error: unknown) => boolean): Outcome {
  db.exec('SAVEPOINT command');
  try {
    const value = (writes as unknown as Calls)[command.name as string]?.(...command.args);
    db.exec('RELEASE command');
    return { id: command.id, ok: true, value };
  } catch (error) {
    // A full disk makes SQLite roll the whole transaction back by itself: then nothing of the group may be answered with ok.
    if (!db.inTransaction || mustThrow(error)) throw error;
    db.exec('ROLLBACK TO command; RELEASE command');
    return failure(command.id, error);
  }
}

export function failure(id: number, error: unknown): Outcome {
  const code = (error as { code?: unknown }).code;
  const passes = typeof code === 'string' && passing.test(code);
  return { id, ok: false, code: passes ? 'store-failed' : 'internal', message: errorMessage(error) };
}
