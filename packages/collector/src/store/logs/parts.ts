/** Which lines of a piece a reader still wants, whether it has seen the piece whole, in parts, or not at all. Pure. */
import type { StoredLogPiece } from '../store.ts';
import type { LogPart } from './port.ts';

/** A place in the logs: everything up to piece `done` was read, and of some later pieces the first `read` lines. */
export interface SeenLogs {
  readonly done: number;
  /** The `sealed` of the piece `done`: with it, parts up to `done` in a later piece of the same file were not read. */
  readonly sealed?: boolean;
  readonly partly?: readonly { readonly id: number; readonly read: number }[];
}

export const linesOf = (piece: StoredLogPiece): number => (piece.kind === 'block' ? piece.block.header.lines : 1);

/** A piece that was not merged is its own only part. */
export const partsOf = (piece: StoredLogPiece): readonly LogPart[] =>
  piece.parts ?? [{ id: piece.id, lines: linesOf(piece), receivedAt: piece.receivedAt }];

/**
 * How many lines at the front of `piece` were read. Lines of a segment are read strictly in order, so what lies before a part
 * that was touched was read as well.
 */
export function linesRead(piece: StoredLogPiece, { done, sealed = false, partly = [] }: SeenLogs): number {
  let before = 0;
  let read = 0;
  for (const { id, lines } of partsOf(piece)) {
    const mentioned = partly.find((one) => one.id === id);
    if (id <= done && (!sealed || piece.id <= done)) read = before + lines;
    else if (mentioned !== undefined) read = before + Math.min(mentioned.read, lines);
    before += lines;
  }
  return read;
}

/**
 * How many lines at the front of `piece` are left for who reads the newest first: everything from piece `done` on was read, and of
 * some earlier pieces all but the first `read` lines. With `sealed` piece `done` was read with all its parts, and so were later ones.
 */
export function linesLeft(piece: StoredLogPiece, { done, sealed = false, partly = [] }: SeenLogs): number {
  if (sealed && piece.id >= done) return 0;
  let left = 0;
  for (const { id, lines } of partsOf(piece)) {
    if (id >= done) return left;
    const mentioned = partly.find((one) => one.id === id);
    if (mentioned !== undefined) return left + Math.min(mentioned.read, lines);
    left += lines;
  }
  return left;
}

/** How many lines from the front of `piece` belong to parts up to piece `upTo`. */
export function linesUpTo(piece: StoredLogPiece, upTo: number): number {
  return partsOf(piece).reduce((sum, { id, lines }) => (id <= upTo ? sum + lines : sum), 0);
}

/** The place behind the first `read` lines of a piece, as an entry of `partly` that stays exact when the piece is merged further. */
export function placeIn(piece: StoredLogPiece, read: number): { readonly id: number; readonly read: number } {
  let left = read;
  for (const { id, lines } of partsOf(piece)) {
    if (left <= lines) return { id, read: left };
    left -= lines;
  }
  return { id: piece.id, read: linesOf(piece) };
}
