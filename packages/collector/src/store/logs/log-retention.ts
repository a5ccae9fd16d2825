/**
 * Removes logs that are too old or too much: whole files, oldest first; of the file that is written to, its oldest pieces.
 * A slice at a time, so that no commit waits long behind it.
 */
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import type { Database } from 'better-sqlite3';
import { statSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { listLogFiles, type LogFileName } from './file-names.ts';
import { openLogFileForReading, removeLogFile, type Mark } from './log-file.ts';
import { isDamage, readMeta } from './schema.ts';

export interface LogLimits {
  /** Epoch milliseconds of receipt. */
  readonly logsBefore: number;
  /** Stored bytes of all files together. */
  readonly logsBytesMax: number;
}

export interface CurrentLog {
  readonly path: string;
  readonly db: Database;
}

/** A piece is tens of kilobytes. */
const piecesPerSlice = 500;

interface Bounds {
  readonly firstId: number;
  readonly pieces: number;
  readonly lastReceivedAt: number;
}
interface OldFile extends Bounds {
  readonly name: LogFileName;
  readonly bytes: number;
}

/**
 * What is known of files that nothing is written to any more, by path: it never changes, and opening a hundred files for every slice would
 * hold up commits. A file that has taken the name of another has another inode.
 */
export type KnownFiles = Map<string, Bounds & { readonly inode: number }>;

/** One slice; returns how many pieces went. Call again until it removes nothing. `known` is kept between calls. */
export function pruneLogSlice(directory: string, current: CurrentLog | null, limits: LogLimits, known: KnownFiles = new Map()): number {
  const old = oldFiles(directory, current?.path, known);
  const total = old.reduce((sum, { bytes }) => sum + bytes, 0) + (current === null ? 0 : bytesIn(current.db));
  const surplus = total - limits.logsBytesMax;
  const first = old.find(({ lastReceivedAt }) => lastReceivedAt < limits.logsBefore) ?? (surplus > 0 ? old[0] : undefined);
  if (first !== undefined) {
    removeLogFile(first.name.path);
    return Math.max(1, first.pieces);
  }
  return current === null ? 0 : pruneCurrent(current.db, limits.logsBefore, surplus);
}

/**
 * Forgets marks of segments that something newer of the same agent and source has replaced, and of which no file holds a byte
 * any more: should one of them come again, nothing is doubled. All others stay: only their mark tells old bytes from new ones.
 */
export function pruneMarks(directory: string, { db }: CurrentLog, before: number): void {
  const replaced = db
    .prepare<[number], Mark>(
      `SELECT * FROM marks WHERE updated_at < ? AND EXISTS (SELECT 1 FROM marks AS later WHERE later.agent_id = marks.agent_id
       AND later.workload = marks.workload AND later.source = marks.source AND later.generation >= marks.generation
       AND later.updated_at > marks.updated_at)`,
    )
    .all(before);
  if (replaced.length === 0) return;
  const stored = new Set(listLogFiles(directory).flatMap(({ path }) => segmentsIn(path)));
  const forget = db.prepare('DELETE FROM marks WHERE agent_id = ? AND workload = ? AND generation = ? AND source = ? AND run = ?');
  db.transaction(() => {
    for (const mark of replaced) {
      if (stored.has(segmentId(mark))) continue;
      forget.run(mark.agent_id, mark.workload, mark.generation, mark.source, mark.run);
    }
  }).immediate();
}

function segmentsIn(path: string): string[] {
  try {
    const db = openLogFileForReading(path);
    try {
      return db.prepare<[], SegmentKey>('SELECT workload, generation, source, run FROM streams').all().map(segmentId);
    } finally {
      db.close();
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    return [];
  }
}

/** Set aside for a person to look at; not for ever. */
export function pruneDamaged(directory: string, before: number): void {
  for (const name of readdirSync(directory).filter((one) => one.includes('.db.damaged'))) {
    const path = join(directory, name);
    if (statSync(path).mtimeMs < before) rmSync(path);
  }
}

function oldFiles(directory: string, currentPath: string | undefined, known: KnownFiles): OldFile[] {
  const found: OldFile[] = [];
  const names = listLogFiles(directory);
  const paths = new Set(names.map(({ path }) => path));
  for (const path of known.keys()) if (!paths.has(path)) known.delete(path);
  for (const name of names) {
    if (name.path === currentPath) continue;
    const stat = statSync(name.path, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    found.push({ name, bytes: stat.size, ...boundsOf(name.path, stat.ino, known) });
  }
  return found.toSorted((a, b) => a.firstId - b.firstId);
}

function boundsOf(path: string, inode: number, known: KnownFiles): Bounds {
  const before = known.get(path);
  if (before?.inode === inode) return before;
  try {
    const bounds = readBounds(path);
    known.set(path, { ...bounds, inode });
    return bounds;
  } catch (error) {
    if (!isDamage(error)) throw error;
    // What it holds nobody knows: it goes when it was last written to long ago, or when room is needed.
    return { firstId: 0, pieces: 0, lastReceivedAt: statSync(path).mtimeMs };
  }
}

function readBounds(path: string): Bounds {
  const sql = `SELECT (SELECT count(*) FROM blocks) AS pieces, (SELECT received_at FROM blocks ORDER BY id DESC LIMIT 1) AS lastReceivedAt`;
  const db = openLogFileForReading(path);
  try {
    const row = db.prepare<[], { pieces: number; lastReceivedAt: number | null }>(sql).get();
    return { firstId: readMeta(db).firstId, pieces: row?.pieces ?? 0, lastReceivedAt: row?.lastReceivedAt ?? 0 };
  } finally {
    db.close();
  }
}

const bytesIn = (db: Database): number =>
  db.prepare<[], { bytes: number | null }>('SELECT sum(bytes) AS bytes FROM blocks').get()?.bytes ?? 0;

function pruneCurrent(db: Database, before: number, surplus: number): number {
  const rows = db
    .prepare<[number], { id: number; received_at: number; bytes: number }>('SELECT id, received_at, bytes FROM blocks ORDER BY id LIMIT ?')
    .all(piecesPerSlice);
  let left = surplus;
  let count = 0;
  for (const { received_at, bytes } of rows) {
    if (received_at >= before && left <= 0) break;
    left -= bytes;
    count += 1;
  }
  const last = rows[count - 1];
  if (last === undefined) return 0;
  db.transaction(() => {
    for (const table of ['blocks', 'filters', 'bodies']) db.prepare(`DELETE FROM ${table} WHERE id <= ?`).run(last.id);
  }).immediate();
  return count;
}
