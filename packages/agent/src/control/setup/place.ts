/** Where the configuration goes: looked at before anybody is asked, written whole or not at all, never over what is there. */
import { accessSync, constants, linkSync, mkdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errorMessage, RelightError } from '@relight/shared/errors';
import { readIfThere, replaceFileDurably, syncDirectory, temporarySuffix } from '../../host/atomic-file.ts';

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
  const temporary = `${path}.${process.pid}${temporarySuffix}`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(temporary, text, { mode: 0o600, flush: true });
    // Unlike a rename it fails where there is a file.
    linkSync(temporary, path);
  } catch (thrown) {
    throw unwritable(file, thrown);
  } finally {
    rmSync(temporary, { force: true });
  }
  syncDirectory(dirname(path));
}

/** Keeps what was there as FILE.bak, mode 0600, whose path it returns; null when there was nothing. A link stays one. Fails with usage. */
export function writeOver(file: string, text: string): string | null {
  try {
    const before = readIfThere(file);
    if (before === null) {
      writeNew(file, text);
      return null;
    }
    const path = realpathSync(file);
    const backup = `${path}.bak`;
    replaceFileDurably(backup, before);
    replaceFileDurably(path, text);
    return backup;
  } catch (thrown) {
    throw unwritable(file, thrown);
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
