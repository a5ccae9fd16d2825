/** Temporary directories that say whose they are: what a run that was killed has left goes with the next one. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorMessage } from '@relight/shared/errors';
import { unmountBelow } from './mounts.ts';
import { startTicks } from './processes.ts';

/** A new one below the temporary directory, of this process. */
export function ownedDirectory(prefix: string): string {
  const directory = mkdtempSync(join(tmpdir(), prefix));
  own(directory);
  return directory;
}

export function own(directory: string): void {
  writeFileSync(join(directory, 'owner'), ownerText());
}

/** This process, told from a later one with the same number. */
export const ownerText = (): string => `${process.pid} ${startTicks(process.pid) ?? 0}`;

/** `text` names an owner, and that one is gone: killed, or another process has its number now. */
export function isGone(text: string): boolean {
  const [pid = 0, ticks = 0] = text.split(' ').map(Number);
  return pid > 0 && startTicks(pid) !== ticks;
}

/** One without an owner may be anybody's. */
function isAbandoned(directory: string): boolean {
  try {
    return isGone(readFileSync(join(directory, 'owner'), 'utf8'));
  } catch {
    return false;
  }
}

export function abandonedDirectories(prefix: string): readonly string[] {
  const directories = readdirSync(tmpdir()).filter((name) => name.startsWith(prefix));
  return directories.map((name) => join(tmpdir(), name)).filter(isAbandoned);
}

/** With what is mounted below them. Never fails: one that stays, or that another run removes at this moment, is in nobody's way. */
export function removeAbandonedDirectories(prefix: string): void {
  for (const directory of abandonedDirectories(prefix)) {
    try {
      unmountBelow(directory);
      rmSync(directory, { recursive: true, force: true });
    } catch (error) {
      console.error(`${directory} of an earlier run could not be removed: ${errorMessage(error)}`);
    }
  }
}
