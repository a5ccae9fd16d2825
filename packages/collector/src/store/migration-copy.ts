/** The copy of the database that is made before an upgrade changes its schema: it is whole and on disk, or there is no upgrade. */
import type { Database } from 'better-sqlite3';
import { closeSync, constants, copyFileSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorMessage, RelightError } from '@relight/shared/errors';
import { formatBytes } from '@relight/shared/units';

/** Before schema `version`. */
export const copyPath = (file: string, version: number): string => `${file}.before-${version}`;

/**
 * Copies the database to `copyPath`; one that an earlier upgrade has left there is replaced when the new one is complete.
 * @throws RelightError `store-failed`, with the database as it was and no part of a copy left.
 */
export function copyBeforeMigration(db: Database, present: number, version: number, copyFile: typeof copyFileSync = copyFileSync): void {
  const copy = copyPath(db.name, version);
  const unfinished = `${copy}.unfinished`;
  try {
    // Everything must be in the main file before it is copied. Somebody who still reads from the write-ahead log keeps it there.
    const [checkpoint] = db.pragma('wal_checkpoint(TRUNCATE)') as readonly { readonly busy: number }[];
    if (checkpoint?.busy !== 0) throw new Error('another program reads it; is a backup being made?');
    copyFile(db.name, unfinished, constants.COPYFILE_FICLONE);
    sync(unfinished);
    renameSync(unfinished, copy);
    sync(dirname(copy));
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
