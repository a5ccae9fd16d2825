/** The copy of the database that is made before an upgrade changes its schema: it is whole and on disk, or there is no upgrade. */
import type { Database } from 'better-sqlite3';
import { closeSync, fsyncSync, openSync, readSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorMessage, RelightError } from '@relight/shared/errors';
import { formatBytes } from '@relight/shared/units';

/** Gives back what must be called when no connection of this process has `from` open any more. */
type CopyFile = (from: string, to: string) => () => void;

const chunkBytes = 1024 ** 2;

/**
 * To close any descriptor of a file drops all locks that this process has on it, those of SQLite among them
 * (https://www.sqlite.org/howtocorrupt.html, 2.2): whoever else opens the database then may change it under the copy.
 */
const copyKeepingLocks: CopyFile = (from, to) => {
  const source = openSync(from, 'r');
  try {
    const target = openSync(to, 'w', 0o600);
    try {
      const chunk = Buffer.allocUnsafe(chunkBytes);
      for (let at = 0, read = -1; read !== 0; at += read) {
        read = readSync(source, chunk, 0, chunkBytes, at);
        writeFileSync(target, chunk.subarray(0, read));
      }
    } finally {
      closeSync(target);
    }
  } catch (error) {
    // Nothing is changed now, and the connection ends.
    closeSync(source);
    throw error;
  }
  return () => closeSync(source);
};

/** Before schema `version`. */
export const copyPath = (file: string, version: number): string => `${file}.before-${version}`;

/**
 * Copies the database to `copyPath`; one that an earlier upgrade has left there is replaced when the new one is complete.
 * @returns what must be called when `db` is closed.
 * @throws RelightError `store-failed`, with the database as it was and no part of a copy left.
 */
export function copyBeforeMigration(db: Database, present: number, version: number, copyFile: CopyFile = copyKeepingLocks): () => void {
  const copy = copyPath(db.name, version);
  const unfinished = `${copy}.unfinished`;
  try {
    // Everything must be in the main file before it is copied. Somebody who still reads from the write-ahead log keeps it there.
    const [checkpoint] = db.pragma('wal_checkpoint(TRUNCATE)') as readonly { readonly busy: number }[];
    if (checkpoint?.busy !== 0) throw new Error('another program reads it; is a backup being made?');
    const release = copyFile(db.name, unfinished);
    sync(unfinished);
    renameSync(unfinished, copy);
    sync(dirname(copy));
    return release;
  } catch (cause) {
    rmSync(unfinished, { force: true });
    const what = `${db.name} is not brought from schema ${present} to ${version}, because it cannot be copied beforehand`;
    const full = (cause as NodeJS.ErrnoException).code === 'ENOSPC';
    const neededBytes = statSync(db.name).size;
    throw new RelightError('store-failed', `${what}: ${errorMessage(cause)}`, {
      cause,
      advice: `Nothing was changed: the version before still works with it. ${
        full
          ? `Make at least ${formatBytes(neededBytes)} free on the disk of ${dirname(db.name)}, as much as the copy takes`
          : 'Put right what is in the way'
      }, and start the collector again.`,
      data: full ? { neededBytes } : {},
    });
  }
}

function sync(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
