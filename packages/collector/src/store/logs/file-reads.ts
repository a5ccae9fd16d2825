/** Reads of one log file on a connection of its own. */
import type { BlockHeader } from '@relight/shared/log-block';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { Gap } from '@relight/shared/protocol';
import { probeOf } from '@relight/shared/token-filter';
import type { Database } from 'better-sqlite3';
import { Statements, Where } from '../statements.ts';
import type { LogFilter, StoredLogPiece } from '../store.ts';
import { filterReads } from './filter-reads.ts';
import { readParts } from './part-list.ts';
import type { LogPage, LogSlice } from './port.ts';
import { isDamage, type LogFileMeta } from './schema.ts';

export interface BlockRow {
  readonly id: number;
  readonly first_id: number;
  readonly stream: number;
  readonly received_at: number;
  readonly first_at: number;
  readonly last_at: number;
  readonly from_offset: number;
  readonly to_offset: number;
  readonly lines: number;
  readonly raw_bytes: number;
  readonly bytes: number;
  readonly crc: number | null;
  readonly gap: string | null;
  readonly parts: string | null;
}

export interface StreamRow {
  readonly id: number;
  readonly host: string;
  readonly workload: string;
  readonly generation: number;
  readonly source: string;
  readonly run: string;
}

export type FileReads = ReturnType<typeof fileReads>;

/** Up to so many streams are read one by one in order of id, and merged; a scan over all rows is cheaper for more. */
const streamsApartMax = 16;
/** Filters are looked at in slices of so many pieces. */
const filterSlice = 512;

