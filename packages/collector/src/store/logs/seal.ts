/**
 * Seals a log file that is no longer written to: small blocks are joined, everything is written into a new file without
 * holes, that is checked, and only then takes the place of the old one. In steps, so that its thread can do other things.
 */
import { mergeBlocks, splitFilter, type Block } from '@relight/shared/log-block';
import { errorMessage } from '@relight/shared/errors';
import type { Database } from 'better-sqlite3';
import { existsSync, rmSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { logFileName, type LogFileName } from './file-names.ts';
import { headerOf, type BlockRow, type StreamRow } from './file-reads.ts';
import { planJoins } from './join-plan.ts';
import { makeLogFile, marksOf, openLogFileForReading, placeLogFile, removeLogFile } from './log-file.ts';
import { writeParts } from './part-list.ts';
import { isDamage, readMeta, rowBytes } from './schema.ts';

/** Slow to make, as fast to read; measured in docs/benchmarks.md. */
const joinLevel = 9;
const groupsPerTransaction = 64;

/** Yields between steps of some milliseconds. Abandoned in the middle, it leaves nothing but a file that nobody reads. */
export function* sealLogFile(directory: string, name: LogFileName): Generator<void, void> {
  const target = logFileName(directory, name.day, name.part, true);
  const made = `${target.path}.sealing`;
  const from = openLogFileForReading(name.path);
  try {
    const to = makeLogFile(made, { ...readMeta(from), sealed: true }, marksOf(from));
    try {
      // Nobody sees it before it is complete and on disk.
      to.pragma('journal_mode = OFF');
      to.pragma('synchronous = OFF');
      yield* copy(from, to);
      compare(from, to);
      yield;
    } finally {
      to.close();
    }
    // Retention was faster.
    if (!existsSync(name.path)) return;
    placeLogFile(made, target.path);
  } finally {
    from.close();
    rmSync(made, { force: true });
  }
  removeLogFile(name.path);
}

function* copy(from: Database, to: Database): Generator<void, void> {
  const rows = from.prepare<[], BlockRow>('SELECT * FROM blocks ORDER BY stream, id').all();
  const streams = from.prepare<[], StreamRow>('SELECT * FROM streams').all();
  const putStream = to.prepare('INSERT INTO streams VALUES (@id, @host, @workload, @generation, @source, @run)');
  to.transaction(() => {
    for (const stream of streams) putStream.run(stream);
  }).immediate();
  const byId = new Map(streams.map((stream) => [stream.id, stream]));
  const groups = planJoins(rows);
  const write = groupWriter(from, to);
  for (let at = 0; at < groups.length; at += groupsPerTransaction) {
    to.exec('BEGIN');
    for (const group of groups.slice(at, at + groupsPerTransaction)) {
      const stream = byId.get(group[0]?.stream ?? -1);
      if (stream === undefined) throw new Error(`${from.name}: a piece of a stream that is not there`);
      write(group, stream);
      yield;
    }
    to.exec('COMMIT');
  }
}

function groupWriter(from: Database, to: Database) {
  const bodyOf = from.prepare<[number], { body: Buffer }>('SELECT body FROM bodies WHERE id = ?');
  const filterOf = from.prepare<[number], { filter: Buffer }>('SELECT filter FROM filters WHERE id = ?');
  const putBlock = to.prepare(
    `INSERT INTO blocks VALUES (@id, @first_id, @stream, @received_at, @first_at, @last_at, @from_offset, @to_offset, @lines, @raw_bytes,
     @bytes, @crc, @gap, @parts)`,
  );
  const putBody = to.prepare('INSERT INTO bodies VALUES (?, ?)');
  const putFilter = to.prepare('INSERT INTO filters VALUES (?, ?)');

  /** A body or filter that cannot be read stays away: a reader finds the piece damaged, as it is. */
  const readable = <T>(read: () => T | undefined): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    }
  };
  const asItIs = (row: BlockRow): void => {
    const body = readable(() => bodyOf.get(row.id)?.body);
    const filter = readable(() => filterOf.get(row.id)?.filter);
    putBlock.run(row);
    if (body !== undefined) putBody.run(row.id, body);
    if (filter !== undefined) putFilter.run(row.id, filter);
  };
  const joined = (group: readonly BlockRow[], segment: StreamRow): Block | null => {
    const blocks = group.map((row) => ({
      header: headerOf(row, segment),
      body: readable(() => bodyOf.get(row.id)?.body) ?? new Uint8Array(),
    }));
    try {
      return mergeBlocks(blocks, joinLevel);
    } catch {
      return null;
    }
  };

  return (group: readonly BlockRow[], stream: StreamRow): void => {
    const [first, last] = [group[0], group.at(-1)];
    const block = group.length > 1 ? joined(group, stream) : null;
    if (block === null || first === undefined || last === undefined) {
      for (const row of group) asItIs(row);
      return;
    }
    const { data, filter } = splitFilter(block);
    const [body, bits] = [Buffer.from(data), Buffer.from(filter ?? [])];
    const parts = writeParts(group.map(({ id, lines, received_at }) => ({ id, lines, receivedAt: received_at })));
    putBlock.run({
      ...last,
      first_id: first.first_id,
      first_at: first.first_at,
      from_offset: first.from_offset,
      lines: block.header.lines,
      raw_bytes: block.header.rawBytes,
      bytes: rowBytes + body.length + bits.length + parts.length,
      crc: crc32(body),
      parts,
    });
    putBody.run(last.id, body);
    if (filter !== null) putFilter.run(last.id, bits);
  };
}

/** @throws when the new file is not sound or does not hold all that the old one holds. */
function compare(from: Database, to: Database): void {
  const sound = String(to.pragma('integrity_check(1)', { simple: true }));
  const sql = `SELECT (SELECT total(lines) FROM blocks) || ' lines, ' || (SELECT total(raw_bytes) FROM blocks) || ' bytes, '
    || (SELECT count(*) FROM blocks WHERE gap IS NOT NULL) || ' gaps, ' || (SELECT max(id) FROM blocks) || ' last id, '
    || (SELECT count(*) FROM streams) || ' streams, ' || (SELECT count(*) || ' marks of ' || total(committed) FROM marks)`;
  const [was, is] = [from, to].map((db) => String(db.prepare(sql).pluck().get()));
  if (sound !== 'ok' || was !== is) throw new Error(`${from.name} cannot be sealed: ${sound}; ${was ?? ''} became ${is ?? ''}`);
}

/** For a line in a log. */
export const sealFailure = (name: LogFileName, error: unknown): string => `${name.name} could not be sealed: ${errorMessage(error)}`;
