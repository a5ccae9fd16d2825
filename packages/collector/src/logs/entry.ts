/** From stored pieces to what a reader gets. */
import { isoTime, type ApiLogEntry, type ApiLogGap, type ApiLogLine } from '@relight/shared/api';
import { unpackBlock } from '@relight/shared/log-block';
import type { LogLine } from '@relight/shared/log-stream';
import type { StoredLogPiece } from '../store/store.ts';
import { segmentOf, type LogSelection } from './selection.ts';

export interface PieceEntry {
  readonly at: number;
  /** Which line of its piece, wanted or not: 0 is the first. */
  readonly index: number;
  readonly entry: ApiLogEntry;
}

/** How many entries a piece has before any are left out. */
export const pieceLength = (piece: StoredLogPiece): number => (piece.kind === 'block' ? piece.block.header.lines : 1);

export const pieceBytes = (piece: StoredLogPiece): number => (piece.kind === 'block' ? piece.block.body.byteLength : 0);

type GapRange = ApiLogGap['gap'];

export function gapEntry(piece: StoredLogPiece, receivedAt: number, gap: GapRange): ApiLogGap {
  const { workload, generation, source, run } = segmentOf(piece);
  return { host: piece.host, workload, generation, source, run, receivedAt: isoTime(receivedAt), gap };
}

/** The wanted entries of a piece in their order, from line `first` on. A damaged block is one counted gap: reading goes on behind it. */
export function decodePiece(piece: StoredLogPiece, selection: LogSelection, first = 0): PieceEntry[] {
  const { since = -Infinity, until = Infinity, match } = selection;
  const wanted = (at: number): boolean => at >= since && at <= until;
  if (first >= pieceLength(piece)) return [];
  if (piece.kind === 'gap') {
    const { from, to, lines, bytes, reason, at } = piece.gap;
    const gap: GapRange = { from, to, ...(lines === undefined ? {} : { lines }), ...(bytes === undefined ? {} : { bytes }), reason };
    return wanted(at) ? [{ at, index: 0, entry: gapEntry(piece, piece.receivedAt, gap) }] : [];
  }
  const { header } = piece.block;
  let lines: readonly LogLine[];
  try {
    lines = unpackBlock(piece.block);
  } catch {
    const { from, to, rawBytes: bytes } = header;
    const gap: GapRange = { from, to, lines: header.lines, bytes, reason: 'damaged' };
    return [{ at: header.firstAt, index: header.lines - 1, entry: gapEntry(piece, piece.receivedAt, gap) }];
  }
  const entries: PieceEntry[] = [];
  for (let index = first; index < lines.length; index += 1) {
    const line = lines[index];
    if (line === undefined || !wanted(line.at) || match?.(line.line) === false) continue;
    entries.push({ at: line.at, index, entry: lineEntry(piece, line) });
  }
  return entries;
}

function lineEntry(piece: StoredLogPiece, line: LogLine): ApiLogLine {
  const { workload, generation, source, run } = segmentOf(piece);
  return {
    at: isoTime(line.at),
    ...(line.atApprox === true ? { atApprox: true } : {}),
    receivedAt: isoTime(piece.receivedAt),
    host: piece.host,
    workload,
    generation,
    source,
    stream: line.stream,
    run,
    offset: line.offset,
    line: line.line,
    ...(line.truncated === true ? { truncated: true } : {}),
  };
}
