/** Small pieces are merged while somebody reads: a cursor from before goes on with the very next line. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packBlock } from '@relight/shared/log-block';
import { partsOf } from '../store/logs/parts.ts';
import type { LogPage } from '../store/logs/port.ts';
import type { LogFilter, StoredLogPiece } from '../store/store.ts';
import { decodeCursor, encodeCursor, type LogCursor } from './cursor.ts';
import { lastEntries, readBackwards, readLogs, type PieceReads } from './read.ts';
import type { LogQuestion } from './selection.ts';

interface Piece {
  readonly host: string;
  readonly lines: number;
  /** They belong to the record before them. */
  readonly indented?: boolean;
}

/** As the store answers (store/logs/port.ts). */
function storeOf(pieces: readonly StoredLogPiece[]): PieceReads {
  const firstId = (piece: StoredLogPiece): number => partsOf(piece)[0]?.id ?? piece.id;
  return {
    logPieces(
      { hosts }: LogFilter,
      { afterId = 0, beforeId = Infinity, upTo = Infinity, sealed = false, limit, newestFirst = false }: LogPage,
    ) {
      const found = pieces.filter(
        (piece) =>
          (hosts?.includes(piece.host) ?? true) &&
          piece.id > afterId &&
          (sealed ? piece.id : firstId(piece)) < beforeId &&
          firstId(piece) <= upTo,
      );
      return (newestFirst ? found.toReversed() : found).slice(0, limit);
    },
  };
}

/** The same lines as small pieces, and as one merged piece a host. */
function stores(pieces: readonly Piece[]): { small: PieceReads; merged: PieceReads; lines: number } {
  const ends = new Map<string, number>();
  let at = 0;
  const rawOf = ({
    host,
    lines,
    indented = false,
  }: Piece): { from: number; to: number; raw: Parameters<typeof packBlock>[3][number][] } => {
    const from = ends.get(host) ?? 0;
    let to = from;
    const raw = Array.from({ length: lines }, () => {
      const bytes = Buffer.from(`${indented ? '  ' : ''}${host} ${to}`);
      const line = { offset: to, at: (at += 1), approx: false, stream: 'stdout' as const, bytes, truncated: false };
      to += bytes.length + 1;
      return line;
    });
    ends.set(host, to);
    return { from, to, raw };
  };
  const segment = { workload: 'w', generation: 1, source: 'process', run: '1' };
  const cut = pieces.map((piece, index) => ({ ...piece, id: index + 1, ...rawOf(piece) }));
  const small = cut.map(({ id, host, from, to, raw }): StoredLogPiece => ({
    kind: 'block',
    id,
    host,
    receivedAt: raw.at(-1)?.at ?? 0,
    block: packBlock(segment, from, to, raw),
  }));
  const merged = [...ends.keys()].map((host): StoredLogPiece => {
    const mine = cut.filter((piece) => piece.host === host);
    const block = packBlock(
      segment,
      0,
      ends.get(host) ?? 0,
      mine.flatMap(({ raw }) => raw),
    );
    const parts = mine.map(({ id, raw }) => ({ id, lines: raw.length, receivedAt: raw.at(-1)?.at ?? 0 }));
    const last = parts.at(-1);
    return { kind: 'block', id: last?.id ?? 0, host, receivedAt: last?.receivedAt ?? 0, block, parts, sealed: true };
  });
  return { small: storeOf(small), merged: storeOf(merged.toSorted((a, b) => a.id - b.id)), lines: at };
}

const pieces = fc.array(fc.record({ host: fc.constantFrom('a', 'b', 'c'), lines: fc.integer({ min: 1, max: 4 }) }), {
  minLength: 1,
  maxLength: 14,
});

async function read(
  store: PieceReads,
  from: LogCursor,
  upTo: number,
  limit = Infinity,
  question: LogQuestion = {},
): Promise<{ texts: string[]; cursor: LogCursor }> {
  const texts: string[] = [];
  let cursor = from;
  for await (const batch of readLogs(store, question, { from, upTo, limit })) {
    texts.push(...batch.entries.map((entry) => ('gap' in entry ? 'gap' : entry.line)));
    if (batch.cursor !== null) cursor = decodeCursor(encodeCursor(batch.cursor)) ?? from;
    if (texts.length >= limit) break;
  }
  return { texts, cursor };
}

test('begun on small pieces and ended on merged ones, in pages of any size: every line once', async () => {
  await fc.assert(
    fc.asyncProperty(pieces, fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 5 }), async (all, size, pagesBefore) => {
      const { small, merged, lines } = stores(all);
      const texts: string[] = [];
      let cursor: LogCursor = { done: 0, partly: [] };
      for (let page = 0; ; page += 1) {
        const found = await read(page < pagesBefore ? small : merged, cursor, all.length, size);
        texts.push(...found.texts);
        cursor = found.cursor;
        if (found.texts.length === 0) break;
      }
      expect(texts).toHaveLength(lines);
      expect(new Set(texts).size).toBe(lines);
      for (const host of ['a', 'b', 'c']) {
        const offsets = texts.filter((text) => text.startsWith(host)).map((text) => Number(text.slice(2)));
        expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
      }
    }),
    { numRuns: 500 },
  );
});

