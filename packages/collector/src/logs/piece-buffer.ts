/** What has come and has not been fetched by one reader yet. Bounded: the oldest is dropped, and told as counted gaps. */
import type { ApiLogGap } from '@relight/shared/api';
import type { Clock } from '@relight/shared/clock';
import { segmentId } from '@relight/shared/log-stream';
import { linesOf } from '../store/logs/parts.ts';
import type { StoredLogPiece } from '../store/store.ts';
import { alone } from './alone.ts';
import { gapEntry, pieceBytes } from './entry.ts';

export const bufferPiecesMax = 1_024;
export const bufferBytesMax = 4 * 1024 * 1024;

export interface ArrivedPiece {
  readonly piece: StoredLogPiece;
  /** Monotonic milliseconds. */
  readonly arrivedAt: number;
}

/** What was dropped of one segment. */
interface Skipped {
  readonly last: StoredLogPiece;
  readonly from: number;
  readonly to: number;
  readonly lines: number;
  readonly bytes: number;
}

export class PieceBuffer {
  readonly #wanted: (piece: StoredLogPiece) => boolean;
  readonly #clock: Clock;
  #pieces: ArrivedPiece[] = [];
  #bytes = 0;
  #skipped = new Map<string, Skipped>();
  #filled = Promise.withResolvers<void>();
  /** Pieces up to this id were read from the store. */
  seen = 0;

  constructor(wanted: (piece: StoredLogPiece) => boolean, clock: Clock) {
    this.#wanted = wanted;
    this.#clock = clock;
  }

  add(piece: StoredLogPiece): void {
    if (piece.id <= this.seen || !this.#wanted(piece)) return;
    // A reader that is slow, or waits for the rest of a record, holds a thousand of them and more, of which only their own bytes are counted.
    this.#pieces.push({ piece: piece.kind === 'block' ? alone(piece) : piece, arrivedAt: this.#clock.monotonic() });
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

  take(now: number): { pieces: readonly ArrivedPiece[]; gaps: readonly ApiLogGap[] } {
    // What is committed together may be published in any order; cursors need that of the ids.
    const pieces = this.#pieces.filter(({ piece }) => piece.id > this.seen).toSorted((a, b) => a.piece.id - b.piece.id);
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
    const piece = this.#pieces.shift()?.piece;
    if (piece === undefined) return;
    this.#bytes -= pieceBytes(piece);
    if (piece.id <= this.seen) return;
    const { segment, from, to } = piece.kind === 'block' ? piece.block.header : piece.gap;
    const lines = piece.kind === 'block' ? linesOf(piece) : (piece.gap.lines ?? 0);
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
