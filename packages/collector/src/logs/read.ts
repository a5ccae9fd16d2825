/** Reads stored logs: everything that matches in order, or backwards from the end. Never holds its thread for long. */
import { setImmediate } from 'node:timers/promises';
import type { ApiLogEntry } from '@relight/shared/api';
import { linesLeft, linesRead, linesUpTo } from '../store/logs/parts.ts';
import type { LogPage, LogPlace, LogReader, LogReads, LogSlice } from '../store/logs/port.ts';
import type { LogFilter } from '../store/store.ts';
import type { LogCursor } from './cursor.ts';
import { PieceDecoder } from './decode.ts';
import type { PieceEntry } from './entry.ts';
import { PieceMerger } from './merge.ts';
import { storedNeighbours } from './neighbours.ts';
import { pieceTest, showsWindows, storeFilter, type LogQuestion } from './selection.ts';

/** `damagedFiles`, `logSlice`: of a store on disk. */
export type PieceReads = Pick<LogReads, 'logPieces'> & Partial<Pick<LogReader, 'damagedFiles' | 'logSlice'>>;

function sliceOf(store: PieceReads, filter: LogFilter, page: LogPage): LogSlice {
  if (store.logSlice !== undefined) return store.logSlice(filter, page);
  const pieces = store.logPieces(filter, page);
  const last = pieces.at(-1);
  const receivedAt = last?.receivedAt ?? null;
  if (last === undefined || pieces.length < page.limit) return { pieces, receivedAt, next: null };
  const { id, sealed = false } = last;
  return { pieces, receivedAt, next: { ...(page.newestFirst === true ? { beforeId: id } : { afterId: id }), sealed } };
}

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
  const decoder = new PieceDecoder(question, storedNeighbours(store, upTo, 'after'), 'front');
  const filter = storeFilter(question, decoder.tokens);
  const wanted = pieceTest(question);
  const merger = new PieceMerger((piece, first, end) => decoder.decode(piece, first, end), 1, from);
  const pause = slicer(signal);
  let place: LogPlace | null = { afterId: from.done, sealed: from.sealed === true };
  // Of what is merged after this has begun, parts up to here have come already.
  let apart = from.sealed === true ? 0 : from.done;
  let pageSize = firstPagePieces;
  let count = 0;
  let entries: ApiLogEntry[] = [];
  for (;;) {
    let next: ReturnType<PieceMerger['next']> = 'unpacked';
    if (place !== null && merger.pieces < lookAheadPieces && merger.bytes < lookAheadBytes) {
      const slice: LogSlice = sliceOf(store, filter, { ...place, upTo, limit: pageSize });
      pageSize = pagePieces;
      for (const piece of slice.pieces) {
        if (!wanted(piece)) continue;
        const told = linesRead(piece, from);
        decoder.resumed(piece, told);
        merger.add(piece, Math.max(told, linesRead(piece, { done: apart })), linesUpTo(piece, upTo), told);
      }
      place = slice.next;
      if (place?.sealed !== true) apart = Math.max(apart, place?.afterId ?? 0);
    } else {
      next = merger.next();
      if (typeof next === 'object') {
        entries.push(next.entry);
        count += 1;
      }
    }
    const waited = next === 'unpacked' && (await pause());
    const ended = next === undefined && place === null;
    if (entries.length > 0 && (ended || waited || count === limit || entries.length >= batchEntries)) {
      yield { entries, cursor: merger.cursor() };
      entries = [];
    }
    if (ended) return;
  }
}

export interface BackwardRange {
  /** The newest piece that is read. */
  readonly upTo: number;
  /** Where somebody who has read the newest first goes on. */
  readonly from?: LogCursor;
  readonly limit?: number;
}

/**
 * Entries up to piece `upTo`, the newest first; what belongs to one group comes in its own order. Some batch ends exactly at the
 * `limit`th entry. No cursor where lines are shown together: a group may lie in several pieces.
 */
