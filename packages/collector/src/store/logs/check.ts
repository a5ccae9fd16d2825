/** Reads a log file from end to end, and says what in it is not as it was written. */
import { openBlock } from '@relight/shared/log-block';
import type { Database } from 'better-sqlite3';
import { crc32 } from 'node:zlib';
import { headerOf, type BlockRow, type StreamRow } from './file-reads.ts';
import { openLogFileForReading } from './log-file.ts';
import { isDamage, readMeta } from './schema.ts';

export interface FileCheck {
  readonly pieces: number;
  readonly lines: number;
  readonly problems: readonly string[];
}

const problemsMax = 20;

/** `unpack`: every block is decompressed as well, which takes ten times as long. Throws when the file cannot be opened at all. */
export function checkLogFile(path: string, options: { readonly unpack?: boolean } = {}): FileCheck {
  const problems: string[] = [];
  const counted = { pieces: 0, lines: 0 };
  try {
    const db = openLogFileForReading(path);
    try {
      const found = db.pragma(`quick_check(${problemsMax})`) as { quick_check: string }[];
      problems.push(...found.map(({ quick_check }) => quick_check).filter((text) => text !== 'ok'));
      checkPieces(db, options.unpack === true, counted, (problem) => problems.length < problemsMax && problems.push(problem));
    } finally {
      db.close();
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    problems.push((error as Error).message);
  }
  return { ...counted, problems };
}

function checkPieces(db: Database, unpack: boolean, counted: { pieces: number; lines: number }, report: (problem: string) => void): void {
  const { firstId } = readMeta(db);
  const streams = new Map(
    db
      .prepare<[], StreamRow>('SELECT * FROM streams')
      .all()
      .map((stream) => [stream.id, stream]),
  );
  const body = db.prepare<[number], { body: Buffer }>('SELECT body FROM bodies WHERE id = ?');
  for (const row of db.prepare<[], BlockRow>('SELECT * FROM blocks ORDER BY id').iterate()) {
    counted.pieces += 1;
    counted.lines += row.lines;
    const problem = problemOf(row, firstId, streams.get(row.stream), () => body.get(row.id)?.body, unpack);
    if (problem !== null) report(`piece ${row.id}: ${problem}`);
  }
}

function problemOf(
  row: BlockRow,
  firstId: number,
  stream: StreamRow | undefined,
  read: () => Buffer | undefined,
  unpack: boolean,
): string | null {
  if (row.first_id < firstId) return 'its id belongs to another file';
  if (stream === undefined) return 'its stream is not there';
  if (row.gap !== null) return null;
  try {
    const body = read();
    if (body === undefined) return 'its body is not there';
    if (row.crc !== null && crc32(body) !== row.crc) return 'its checksum is wrong';
    if (unpack) openBlock({ header: headerOf(row, stream), body });
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
