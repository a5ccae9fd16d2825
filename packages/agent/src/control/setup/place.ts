/** Where the configuration goes: looked at before anybody is asked, written whole or not at all, never over what is there. */
import { accessSync, constants, linkSync, mkdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { configBytesMax, readBoundedSync } from '@relight/shared/bounded-read';
import { errorMessage, RelightError } from '@relight/shared/errors';
import { replaceFileDurably, syncDirectory, temporarySuffix } from '../../host/atomic-file.ts';

/** Fails with usage where this user could not write the file. Makes nothing. */
export function mustBeWritable(file: string): void {
  let directory = dirname(resolve(file));
  try {
    for (;;) {
      const found = statSync(directory, { throwIfNoEntry: false });
      if (found?.isDirectory() === true) break;
      if (found !== undefined || directory === '/') throw new Error(`${directory} is no directory`);
      directory = dirname(directory);
    }
    accessSync(directory, constants.W_OK);
  } catch (thrown) {
    throw unwritable(file, thrown);
  }
}

/** Mode 0600: what was imported may hold secrets. Fails with usage when there is one meanwhile, or it cannot be written. */
export function writeNew(file: string, text: string): void {
  const path = resolve(file);
  try {
    mkdirSync(dirname(path), { recursive: true });
    putNew(path, text);
  } catch (thrown) {
    throw unwritable(file, thrown);
  }
}

/** Throws errno errors: EEXIST where there is a file. */
function putNew(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.${process.pid}${temporarySuffix}`;
  try {
    writeFileSync(temporary, content, { mode: 0o600, flush: true });
    // Unlike a rename it fails where there is a file.
    linkSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
  syncDirectory(dirname(path));
}

/** Null: there is none. Fails with usage where this user cannot read it. */
export function readOld(file: string): string | null {
  try {
    return namedIfThere(file)?.toString('utf8') ?? null;
  } catch (thrown) {
    throw unwritable(file, thrown);
  }
}

/**
 * Keeps what was there as FILE.bak, mode 0600, whose path it returns; null when there was nothing. A backup that is there stays: the next
 * one is FILE.bak.2. A link stays one. Fails with usage.
 */
export function writeOver(file: string, text: string): string | null {
  try {
    const before = namedIfThere(file);
    if (before === null) {
      writeNew(file, text);
      return null;
    }
    const path = realpathSync(file);
    const backup = putBackup(path, before);
    replaceFileDurably(path, text);
    return backup;
  } catch (thrown) {
    throw unwritable(file, thrown);
  }
}

function namedIfThere(file: string): Buffer | null {
  try {
    return readBoundedSync(file, configBytesMax);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw thrown;
  }
}

function putBackup(path: string, before: Uint8Array): string {
  for (let number = 1; ; number++) {
    const backup = `${path}.bak${number === 1 ? '' : `.${number}`}`;
    try {
      putNew(backup, before);
      return backup;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
    }
  }
}

function unwritable(file: string, thrown: unknown): RelightError {
  if (thrown instanceof RelightError) return thrown;
  const code = (thrown as NodeJS.ErrnoException).code;
  if (code === 'EEXIST') {
    return new RelightError('usage', `${file} has come meanwhile, and is left as it is`, { advice: 'Look at it. To replace it: --force.' });
  }
  const advice = code === 'EACCES' || code === 'EPERM' ? 'Do it as root: sudo relight-agent setup …' : 'Give another place: --config FILE.';
  return new RelightError('usage', `${file} cannot be written: ${code === 'EACCES' ? 'permission denied' : errorMessage(thrown)}`, {
    cause: thrown,
    advice,
  });
}
