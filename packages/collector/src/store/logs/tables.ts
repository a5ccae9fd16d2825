/** Log blocks, compressed as they came, gaps, and the committed offset of every segment. Nothing else reads these tables. */
import type { Block, BlockHeader } from '@relight/shared/log-block';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { Gap } from '@relight/shared/protocol';
import type { Database } from 'better-sqlite3';
import { Statements, Where } from '../statements.ts';
import type { LogCommit, LogFilter, StoredLogPiece } from '../store.ts';
import type { LogPage, LogReads } from './port.ts';

interface PieceRow {
  readonly id: number;
  readonly kind: 'block' | 'gap';
  readonly received_at: number;
  readonly host: string;
  readonly header: string;
  readonly body: Buffer | null;
}

const keyOf = (segment: SegmentKey) => [segment.workload, segment.generation, segment.source, segment.run] as const;
type SegmentParameters = [agentId: string, workload: string, generation: number, source: string, run: string];
const committedSql = 'SELECT committed FROM segments WHERE agent_id = ? AND workload = ? AND generation = ? AND source = ? AND run = ?';

export function logReads(db: Database): LogReads {
  const committed = db.prepare<SegmentParameters, { committed: number }>(committedSql);
  const statements = new Statements(db);
  return {
    committedOffset: (agentId: string, segment: SegmentKey): number => committed.get(agentId, ...keyOf(segment))?.committed ?? 0,
    logPieces(filter: LogFilter, page: LogPage): StoredLogPiece[] {
      const where = new Where()
        .oneOf('host', filter.hosts)
        .add('workload = ?', filter.workload)
        .add('source = ?', filter.source)
        .add('generation = ?', filter.generation)
        .add('last_at >= ?', filter.since)
        .add('first_at <= ?', filter.until)
        .add('id > ?', page.afterId)
        .add('id < ?', page.beforeId);
      const order = page.newestFirst === true ? 'DESC' : 'ASC';
      const sql = `SELECT id, kind, received_at, host, header, body FROM log_pieces ${where.sql} ORDER BY id ${order} LIMIT ?`;
      return statements.all<PieceRow>(sql, [...where.parameters, page.limit]).map(toPiece);
    },
  };
}

function toPiece({ kind, id, host, received_at, header, body }: PieceRow): StoredLogPiece {
  const piece = { id, host, receivedAt: received_at };
  if (kind === 'gap') return { ...piece, kind, gap: JSON.parse(header) as Gap };
  return { ...piece, kind, block: { header: JSON.parse(header) as BlockHeader, body: body ?? new Uint8Array() } };
}

interface NewPiece {
  readonly kind: 'block' | 'gap';
  readonly segment: SegmentKey;
  readonly from: number;
  readonly to: number;
  readonly firstAt: number;
  readonly lastAt: number;
  readonly header: string;
  readonly body: Uint8Array | null;
}

export function logWrites(db: Database) {
  const committedOf = db.prepare<SegmentParameters, { committed: number }>(committedSql);
  const setCommitted = db.prepare(
    `INSERT INTO segments (agent_id, workload, generation, source, run, committed, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (agent_id, workload, generation, source, run)
     DO UPDATE SET committed = excluded.committed, updated_at = excluded.updated_at`,
  );
  const insert = db.prepare(
    `INSERT INTO log_pieces (kind, received_at, host, workload, generation, source, run, first_at, last_at, bytes, header, body)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const addBytes = db.prepare('UPDATE log_totals SET bytes = bytes + ?');

  /** The rule of protocol.ts: exactly at the committed offset, or a duplicate, or rewind. */
  const commit = (agentId: string, host: string, piece: NewPiece, receivedAt: number): LogCommit => {
    const key = keyOf(piece.segment);
    const committed = committedOf.get(agentId, ...key)?.committed ?? 0;
    if (piece.from !== committed) return { committed, stored: false, rewind: piece.to > committed };
    const { kind, firstAt, lastAt, header } = piece;
    const body = piece.body === null ? null : Buffer.from(piece.body.buffer, piece.body.byteOffset, piece.body.byteLength);
    const bytes = header.length + (body?.length ?? 0);
    const done = insert.run(kind, receivedAt, host, ...key, Math.round(firstAt), Math.round(lastAt), bytes, header, body);
    addBytes.run(bytes);
    setCommitted.run(agentId, ...key, piece.to, receivedAt);
    return { committed: piece.to, stored: true, rewind: false, id: Number(done.lastInsertRowid) };
  };

  return {
    commitBlock(agentId: string, host: string, { header, body }: Block, receivedAt: number): LogCommit {
      const { segment, from, to, firstAt, lastAt } = header;
      const piece: NewPiece = { kind: 'block', segment, from, to, firstAt, lastAt, header: JSON.stringify(header), body };
      return commit(agentId, host, piece, receivedAt);
    },
    commitGap(agentId: string, host: string, gap: Gap, receivedAt: number): LogCommit {
      const { segment, from, to, at } = gap;
      const piece: NewPiece = { kind: 'gap', segment, from, to, firstAt: at, lastAt: at, header: JSON.stringify(gap), body: null };
      return commit(agentId, host, piece, receivedAt);
    },
  };
}
