/**
 * Follows logs: what is stored, then what is committed from now on, merged by time over a short wait. A slow reader never slows
 * ingest: pieces it does not fetch in time are dropped from its buffer, oldest first, and reported as counted gaps.
 */
import { setImmediate } from 'node:timers/promises';
import type { ApiLogEntry, ApiLogGap } from '@relight/shared/api';
import { delay, type Clock } from '@relight/shared/clock';
import { segmentId } from '@relight/shared/log-stream';
import type { Bus } from '../bus.ts';
import type { StoredLogPiece } from '../store/store.ts';
import type { LogCursor } from './cursor.ts';
import { decodePiece, gapEntry, pieceBytes, pieceLength } from './entry.ts';
import { PieceMerger } from './merge.ts';
import { lastEntries, newestPiece, readLogs, type ReadDeps } from './read.ts';
import { pieceMatches, type LogSelection } from './selection.ts';

export interface FollowDeps extends ReadDeps {
  readonly bus: Bus;
  readonly clock: Clock;
}

/** Where to begin: the last N entries, everything that matches, or behind a cursor. */
export type FollowFrom = { readonly last: number } | { readonly all: true } | { readonly cursor: LogCursor };

/** One entry and the cursor behind it; `cursor` is null where resuming would not be exact. A batch may be only a cursor. */
export interface FollowItem {
  readonly entry: ApiLogEntry | null;
  readonly cursor: LogCursor | null;
}

/** Well within the 50 ms that a viewer does not notice; commits of one moment come within a few ms of each other. */
const mergeDelayMs = 20;
export const bufferPiecesMax = 1_024;
export const bufferBytesMax = 4 * 1024 * 1024;
/** A cursor names every piece that is half read: with more of them only the end of the batch has one. */
const exactPiecesMax = 16;
const nothingPartly = { partly: [] };

export async function* followLogs(
  deps: FollowDeps,
  selection: LogSelection,
  from: FollowFrom,
  signal: AbortSignal,
): AsyncGenerator<readonly FollowItem[]> {
  const buffer = new PieceBuffer((piece) => pieceMatches(selection, deps.fleet, piece));
  const subscription = deps.bus.subscribe('logs', (piece) => buffer.add(piece));
  signal.addEventListener('abort', () => buffer.wake(), { once: true });
  try {
    // Subscribed before this look, so that every piece is either stored behind it or comes through the buffer.
    const upTo = Math.max(newestPiece(deps, selection), 'cursor' in from ? from.cursor.done : 0);
    buffer.seen = upTo;
    yield* stored(deps, selection, from, upTo);
    yield [{ entry: null, cursor: { done: upTo, ...nothingPartly } }];
    yield* live(deps, selection, buffer, upTo, signal);
  } finally {
    subscription.dispose();
  }
}

async function* stored(deps: FollowDeps, selection: LogSelection, from: FollowFrom, upTo: number): AsyncGenerator<readonly FollowItem[]> {
  if ('last' in from) {
    const entries = from.last === 0 ? [] : await lastEntries(deps, selection, from.last, upTo);
    if (entries.length > 0) yield entries.map((entry) => ({ entry, cursor: null }));
    return;
  }
  const start = 'cursor' in from ? from.cursor : { done: 0, ...nothingPartly };
  for await (const { entries, cursor } of readLogs(deps, selection, { from: start, upTo })) {
    yield entries.map((entry, index) => ({ entry, cursor: index === entries.length - 1 ? cursor : null }));
  }
}

async function* live(
  { clock }: FollowDeps,
  selection: LogSelection,
  buffer: PieceBuffer,
  done: number,
  signal: AbortSignal,
): AsyncGenerator<readonly FollowItem[]> {
  const merger = new PieceMerger((piece, first) => decodePiece(piece, selection, first), 1, done);
  const oneStream = selection.hosts.length === 1 && selection.workload !== undefined && selection.source !== undefined;
  while (!signal.aborted) {
    await buffer.filled();
    if (signal.aborted) return;
    if (!oneStream) await delay(clock, mergeDelayMs, signal).catch(() => undefined);
    const { pieces, gaps } = buffer.take(clock.now());
    for (const piece of pieces) merger.add(piece);
    const items: FollowItem[] = gaps.map((entry) => ({ entry, cursor: null }));
    for (let next = merger.next(); next !== undefined; next = merger.next()) {
      if (typeof next === 'object') items.push({ entry: next.entry, cursor: merger.pieces <= exactPiecesMax ? merger.cursor() : null });
      else await setImmediate();
    }
    items.push({ entry: null, cursor: merger.cursor() });
    yield items;
  }
}

/** What was dropped of one segment. */
interface Skipped {
  readonly last: StoredLogPiece;
  readonly from: number;
  readonly to: number;
  readonly lines: number;
  readonly bytes: number;
}

class PieceBuffer {
  readonly #wanted: (piece: StoredLogPiece) => boolean;
  #pieces: StoredLogPiece[] = [];
  #bytes = 0;
  #skipped = new Map<string, Skipped>();
  #filled = Promise.withResolvers<void>();
  /** Pieces up to this id were read from the store. */
  seen = 0;

  constructor(wanted: (piece: StoredLogPiece) => boolean) {
    this.#wanted = wanted;
  }

  add(piece: StoredLogPiece): void {
    if (piece.id <= this.seen || !this.#wanted(piece)) return;
    this.#pieces.push(piece);
    this.#bytes += pieceBytes(piece);
    while (this.#pieces.length > bufferPiecesMax || this.#bytes > bufferBytesMax) this.#dropOldest();
    this.wake();
  }

  wake(): void {
    this.#filled.resolve();
  }

  filled(): Promise<void> {
    return this.#filled.promise;
  }

  take(now: number): { pieces: readonly StoredLogPiece[]; gaps: readonly ApiLogGap[] } {
    // What is committed together may be published in any order; cursors need that of the ids.
    const pieces = this.#pieces.filter((piece) => piece.id > this.seen).toSorted((a, b) => a.id - b.id);
    const gaps = [...this.#skipped.values()].map(({ last, from, to, lines, bytes }) =>
      gapEntry(last, now, { from, to, lines, bytes, reason: 'slow-reader' }),
    );
    this.#pieces = [];
    this.#bytes = 0;
    this.#skipped = new Map();
    this.#filled = Promise.withResolvers();
    return { pieces, gaps };
  }

  #dropOldest(): void {
    const piece = this.#pieces.shift();
    if (piece === undefined) return;
    this.#bytes -= pieceBytes(piece);
    if (piece.id <= this.seen) return;
    const { segment, from, to } = piece.kind === 'block' ? piece.block.header : piece.gap;
    const lines = piece.kind === 'block' ? pieceLength(piece) : (piece.gap.lines ?? 0);
    const bytes = piece.kind === 'block' ? piece.block.header.rawBytes : (piece.gap.bytes ?? 0);
    const key = `${piece.host} ${segmentId(segment)}`;
    const before = this.#skipped.get(key);
    this.#skipped.set(key, {
      last: piece,
      from: before?.from ?? from,
      to,
      lines: (before?.lines ?? 0) + lines,
      bytes: (before?.bytes ?? 0) + bytes,
    });
  }
}
