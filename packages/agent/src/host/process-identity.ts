/** A process for certain: a pid alone may belong to a later process, pid and start time together never do. */
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  /** Field 22 of /proc/PID/stat: clock ticks after boot. */
  readonly startTicks: number;
  /** R, S, D, Z … as in ps. A zombie (Z, X) runs no code any more. */
  readonly state: string;
}

/** Null: there is no such process. Any other failure to read is thrown. */
export function readProcessIdentity(pid: number, procRoot = '/proc'): ProcessIdentity | null {
  let text: string;
  try {
    text = readFileSync(`${procRoot}/${pid}/stat`, 'latin1');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // ESRCH: it went between open and read.
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
  return parseProcessStat(text);
}

/** The command name may hold spaces and parentheses; what follows the last one is plain. Null: not a stat line. */
export function parseProcessStat(text: string): ProcessIdentity | null {
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .trim()
    .split(' ');
  const startTicks = Number(fields[19]);
  const state = fields[0];
  return state === undefined || state === '' || !Number.isSafeInteger(startTicks) ? null : { startTicks, state };
}
