/** Reads stored logs: everything that matches in order, or backwards from the end. Never holds its thread for long. */
import { setImmediate } from 'node:timers/promises';
import type { ApiLogEntry } from '@relight/shared/api';
import { linesRead, linesUpTo } from '../store/logs/parts.ts';
import type { LogPage, LogReader, LogReads } from '../store/logs/port.ts';
import type { StoredLogPiece } from '../store/store.ts';
import type { LogCursor } from './cursor.ts';
import { PieceDecoder } from './decode.ts';
import type { PieceEntry } from './entry.ts';
import { PieceMerger } from './merge.ts';
import { storedNeighbours } from './neighbours.ts';
import { pieceTest, storeFilter, type LogQuestion } from './selection.ts';

/** `damagedFiles`: of a store on disk. */
export type PieceReads = Pick<LogReads, 'logPieces'> & Partial<Pick<LogReader, 'damagedFiles'>>;

/** Pieces are stored in the order of commit, so what an agent held back stands late; so many pieces ahead are put in order of time. */
const lookAheadPieces = 256;
const lookAheadBytes = 8 * 1024 * 1024;
/** The last N of a very busy fleet: beyond this, order between hosts is only nearly that of time. */
const backwardBytesMax = 32 * 1024 * 1024;
/** The first page is small: most readers want a few lines of one or two pieces. */
const firstPagePieces = 8;
const pagePieces = 64;
const batchEntries = 512;
const sliceMs = 10;

/** Lets others run when this reader has worked for a while; true: it did. */
function slicer(signal: AbortSignal | undefined): () => Promise<boolean> {
  let began = performance.now();
  return async () => {
    if (performance.now() - began < sliceMs) return false;
    await setImmediate();
    signal?.throwIfAborted();
    began = performance.now();
    return true;
  };
}

/** The newest piece of all; null: there is none. Asked without any filter, which the store answers at once. */
export function newestPlace(store: PieceReads): LogCursor | null {
  const [newest] = store.logPieces({}, { limit: 1, newestFirst: true });
  return newest === undefined ? null : { done: newest.id, ...(newest.sealed === true ? { sealed: true } : {}), partly: [] };
}

/** Entries, and the cursor behind the last of them. */
export interface EntryBatch {
  readonly entries: readonly ApiLogEntry[];
  readonly cursor: LogCursor | null;
}

export interface ReadRange {
  readonly from: LogCursor;
  /** The newest piece that is read. */
  readonly upTo: number;
  readonly limit?: number;
}

/**
 * Everything that matches behind `from`, up to piece `upTo`, oldest first. Some batch ends exactly at the `limit`th entry. What has
 * been found is yielded as soon as the search has lasted for a while, so that rare lines need not wait for each other.
 */
export async function* readLogs(
  store: PieceReads,
  question: LogQuestion,
  { from, upTo, limit = Infinity }: ReadRange,
  signal?: AbortSignal,
): AsyncGenerator<EntryBatch> {
  const decoder = new PieceDecoder(question, storedNeighbours(store, upTo));
  const filter = storeFilter(question, decoder.tokens);
  const wanted = pieceTest(question);
  const merger = new PieceMerger((piece, first, end) => decoder.decode(piece, first, end), 1, from);
  const pause = slicer(signal);
  let place: Pick<LogPage, 'afterId' | 'sealed'> = { afterId: from.done, ...(from.sealed === true ? { sealed: true } : {}) };
  let pageSize = firstPagePieces;
  let more = true;
  let count = 0;
  let entries: ApiLogEntry[] = [];
  for (;;) {
    let waited = false;
    while (more && merger.pieces < lookAheadPieces && merger.bytes < lookAheadBytes) {
      const page = store.logPieces(filter, { ...place, upTo, limit: pageSize });
      more = page.length === pageSize;
      pageSize = pagePieces;
      for (const piece of page) if (wanted(piece)) merger.add(piece, linesRead(piece, from), linesUpTo(piece, upTo));
      place = placeBehind(page) ?? place;
      waited = await pause();
    }
    const next = merger.next();
    if (typeof next === 'object') {
      entries.push(next.entry);
      count += 1;
    }
    if (next === 'unpacked') waited = (await pause()) || waited;
    const ended = next === undefined && !more;
    if (entries.length > 0 && (ended || waited || count === limit || entries.length >= batchEntries)) {
      yield { entries, cursor: merger.cursor() };
      entries = [];
    }
    if (ended) return;
  }
}

