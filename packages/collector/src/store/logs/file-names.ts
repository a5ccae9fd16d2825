/**
 * The names of log files: `2026-11-22.db`, the next one of the same day `2026-11-22.2.db`, and `2026-11-22.sealed.db` for what
 * has become of the first. A sealed file never takes the name of the other: SQLite keeps a write-ahead log by name, and
 * whoever has the old file open must not meet the log of the new one.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

export interface LogFileName {
  readonly path: string;
  readonly name: string;
  /** `2026-11-22`, UTC. */
  readonly day: string;
  /** 1 for the first file of the day. */
  readonly part: number;
  readonly sealed: boolean;
}

const pattern = /^(\d{4}-\d\d-\d\d)(?:\.(\d+))?(\.sealed)?\.db$/;

export const logDirectory = (dataDir: string): string => join(dataDir, 'logs');

export const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

export function logFileName(directory: string, day: string, part: number, sealed = false): LogFileName {
  const name = `${day}${part === 1 ? '' : `.${part}`}${sealed ? '.sealed' : ''}.db`;
  return { path: join(directory, name), name, day, part, sealed };
}

/**
 * Every log file, in no order that means anything: a clock that jumped makes names lie, so order is by the ids inside.
 * Of a file that is there in both forms only the sealed one: it is complete when it has its name.
 */
export function listLogFiles(directory: string): LogFileName[] {
  const found = new Map<string, LogFileName>();
  for (const name of namesIn(directory)) {
    const [, day, part, sealed] = pattern.exec(name) ?? [];
    if (day === undefined) continue;
    const file = logFileName(directory, day, Number(part ?? 1), sealed !== undefined);
    const key = `${day}.${file.part}`;
    if (file.sealed || !found.has(key)) found.set(key, file);
  }
  return [...found.values()];
}

/** What was set aside (`setAside`), under the names that it had: what it held is missing for as long as the days around it are kept. */
export function listDamagedLogFiles(directory: string): string[] {
  return namesIn(directory)
    .filter((name) => name.endsWith('.db.damaged'))
    .map((name) => name.replace(/\.damaged$/, ''));
}

/** Any form of a log file, and what a crash may have left beside one; not what has never got its name. */
const anyForm = /^(\d{4}-\d\d-\d\d)(?:\.(\d+))?(?:\.sealed)?\.db(?!\.new)/;

/**
 * Behind every name of the day, in whatever form. A name that retention has made free is not taken again: whoever knew the file of
 * that name would take the new one for it, and its write-ahead log may still be there after a crash.
 */
export function freeLogFileName(directory: string, day: string): LogFileName {
  const parts = namesIn(directory)
    .map((name) => anyForm.exec(name))
    .filter((found) => found?.[1] === day)
    .map((found) => Number(found?.[2] ?? 1));
  return logFileName(directory, day, Math.max(0, ...parts) + 1);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
