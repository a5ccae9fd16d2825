/** Reads stored logs: everything that matches in order, or the last N. Never holds the process for long. */
import { setImmediate } from 'node:timers/promises';
import type { ApiLogEntry } from '@relight/shared/api';
import type { Fleet } from '../fleet.ts';
import type { Store } from '../store/store.ts';
import type { LogCursor } from './cursor.ts';
import { decodePiece } from './entry.ts';
import { PieceMerger } from './merge.ts';
import { pieceMatches, storeFilter, type LogSelection } from './selection.ts';

export interface ReadDeps {
  readonly store: Store;
  readonly fleet: Fleet;
}

/** Pieces are stored in the order of commit, so what an agent held back stands late; so many pieces ahead are put in order of time. */
const lookAheadPieces = 256;
const lookAheadBytes = 8 * 1024 * 1024;
/** The last N of a very busy fleet: beyond this, order between hosts is only nearly that of time. */
const backwardBytesMax = 32 * 1024 * 1024;
const pagePieces = 64;
const batchEntries = 512;
const sliceMs = 10;

/** Lets others run when this reader has worked for a while. */
function slicer(): () => Promise<void> {
  let began = performance.now();
  return async () => {
    if (performance.now() - began < sliceMs) return;
    await setImmediate();
    began = performance.now();
  };
}

/** The id of the newest piece that may match; 0: none. */
export function newestPiece({ store, fleet }: ReadDeps, selection: LogSelection): number {
  return store.logPieces(storeFilter(selection, fleet), { limit: 1, newestFirst: true })[0]?.id ?? 0;
}

/** Entries, and the cursor behind the last of them. */
export interface EntryBatch {
  readonly entries: readonly ApiLogEntry[];
  readonly cursor: LogCursor;
}

/** Everything that matches behind `from`, up to piece `upTo`, oldest first. Some batch ends exactly at the `limit`th entry. */
export async function* readLogs(
  deps: ReadDeps,
  selection: LogSelection,
  range: { readonly from: LogCursor; readonly upTo: number; readonly limit?: number },
): AsyncGenerator<EntryBatch> {
  const { from, upTo, limit = Infinity } = range;
  const filter = storeFilter(selection, deps.fleet);
  const merger = new PieceMerger((piece, first) => decodePiece(piece, selection, first), 1, from.done);
  const readBefore = new Map(from.partly.map(({ id, read }) => [id, read]));
  const pause = slicer();
  let afterId = from.done;
  let more = true;
  let count = 0;
  let entries: ApiLogEntry[] = [];
  for (;;) {
    while (more && merger.pieces < lookAheadPieces && merger.bytes < lookAheadBytes) {
      const page = deps.store.logPieces(filter, { afterId, limit: pagePieces }).filter((piece) => piece.id <= upTo);
      more = page.length === pagePieces;
      for (const piece of page) if (pieceMatches(selection, deps.fleet, piece)) merger.add(piece, readBefore.get(piece.id) ?? 0);
      afterId = page.at(-1)?.id ?? afterId;
      await pause();
    }
    const next = merger.next();
    if (typeof next === 'object') {
      entries.push(next.entry);
      count += 1;
    }
    const ended = next === undefined && !more;
    if (entries.length > 0 && (ended || count === limit || entries.length >= batchEntries)) {
      yield { entries, cursor: merger.cursor() };
      entries = [];
    }
    if (ended) return;
    if (next === 'unpacked') await pause();
  }
}

/** The last `count` entries up to piece `upTo`, oldest first. */
export async function lastEntries(deps: ReadDeps, selection: LogSelection, count: number, upTo: number): Promise<readonly ApiLogEntry[]> {
  const filter = storeFilter(selection, deps.fleet);
  const merger = new PieceMerger((piece) => decodePiece(piece, selection), -1);
  const pause = slicer();
  const found: ApiLogEntry[] = [];
  let beforeId = upTo + 1;
  let more = true;
  // A piece holds no line that is newer than its receipt, so an older piece than all seen has nothing newer than this.
  let unseenAt = Infinity;
  while (found.length < count) {
    if (more && merger.bytes < backwardBytesMax && (merger.nextAt ?? -Infinity) < unseenAt) {
      const page = deps.store.logPieces(filter, { beforeId, limit: pagePieces, newestFirst: true });
      more = page.length === pagePieces;
      for (const piece of page) if (pieceMatches(selection, deps.fleet, piece)) merger.add(piece);
      beforeId = page.at(-1)?.id ?? beforeId;
      unseenAt = page.at(-1)?.receivedAt ?? -Infinity;
    } else {
      const next = merger.next();
      if (next === undefined && !more) break;
      if (typeof next === 'object') found.push(next.entry);
    }
    await pause();
  }
  return found.toReversed();
}