function placeBehind(page: readonly StoredLogPiece[]): { readonly afterId: number; readonly sealed: boolean } | undefined {
  const last = page.at(-1);
  return last === undefined ? undefined : { afterId: last.id, sealed: last.sealed === true };
}

/** Entries up to piece `upTo`, the newest first; what belongs to one group comes in its own order. */
export async function* readBackwards(
  store: PieceReads,
  question: LogQuestion,
  { upTo, limit = Infinity }: Pick<ReadRange, 'upTo' | 'limit'>,
  signal?: AbortSignal,
): AsyncGenerator<readonly ApiLogEntry[]> {
  let entries: ApiLogEntry[] = [];
  let group: PieceEntry[] = [];
  const endGroup = (): void => {
    entries.push(...group.toReversed().map(({ entry }) => entry));
    group = [];
  };
  for await (const found of backwards(store, question, { upTo, limit }, signal)) {
    if (found !== 'waited') {
      if (group[0] !== undefined && (found.group === undefined || found.group !== group[0].group)) endGroup();
      group.push(found);
    }
    if (entries.length >= batchEntries || (found === 'waited' && entries.length > 0)) {
      yield entries;
      entries = [];
    }
  }
  endGroup();
  if (entries.length > 0) yield entries;
}

/** The last `limit` entries up to piece `upTo`, oldest first. */
export async function lastEntries(
  store: PieceReads,
  question: LogQuestion,
  range: Pick<ReadRange, 'upTo' | 'limit'>,
  signal?: AbortSignal,
): Promise<readonly ApiLogEntry[]> {
  const entries: ApiLogEntry[] = [];
  for await (const found of backwards(store, question, range, signal)) if (found !== 'waited') entries.push(found.entry);
  return entries.toReversed();
}

/** Strictly backwards; 'waited' now and then, when others have been let in. */
async function* backwards(
  store: PieceReads,
  question: LogQuestion,
  { upTo, limit = Infinity }: Pick<ReadRange, 'upTo' | 'limit'>,
  signal: AbortSignal | undefined,
): AsyncGenerator<PieceEntry | 'waited'> {
  const decoder = new PieceDecoder(question, storedNeighbours(store, upTo));
  const filter = storeFilter(question, decoder.tokens);
  const wanted = pieceTest(question);
  const merger = new PieceMerger((piece, first, end) => decoder.decode(piece, first, end), -1);
  const pause = slicer(signal);
  let place: Pick<LogPage, 'beforeId' | 'sealed'> = {};
  let pageSize = firstPagePieces;
  let more = limit > 0;
  let count = 0;
  // A piece holds no line that is newer than its receipt, so an older piece than all seen has nothing newer than this.
  let unseenAt = Infinity;
  while (count < limit) {
    if (more && merger.bytes < backwardBytesMax && (merger.nextAt ?? -Infinity) < unseenAt) {
      const page = store.logPieces(filter, { ...place, upTo, limit: pageSize, newestFirst: true });
      more = page.length === pageSize;
      pageSize = pagePieces;
      for (const piece of page) if (wanted(piece)) merger.add(piece, 0, linesUpTo(piece, upTo));
      const last = page.at(-1);
      if (last !== undefined) place = { beforeId: last.id, sealed: last.sealed === true };
      unseenAt = last?.receivedAt ?? -Infinity;
    } else {
      const next = merger.next();
      if (next === undefined && !more) return;
      if (typeof next === 'object') {
        count += 1;
        yield next;
      }
    }
    if (await pause()) yield 'waited';
  }
}
