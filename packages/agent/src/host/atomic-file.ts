/** Files that are replaced as a whole: whoever reads one, after whatever crash, finds the old or the new content, never a part. */
import { closeSync, constants, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Of what a crash in the middle leaves behind. */
export const temporarySuffix = '.new';

/** Mode 0600. Holds through kill -9; after a power loss the old content may be there. Throws errno errors, with the file as it was. */
export function replaceFile(path: string, content: string | Uint8Array): void {
  replace(path, content, false);
}

/** As replaceFile; content and name are durable on return. */
export function replaceFileDurably(path: string, content: string | Uint8Array): void {
  replace(path, content, true);
  syncDirectory(dirname(path));
}

/** Makes creations, renames and removals of files in it durable. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function replace(path: string, content: string | Uint8Array, flush: boolean): void {
  const temporary = path + temporarySuffix;
  try {
    writeFileSync(temporary, content, { mode: 0o600, flush });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
