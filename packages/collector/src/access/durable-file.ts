/** Small files that a collector cannot be without: whole, and on the disk, when the call returns. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** In the place of what is there. What fails leaves that as it was. */
export function writeDurably(file: string, text: string, mode: number): void {
  const fresh = `${file}.new`;
  try {
    writeFileSync(fresh, text, { mode, flush: true });
    renameSync(fresh, file);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
  syncDirectory(dirname(file));
}

/** Names that were made in it are there after a power loss, too. */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
