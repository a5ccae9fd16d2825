/** What a process costs, from /proc: of all its threads. */
import { readFileSync } from 'node:fs';

const tickMs = 10;

/** utime and stime, fields 14 and 15 of /proc/PID/stat. */
export function cpuMs(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}

/** What a program pays once (reading, compiling, the first looks at everything, the first collections of garbage) is paid by then. */
export const startUpMs = 30_000;
/** Of an idle service: its garbage is collected as a whole every two or three minutes, which belongs to it. */
export const idleMsMin = 180_000;

/** Share of one core: `spentMs` of CPU in `ms`. */
export const coreShare = (spentMs: number, ms: number): string => `${((100 * spentMs) / ms).toFixed(2).padStart(6)} % of a core`;

interface Memory {
  readonly residentBytes: number;
  /** Without the pages of files, which other processes share. */
  readonly privateBytes: number;
}

export function memoryOf(pid: number | undefined): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
  return { residentBytes: of('VmRSS'), privateBytes: of('RssAnon') };
}
