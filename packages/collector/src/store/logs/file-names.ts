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

/** The first name of the day that no file has or had (damaged ones keep theirs). */
export function freeLogFileName(directory: string, day: string): LogFileName {
  const names = namesIn(directory);
  const taken = (part: number): boolean => {
    const stem = logFileName(directory, day, part).name.slice(0, -3);
    return names.some((name) => name === `${stem}.db` || name.startsWith(`${stem}.db.damaged`) || name.startsWith(`${stem}.sealed.db`));
  };
  let part = 1;
  while (taken(part)) part += 1;
  return logFileName(directory, day, part);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
