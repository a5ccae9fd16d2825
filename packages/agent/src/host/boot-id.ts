import { readFileSync } from 'node:fs';

/** The kernel's id of the present boot: a new one after every reboot, the same after every restart of the agent. */
export function readBootId(procRoot = '/proc'): string {
  return readFileSync(`${procRoot}/sys/kernel/random/boot_id`, 'utf8').trim();
}
