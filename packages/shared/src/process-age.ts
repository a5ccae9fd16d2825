/** How long a process of this machine lives: from proc(5), whose ticks are hundredths of a second on every architecture of Linux. */
import { readFileSync } from 'node:fs';

const ticksPerSecond = 100;
/** `starttime`, counted behind the name in parentheses, in which anything may stand. */
const startField = 19;

/** Null: it is gone, or there is no /proc. */
export function processAgeMs(pid: number, procRoot = '/proc'): number | null {
  try {
    const stat = readFileSync(`${procRoot}/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [upSeconds] = readFileSync(`${procRoot}/uptime`, 'utf8').split(' ');
    const age = (Number(upSeconds) - Number(fields[startField]) / ticksPerSecond) * 1_000;
    return Number.isFinite(age) ? age : null;
  } catch {
    return null;
  }
}
