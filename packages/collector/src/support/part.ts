/**
 * Parts of a support bundle that touch the data directory. Each is gathered by a child of its own, which may be killed: a disk that does
 * not answer, or a store so large or so damaged that reading it never ends, costs that part and not the bundle.
 */
import { errorMessage } from '@relight/shared/errors';
import type { TlsConfig } from '../config.ts';

/** A piece, or what follows of it; or why there is none. */
export type PartRecord = { readonly name: string; readonly text: string } | { readonly name: string; readonly reason: string };

export interface PartRequest {
  readonly part: PartName;
  readonly dataDir: string;
  readonly tls: TlsConfig | null;
}

interface PartLimits {
  /** What it makes, in this order. */
  readonly names: readonly string[];
  readonly deadlineMs: number;
}

export const parts = {
  files: { names: ['disk.json', 'files.json', 'certificate.json'], deadlineMs: 20_000 },
  // No longer: while a file is read its write-ahead log only grows, and every commit of a running service waits a little for that.
  store: { names: ['store.json', 'audit.json', 'access.json', 'check.txt'], deadlineMs: 30_000 },
} as const satisfies Record<string, PartLimits>;

export type PartName = keyof typeof parts;

export const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** Never throws. */
export function jsonPiece(name: string, make: () => unknown): PartRecord {
  try {
    return { name, text: json(make()) };
  } catch (error) {
    return { name, reason: reasonOf(error) };
  }
}

/** One fact among others: without it they are worth something, too. */
export function told<T>(read: () => T): T | string {
  try {
    return read();
  } catch (error) {
    return `cannot be read: ${reasonOf(error)}`;
  }
}

/** SQLite's own words are the same for a dozen causes: `disk I/O error (SQLITE_IOERR_SHMSIZE)` is a full disk. */
export function reasonOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && code.startsWith('SQLITE_') ? `${errorMessage(error)} (${code})` : errorMessage(error);
}
