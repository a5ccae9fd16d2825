/** Pieces and marks into one open log file. The caller has a transaction open. */
import { splitFilter, type Block } from '@relight/shared/log-block';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { Gap } from '@relight/shared/protocol';
import type { Database } from 'better-sqlite3';
import { crc32 } from 'node:zlib';
import type { LogCommit } from '../store.ts';
import { rowBytes } from './schema.ts';

const keyOf = (segment: SegmentKey) => [segment.workload, segment.generation, segment.source, segment.run] as const;
type Segment = [workload: string, generation: number, source: string, run: string];

interface NewPiece {
  readonly segment: SegmentKey;
  readonly from: number;
  readonly to: number;
  readonly firstAt: number;
  readonly lastAt: number;
  readonly lines: number;
  readonly rawBytes: number;
  readonly gap: string | null;
  readonly body: Buffer | null;
  readonly filter: Buffer | null;
}

export type FileWrites = ReturnType<typeof fileWrites>;

/** `nextId` gives ids, ascending over all files; `stored` hears the bytes of each new piece. */
export function fileWrites(db: Database, nextId: () => number, stored: (bytes: number) => void) {
  const committedOf = db.prepare<[string, ...Segment], { committed: number }>(
    'SELECT committed FROM marks WHERE agent_id = ? AND workload = ? AND generation = ? AND source = ? AND run = ?',
  );
  const setCommitted = db.prepare(
    `INSERT INTO marks (agent_id, workload, generation, source, run, committed, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (agent_id, workload, generation, source, run)
     DO UPDATE SET committed = excluded.committed, updated_at = excluded.updated_at`,
  );
  const insertBlock = db.prepare(
    `INSERT INTO blocks (id, first_id, stream, received_at, first_at, last_at, from_offset, to_offset, lines, raw_bytes, bytes, crc, gap)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const insertBody = db.prepare('INSERT INTO bodies (id, body) VALUES (?, ?)');
  const insertFilter = db.prepare('INSERT INTO filters (id, filter) VALUES (?, ?)');
  const streamOf = streamIds(db);

  const insert = (id: number, host: string, piece: NewPiece, receivedAt: number): void => {
    const { firstAt, lastAt, from, to, lines, rawBytes, gap, body, filter } = piece;
    const bytes = rowBytes + (body?.length ?? 0) + (filter?.length ?? 0) + (gap?.length ?? 0);
    const crc = body === null ? null : crc32(body);
    const stream = streamOf(host, piece.segment);
    insertBlock.run(id, id, stream, receivedAt, firstAt, lastAt, from, to, lines, rawBytes, bytes, crc, gap);
    if (body !== null) insertBody.run(id, body);
    if (filter !== null) insertFilter.run(id, filter);
    stored(bytes);
  };

  /** The rule of protocol.ts: exactly at the committed offset, or a duplicate, or rewind. */
  const commit = (agentId: string, host: string, piece: NewPiece, receivedAt: number): LogCommit => {
    const key = keyOf(piece.segment);
    const committed = committedOf.get(agentId, ...key)?.committed ?? 0;
    if (piece.from !== committed) return { committed, stored: false, rewind: piece.to > committed };
    const id = nextId();
    insert(id, host, piece, receivedAt);
    setCommitted.run(agentId, ...key, piece.to, receivedAt);
    return { committed: piece.to, stored: true, rewind: false, id };
  };

  return {
    commitBlock: (agentId: string, host: string, block: Block, receivedAt: number): LogCommit =>
      commit(agentId, host, pieceOfBlock(block), receivedAt),
    commitGap: (agentId: string, host: string, gap: Gap, receivedAt: number): LogCommit =>
      commit(agentId, host, pieceOfGap(gap), receivedAt),
    /** Under the id that it has already; touches no mark. */
    carryOver(id: number, host: string, piece: { readonly block: Block } | { readonly gap: Gap }, receivedAt: number): void {
      insert(id, host, 'block' in piece ? pieceOfBlock(piece.block) : pieceOfGap(piece.gap), receivedAt);
    },
  };
}

function pieceOfBlock(block: Block): NewPiece {
  const { segment, from, to, firstAt, lastAt, lines, rawBytes } = block.header;
  const { data, filter } = splitFilter(block);
  const stored = { body: asBuffer(data), filter: filter === null ? null : asBuffer(filter) };
  return { segment, from, to, firstAt, lastAt, lines, rawBytes, gap: null, ...stored };
}

function pieceOfGap(gap: Gap): NewPiece {
  const { segment, from, to, at } = gap;
  return { segment, from, to, firstAt: at, lastAt: at, lines: 0, rawBytes: 0, gap: JSON.stringify(gap), body: null, filter: null };
}

/** better-sqlite3 takes Buffers only. */
const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The id of a stream in this file. Not remembered here: a transaction that is undone takes the row back. */
function streamIds(db: Database): (host: string, segment: SegmentKey) => number {
  const find = db.prepare<[string, ...Segment], { id: number }>(
    'SELECT id FROM streams WHERE host = ? AND workload = ? AND generation = ? AND source = ? AND run = ?',
  );
  const insert = db.prepare('INSERT INTO streams (host, workload, generation, source, run) VALUES (?, ?, ?, ?, ?)');
  return (host, segment) => {
    const found = find.get(host, ...keyOf(segment));
    return found?.id ?? Number(insert.run(host, ...keyOf(segment)).lastInsertRowid);
  };
}
