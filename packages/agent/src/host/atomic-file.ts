/** Files that are replaced as a whole: whoever reads one, after whatever crash, finds the old or the new content, never a part. */
import { closeSync, constants, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Of what a crash in the middle leaves behind. */
export const temporarySuffix = '.new';

/** Mode 0600. Holds through kill -9; after a power loss the old content may be there. Throws errno errors, with the file as it was. */
export function replaceFile(path: string, content: string | Uint8Array): void {
  replace(path, content, false);
}

/**
 * As replaceFile, for files that are written many times during a recovery: ext4 sends the content of a file that is renamed over
 * another one to the disk at once, which takes milliseconds while the disk is busy; here the old one goes first. For a moment
 * only the new one is there, under its temporary name: such files are read by readSwapped.
 */
export function swapFile(path: string, content: string | Uint8Array): void {
  const temporary = path + temporarySuffix;
  try {
    writeFileSync(temporary, content, { mode: 0o600 });
    rmSync(path, { force: true });
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  renameSync(temporary, path);
}

/** The newest whole content that `swapFile` has left, also in the middle of a swap; null when there is none. Throws errno errors. */
export function readSwapped(path: string): Buffer | null {
  // A temporary file beside a missing one is whole: the old one goes only after it was written. The third look is for a swap that ended meanwhile.
  return readIfThere(path) ?? readIfThere(path + temporarySuffix) ?? readIfThere(path);
}

/** Null when there is none. Throws other errno errors. */
export function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** What `parse` makes of a document read from `path`. Null when it throws: then the file is set aside for a person, not trusted. */
export function parsedOrSetAside<T>(path: string, text: Buffer, parse: (text: string) => T): T | null {
  try {
    return parse(text.toString('utf8'));
  } catch {
    renameSync(existsSync(path) ? path : path + temporarySuffix, `${path}.unreadable`);
    return null;
  }
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