export async function* readBackwards(
  store: PieceReads,
  question: LogQuestion,
  { upTo, from, limit = Infinity }: BackwardRange,
  signal?: AbortSignal,
): AsyncGenerator<EntryBatch> {
  const { found, cursor } = backwards(store, question, { upTo, ...(from === undefined ? {} : { from }) }, signal);
  const apart = !showsWindows(question);
  let entries: ApiLogEntry[] = [];
  let group: PieceEntry[] = [];
  let count = 0;
  const endGroup = (): void => {
    entries.push(...group.toReversed().map(({ entry }) => entry));
    group = [];
  };
  for await (const one of found) {
    if (one !== 'waited') {
      if (group[0] !== undefined && one.group !== group[0].group) endGroup();
      group.push(one);
      count += 1;
      if (one.group === undefined || count === limit) endGroup();
    }
    if (entries.length > 0 && (one === 'waited' || count === limit || entries.length >= batchEntries)) {
      yield { entries, cursor: apart ? cursor() : null };
      entries = [];
    }
  }
  endGroup();
  if (entries.length > 0) yield { entries, cursor: apart ? cursor() : null };
}

/** The last `limit` entries up to piece `upTo`, oldest first. */
export async function lastEntries(
  store: PieceReads,
  question: LogQuestion,
  { upTo, limit = Infinity }: Pick<ReadRange, 'upTo' | 'limit'>,
  signal?: AbortSignal,
): Promise<readonly ApiLogEntry[]> {
  const entries: ApiLogEntry[] = [];
  if (limit > 0) {
    for await (const one of backwards(store, question, { upTo }, signal).found) {
      if (one !== 'waited') entries.push(one.entry);
      if (entries.length === limit) break;
    }
  }
  return entries.toReversed();
}

interface Backwards {
  /** Strictly backwards; 'waited' now and then, when others have been let in. */
  readonly found: AsyncGenerator<PieceEntry | 'waited'>;
  /** The place behind the last entry that was found. */
  readonly cursor: () => LogCursor;
}

function backwards(
  store: PieceReads,
  question: LogQuestion,
  { upTo, from = { done: upTo + 1, partly: [] } }: Pick<BackwardRange, 'upTo' | 'from'>,
  signal: AbortSignal | undefined,
): Backwards {
  const decoder = new PieceDecoder(question, storedNeighbours(store, upTo, 'before'), 'back');
  const filter = storeFilter(question, decoder.tokens);
  const wanted = pieceTest(question);
  const merger = new PieceMerger((piece, first, end) => decoder.decode(piece, first, end), -1, from);
  const pause = slicer(signal);
  async function* find(): AsyncGenerator<PieceEntry | 'waited'> {
    let place: LogPlace | null = { beforeId: from.done, sealed: from.sealed === true };
    // Of what is merged after this has begun, parts from here on have come already.
    let apart = from.sealed === true ? Infinity : from.done;
    let pageSize = firstPagePieces;
    // A piece holds no line that is newer than its receipt, so an older piece than all seen has nothing newer than this.
    let unseenAt = Infinity;
    for (;;) {
      if (place !== null && merger.bytes < backwardBytesMax && (merger.nextAt ?? -Infinity) < unseenAt) {
        const slice: LogSlice = sliceOf(store, filter, { ...place, upTo, limit: pageSize, newestFirst: true });
        pageSize = pagePieces;
        for (const piece of slice.pieces) {
          if (!wanted(piece)) continue;
          const told = Math.min(linesLeft(piece, from), linesUpTo(piece, upTo));
          merger.add(piece, 0, Math.min(told, linesLeft(piece, { done: apart })), told);
        }
        place = slice.next;
        if (place?.sealed !== true) apart = Math.min(apart, place?.beforeId ?? apart);
        unseenAt = slice.receivedAt ?? unseenAt;
      } else {
        const next = merger.next();
        if (next === undefined && place === null) return;
        if (typeof next === 'object') {
          yield next;
          continue;
        }
      }
      if (await pause()) yield 'waited';
    }
  }
  return { found: find(), cursor: () => merger.cursor() };
}
