/**
 * A directory in memory where the machine has room for one, for trials that make hundreds of files, each safely on disk: what they ask
 * has nothing to do with the disk, and on a busy one they would wait minutes for it.
 */
import { accessSync, constants, mkdtempSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const inMemory = '/dev/shm';
/** That of a container is often of 64 MiB. */
const roomMin = 32 << 20;

/** A new one; whoever asks for it removes it. */
export function quickDirectory(prefix: string): string {
  return mkdtempSync(join(hasRoom() ? inMemory : tmpdir(), prefix));
}

function hasRoom(): boolean {
  try {
    accessSync(inMemory, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = statfsSync(inMemory);
    return bavail * bsize >= roomMin;
  } catch {
    return false;
  }
}
