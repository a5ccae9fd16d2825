/** The journal's priorities for a log of JSON lines: `journalctl -p warning` then shows what it should (sd-daemon(3)). */
import { fstatSync } from 'node:fs';

/** syslog(3). */
const priorities: Readonly<Record<string, number>> = { fatal: 2, error: 3, warn: 4, info: 6, debug: 7, trace: 7 };

/** A line of pino whose level is its name: `{"level":"warn",…`. Others count as information, as they do without a priority. */
export function journalLine(line: string): string {
  const level = /^\{"level":"([a-z]+)"/.exec(line)?.[1] ?? '';
  const priority = priorities[level];
  return priority === undefined ? line : `<${priority}>${line}`;
}

/** Whether what is written to `fd` goes to the journal itself, and not on through a pipe or file that somebody else reads. */
export function isJournal(fd: number, env: Readonly<Record<string, string | undefined>>): boolean {
  const stream = env['JOURNAL_STREAM'] ?? '';
  if (stream === '') return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}