export function fileReads(db: Database, meta: LogFileMeta) {
  const statements = new Statements(db);
  const streams = new Map<number, StreamRow>();
  const streamById = db.prepare<[number], StreamRow>('SELECT * FROM streams WHERE id = ?');
  const bodyById = db.prepare<[number], { body: Buffer }>('SELECT body FROM bodies WHERE id = ?');
  const mayHold = filterReads(db);
  const committed = db.prepare<[string, string, number, string, string], { committed: number }>(
    'SELECT committed FROM marks WHERE agent_id = ? AND workload = ? AND generation = ? AND source = ? AND run = ?',
  );

  const streamOf = (id: number): StreamRow => {
    const row = streams.get(id) ?? streamById.get(id);
    if (row === undefined) throw new Error(`${db.name}: a piece of stream ${id}, which is not there`);
    streams.set(id, row);
    return row;
  };

  /** Null: all of them. */
  const wantedStreams = ({ hosts, workload, source, generation }: LogFilter): Where | null => {
    if (hosts === undefined && workload === undefined && source === undefined && generation === undefined) return null;
    const where = new Where().oneOf('host', hosts).add('workload = ?', workload).add('source = ?', source);
    return where.add('generation = ?', generation);
  };

  const rowsOf = (filter: LogFilter, page: LogPage): BlockRow[] => {
    const order = page.newestFirst === true ? 'DESC' : 'ASC';
    // A reader that saw this file before it was sealed has seen the parts before its place, and those alone.
    const beforeColumn = page.sealed === true ? 'id' : 'first_id';
    const rows = (which: (where: Where) => Where): BlockRow[] => {
      const where = which(new Where())
        .add('id > ?', page.afterId)
        .add(`${beforeColumn} < ?`, page.beforeId)
        .add('first_id <= ?', page.upTo)
        .add('last_at >= ?', filter.since)
        .add('first_at <= ?', filter.until);
      return statements.all<BlockRow>(`SELECT * FROM blocks ${where.sql} ORDER BY id ${order} LIMIT ?`, [...where.parameters, page.limit]);
    };
    const wanted = wantedStreams(filter);
    if (wanted === null) return rows((where) => where);
    const firstIds = `SELECT id FROM streams ${wanted.sql} ORDER BY id LIMIT ${streamsApartMax + 1}`;
    const streamIds = statements.all<{ id: number }>(firstIds, wanted.parameters).map(({ id }) => id);
    // By the row: a list of all streams would be made for every page, and a process that ends all the time has thousands of them.
    if (streamIds.length > streamsApartMax) return rows((where) => where.exists('streams', 'streams.id = +blocks.stream', wanted));
    const apart = streamIds.flatMap((stream) => rows((where) => where.add('stream = ?', stream)));
    const sign = page.newestFirst === true ? -1 : 1;
    return apart.toSorted((a, b) => sign * (a.id - b.id)).slice(0, page.limit);
  };

  /** Rows whose filter does not rule out the words, of a slice of all rows; `last`: the last one that was looked at. */
  const wantedRows = (
    filter: LogFilter,
    page: LogPage,
  ): { readonly rows: BlockRow[]; readonly last: BlockRow | undefined; readonly more: boolean } => {
    const { words = [] } = filter;
    const probes = words.map(probeOf);
    const limit = words.length === 0 ? page.limit : Math.max(filterSlice, page.limit);
    const slice = rowsOf(filter, { ...page, limit });
    const rows: BlockRow[] = [];
    for (const row of slice) {
      if (row.gap !== null || mayHold(row.id, probes)) rows.push(row);
      if (rows.length === page.limit) return { rows, last: row, more: true };
    }
    return { rows, last: slice.at(-1), more: slice.length === limit };
  };

  /** A body that cannot be read is empty: whoever unpacks it finds it damaged, and goes on behind it. */
  const bodyOf = (id: number): Uint8Array => {
    try {
      return bodyById.get(id)?.body ?? new Uint8Array();
    } catch (error) {
      if (isDamage(error)) return new Uint8Array();
      throw error;
    }
  };

  const pieceOf = (row: BlockRow): StoredLogPiece => {
    const { host, workload, generation, source, run } = streamOf(row.stream);
    const segment = { workload, generation, source, run };
    const piece = { id: row.id, host, receivedAt: row.received_at, ...(meta.sealed ? { sealed: true } : {}) };
    if (row.gap !== null) return { ...piece, kind: 'gap', gap: JSON.parse(row.gap) as Gap };
    const block = { header: headerOf(row, segment), body: bodyOf(row.id) };
    return { ...piece, ...(row.parts === null ? {} : { parts: readParts(row.parts, row.id) }), kind: 'block', block };
  };

  return {
    /** `next` is null behind the last piece of this file. */
    logSlice(filter: LogFilter, page: LogPage): LogSlice {
      const { rows, last, more } = wantedRows(filter, page);
      const found = { pieces: rows.map(pieceOf), receivedAt: last?.received_at ?? null };
      if (last === undefined || !more) return { ...found, next: null };
      const { id } = last;
      return { ...found, next: { ...(page.newestFirst === true ? { beforeId: id } : { afterId: id }), sealed: meta.sealed } };
    },
    /** Undefined: it has no mark. */
    committedOffset: (agentId: string, { workload, generation, source, run }: SegmentKey): number | undefined =>
      committed.get(agentId, workload, generation, source, run)?.committed,
    /** Bounds of the times of all lines; null: the file is empty. */
    times(): { readonly first: number; readonly last: number } | null {
      const [row] = statements.all<{ first: number | null; last: number | null }>(
        'SELECT min(first_at) AS first, max(last_at) AS last FROM blocks',
        [],
      );
      const { first = null, last = null } = row ?? {};
      return first === null || last === null ? null : { first, last };
    },
  };
}

export function headerOf(row: BlockRow, { workload, generation, source, run }: SegmentKey): BlockHeader {
  const segment = { workload, generation, source, run };
  const { lines, first_at: firstAt, last_at: lastAt, raw_bytes: rawBytes, crc } = row;
  const header = { v: 1 as const, segment, from: row.from_offset, to: row.to_offset, lines, firstAt, lastAt, rawBytes };
  return crc === null ? header : { ...header, crc };
}