test('the same of whole records: one that goes on in other pieces is not told again on the next page', async () => {
  const some = fc.array(fc.record({ host: fc.constantFrom('a', 'b'), lines: fc.integer({ min: 1, max: 4 }), indented: fc.boolean() }), {
    minLength: 1,
    maxLength: 14,
  });
  await fc.assert(
    fc.asyncProperty(some, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 5 }), async (all, size, pagesBefore) => {
      const { small, merged, lines } = stores(all);
      const texts: string[] = [];
      let cursor: LogCursor = { done: 0, partly: [] };
      for (let page = 0; ; page += 1) {
        const found = await read(page < pagesBefore ? small : merged, cursor, all.length, size, { multiline: true });
        texts.push(...found.texts.flatMap((text) => text.split('\n')).map((text) => text.trim()));
        cursor = found.cursor;
        if (found.texts.length === 0) break;
      }
      expect(new Set(texts).size).toBe(texts.length);
      expect(texts).toHaveLength(lines);
    }),
    { numRuns: 500 },
  );
});

test('the same with the newest first', async () => {
  await fc.assert(
    fc.asyncProperty(pieces, fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 5 }), async (all, size, pagesBefore) => {
      const { small, merged, lines } = stores(all);
      const texts: string[] = [];
      let from: LogCursor | undefined;
      for (let page = 0, ended = false; !ended; page += 1) {
        const store = page < pagesBefore ? small : merged;
        let count = 0;
        for await (const batch of readBackwards(store, {}, { upTo: all.length, limit: size, ...(from && { from }) })) {
          texts.push(...batch.entries.map((entry) => ('gap' in entry ? 'gap' : entry.line)));
          count += batch.entries.length;
          if (batch.cursor !== null) from = decodeCursor(encodeCursor(batch.cursor));
          if (count >= size) break;
        }
        ended = count === 0;
      }
      expect(texts).toHaveLength(lines);
      expect(new Set(texts).size).toBe(lines);
    }),
    { numRuns: 150 },
  );
});

/** In small steps, so that there is a middle: the first `slicesBefore` of them see small pieces, the others merged ones. */
function mergedMeanwhile(small: PieceReads, merged: PieceReads, slicesBefore: number): PieceReads {
  let slices = 0;
  const store: PieceReads = {
    logPieces: (filter, page) => ((slices += 1) <= slicesBefore ? small : merged).logPieces(filter, { ...page, limit: 2 }),
    logSlice(filter, page) {
      const found = store.logPieces(filter, page);
      const last = found.at(-1);
      const place = page.newestFirst === true ? { beforeId: last?.id ?? 0 } : { afterId: last?.id ?? 0 };
      const next = last === undefined ? null : { ...place, sealed: last.sealed === true };
      return { pieces: found, next, receivedAt: last?.receivedAt ?? null };
    },
  };
  return store;
}

async function readNewestFirst(
  store: PieceReads,
  upTo: number,
  from?: LogCursor,
  limit = Infinity,
): Promise<{ texts: string[]; cursor: LogCursor | undefined }> {
  const texts: string[] = [];
  let cursor = from;
  for await (const batch of readBackwards(store, {}, { upTo, limit, ...(from && { from }) })) {
    texts.push(...batch.entries.map((entry) => ('gap' in entry ? 'gap' : entry.line)));
    if (batch.cursor !== null) cursor = decodeCursor(encodeCursor(batch.cursor));
    if (texts.length >= limit) break;
  }
  return { texts, cursor };
}

test('merged in the middle of one reading, which a page from its cursor goes on: every line once, in either direction', async () => {
  const slicesBefore = fc.integer({ min: 0, max: 4 });
  const size = fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 12 }));
  await fc.assert(
    fc.asyncProperty(pieces, slicesBefore, size, async (all, before, limit) => {
      const { small, merged, lines } = stores(all);
      const upTo = all.length;
      const first = await read(mergedMeanwhile(small, merged, before), { done: 0, partly: [] }, upTo, limit);
      const rest = await read(merged, first.cursor, upTo);
      const last = await readNewestFirst(mergedMeanwhile(small, merged, before), upTo, undefined, limit);
      const older = await readNewestFirst(merged, upTo, last.cursor);
      for (const [direction, texts] of Object.entries({
        forwards: [...first.texts, ...rest.texts],
        backwards: [...last.texts, ...older.texts],
      })) {
        expect({ direction, texts: texts.toSorted() }).toEqual({ direction, texts: [...new Set(texts)].toSorted() });
        expect({ direction, lines: texts.length }).toEqual({ direction, lines });
      }
    }),
    { numRuns: 300 },
  );
});

test('what came behind the place up to which is read stays out, merged or not, forwards and backwards', async () => {
  await fc.assert(
    fc.asyncProperty(pieces, fc.nat(14), async (all, at) => {
      const upTo = Math.min(at, all.length);
      const { small, merged } = stores(all);
      const expected = (await read(small, { done: 0, partly: [] }, upTo)).texts;
      const found = await read(merged, { done: 0, partly: [] }, upTo);
      expect(found.texts).toEqual(expected);
      // Its cursor says of a piece that goes beyond this place only what was read of it.
      expect([...expected, ...(await read(merged, found.cursor, all.length)).texts].toSorted()).toEqual(
        (await read(small, { done: 0, partly: [] }, all.length)).texts.toSorted(),
      );
      const last = await lastEntries(merged, {}, { upTo, limit: 1_000 });
      expect(last.map((entry) => ('gap' in entry ? 'gap' : entry.line))).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});
