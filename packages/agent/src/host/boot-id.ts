import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from './atomic-file.ts';

/** The kernel's id of the present boot: a new one after every reboot, the same after every restart of the agent. */
export function readBootId(procRoot = '/proc'): string {
  return readFileSync(`${procRoot}/sys/kernel/random/boot_id`, 'utf8').trim();
}

/** Remembers the boot in the state directory. Returns the one that was remembered there, null when there was none. */
export function rememberBootId(stateDir: string, bootId: string): string | null {
  const file = join(stateDir, 'boot-id');
  let before: string | null = null;
  try {
    before = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  if (before === bootId) return before;
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  replaceFile(file, bootId);
  return before;
}
