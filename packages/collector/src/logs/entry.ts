/** From stored pieces to what a reader gets: single entries. */
import { isoTime, type ApiLogEntry, type ApiLogGap, type ApiLogLine } from '@relight/shared/api';
import type { LogLine } from '@relight/shared/log-stream';
import { partsOf } from '../store/logs/parts.ts';
import type { StoredLogPiece } from '../store/store.ts';
import { detectLevel } from './level.ts';
import { segmentOf } from './selection.ts';

export interface PieceEntry {
  readonly at: number;
  /** Which line of its piece, wanted or not: 0 is the first. -1: it stands in front of the piece, and is shown because of it. */
  readonly index: number;
  readonly entry: ApiLogEntry;
  /** Neighbours with the same number belong together: nothing of other segments is to come between them. */
  readonly group?: number;
  /** What it shows of the pieces behind its own: so many lines from the front of each. */
  readonly ahead?: readonly { readonly piece: StoredLogPiece; readonly lines: number }[];
}

export const pieceBytes = (piece: StoredLogPiece): number => (piece.kind === 'block' ? piece.block.body.byteLength : 0);

type GapRange = ApiLogGap['gap'];

export function gapEntry(piece: StoredLogPiece, receivedAt: number, gap: GapRange): ApiLogGap {
  const { workload, generation, source, run } = segmentOf(piece);
  return { host: piece.host, workload, generation, source, run, receivedAt: isoTime(receivedAt), gap };
}

export function storedGap(piece: StoredLogPiece & { readonly kind: 'gap' }): PieceEntry {
  const { from, to, lines, bytes, reason, at } = piece.gap;
  const gap: GapRange = { from, to, ...(lines === undefined ? {} : { lines }), ...(bytes === undefined ? {} : { bytes }), reason };
  return { at, index: 0, entry: gapEntry(piece, piece.receivedAt, gap) };
}

/** A damaged block is one counted gap: reading goes on behind it. */
export function damagedGap(piece: StoredLogPiece & { readonly kind: 'block' }): PieceEntry {
  const { from, to, lines, rawBytes: bytes, firstAt } = piece.block.header;
  return { at: firstAt, index: lines - 1, entry: gapEntry(piece, piece.receivedAt, { from, to, lines, bytes, reason: 'damaged' }) };
}

/** What only some entries have. */
export type EntryMarks = Pick<ApiLogLine, 'context' | 'apart' | 'lines' | 'part'>;

/** Line `index` of a piece. */
export function lineEntry(piece: StoredLogPiece, index: number, line: LogLine, marks: EntryMarks = {}): ApiLogLine {
  const { workload, generation, source, run } = segmentOf(piece);
  const level = detectLevel(line.line);
  return {
    at: isoTime(line.at),
    ...(line.atApprox === true ? { atApprox: true } : {}),
    receivedAt: isoTime(receivedAt(piece, index)),
    host: piece.host,
    workload,
    generation,
    source,
    stream: line.stream,
    run,
    offset: line.offset,
    ...(level === null ? {} : { level }),
    line: line.line,
    ...(line.truncated === true ? { truncated: true } : {}),
    ...(line.collapsed === undefined ? {} : { collapsed: line.collapsed }),
    ...marks,
  };
}

/** A merged piece knows when each of its parts came. */
function receivedAt(piece: StoredLogPiece, index: number): number {
  if (piece.parts === undefined) return piece.receivedAt;
  let end = 0;
  return partsOf(piece).find(({ lines }) => index < (end += lines))?.receivedAt ?? piece.receivedAt;
}
