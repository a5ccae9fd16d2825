import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readIfThere, replaceFile } from './atomic-file.ts';

/** The kernel's id of the present boot: a new one after every reboot, the same after every restart of the agent. */
export function readBootId(procRoot = '/proc'): string {
  return readFileSync(`${procRoot}/sys/kernel/random/boot_id`, 'utf8').trim();
}

/** Of the state directory; null when none is remembered there. */
export function readRememberedBootId(stateDir: string): string | null {
  return readIfThere(fileIn(stateDir))?.toString('utf8') ?? null;
}

export function rememberBootId(stateDir: string, bootId: string): void {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  replaceFile(fileIn(stateDir), bootId);
}

const fileIn = (stateDir: string): string => join(stateDir, 'boot-id');
