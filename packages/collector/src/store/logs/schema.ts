/**
 * One log file. Order of the columns and tables: what is scanned is narrow, filters lie apart from bodies, and a body that
 * cannot be read costs nobody anything else.
 *
 *   meta     format, day, firstId (no id in it is smaller), sealed
 *   streams  who wrote: host and segment
 *   blocks   one row a piece, under the id of its last part; `gap` instead of a body, or `parts` where it was merged
 *   filters  token filters, by id
 *   bodies   zstd, by id, the filter taken off
 *   marks    committed end of every segment, copied into each new file: it speaks for all files together
 */
import type { Database } from 'better-sqlite3';

export const logFormat = '1';

export const logSchema = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    host TEXT NOT NULL, workload TEXT NOT NULL, generation INTEGER NOT NULL, source TEXT NOT NULL, run TEXT NOT NULL,
    UNIQUE (host, workload, generation, source, run)
  ) STRICT;
  CREATE TABLE blocks (
    id INTEGER PRIMARY KEY, first_id INTEGER NOT NULL, stream INTEGER NOT NULL,
    received_at REAL NOT NULL, first_at REAL NOT NULL, last_at REAL NOT NULL,
    from_offset INTEGER NOT NULL, to_offset INTEGER NOT NULL,
    lines INTEGER NOT NULL, raw_bytes INTEGER NOT NULL, bytes INTEGER NOT NULL, crc INTEGER,
    gap TEXT, parts TEXT
  ) STRICT;
  CREATE INDEX blocks_by_stream ON blocks (stream, id);
  CREATE TABLE filters (id INTEGER PRIMARY KEY, filter BLOB NOT NULL) STRICT;
  CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
  CREATE TABLE marks (
    agent_id TEXT NOT NULL, workload TEXT NOT NULL, generation INTEGER NOT NULL, source TEXT NOT NULL, run TEXT NOT NULL,
    committed INTEGER NOT NULL, updated_at REAL NOT NULL,
    PRIMARY KEY (agent_id, workload, generation, source, run)
  ) STRICT, WITHOUT ROWID;
`;

/** What a row costs beside body and filter, its indexes included: with it, the sum comes near to the size of the file. */
export const rowBytes = 200;

export interface LogFileMeta {
  readonly day: string;
  readonly firstId: number;
  readonly sealed: boolean;
}

export function writeMeta(db: Database, { day, firstId, sealed }: LogFileMeta): void {
  const put = db.prepare('INSERT INTO meta (key, value) VALUES (?, ?)');
  for (const [key, value] of Object.entries({ format: logFormat, day, firstId, sealed: sealed ? 1 : 0 })) put.run(key, String(value));
}

/** @throws Error when it is no log file that this program knows. */
export function readMeta(db: Database): LogFileMeta {
  const rows = db.prepare<[], { key: string; value: string }>('SELECT key, value FROM meta').all();
  const meta = new Map(rows.map(({ key, value }) => [key, value]));
  if (meta.get('format') !== logFormat) {
    throw new Error(`${db.name} has log format ${meta.get('format') ?? 'unknown'}; this program knows ${logFormat}`);
  }
  return { day: meta.get('day') ?? '', firstId: Number(meta.get('firstId')), sealed: meta.get('sealed') === '1' };
}

export function lastIdIn(db: Database, { firstId }: LogFileMeta): number {
  return db.prepare<[], { id: number | null }>('SELECT max(id) AS id FROM blocks').get()?.id ?? firstId - 1;
}

/** What SQLite says of a file whose bytes are not what it wrote. A full disk or one that fails to read is something else. */
export function isDamage(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && /^SQLITE_(?:CORRUPT|NOTADB|IOERR_SHORT_READ)/.test(code);
}
