/** Takes the wanted lines out of a piece, with what is to be shown around them, which may lie in the pieces beside it. */
import type { ApiLogEntry } from '@relight/shared/api';
import { openPart, type OpenBlock } from '@relight/shared/log-block';
import { segmentId, type LogLine } from '@relight/shared/log-stream';
import { linesOf } from '../store/logs/parts.ts';
import type { StoredLogPiece } from '../store/store.ts';
import { criteriaOf, type Criterion } from './criteria.ts';
import { damagedGap, lineEntry, storedGap, type PieceEntry } from './entry.ts';
import type { Decoded } from './merge.ts';
import { opened, OpenBlocks } from './open-blocks.ts';
import { RecentPieces } from './recent.ts';
import { recordBytesMax, recordLinesMax } from './records.ts';
import { segmentOf, showsWindows, type LineSelection } from './selection.ts';
import { joinsRecord, partShown, type Range, type Unit, type Window, windowsOf } from './windows.ts';

export type BlockPiece = StoredLogPiece & { readonly kind: 'block' };

/** The pieces of the same segment right before and right behind one; null: none, a gap, or not known. */
export interface Neighbours {
  before(piece: BlockPiece): BlockPiece | null;
  after(piece: BlockPiece): BlockPiece | null;
}

/** A line in its place: of the piece itself, or of one beside it. */
interface PlacedLine {
  readonly piece: BlockPiece;
  readonly block: OpenBlock;
  readonly index: number;
}

/** How far to look into a neighbour for the rest of a record. A longer one comes in pieces. */
const reachMax = recordLinesMax;
/** Unpacked, for each who asks. */
const keptBytesMax = 4 * 1024 * 1024;
/** While somebody watches, blocks have few lines. */
const reachPiecesMax = 32;
/**
 * Large blocks that are looked into in part first: enough for the first page of a fleet that writes all at once, where one line of each
 * of hundreds of blocks is needed. Who reads on reads most of them whole, and a second look costs more than it saves.
 */
const partsMax = 512;
/** A part without any wanted line was looked at for nothing, and so will be those of others: where matches are rare this ends soon. */
const emptyPartCosts = 16;

export class PieceDecoder {
  readonly #selection: LineSelection;
  readonly #criteria: readonly Criterion[];
  readonly #neighbours: Neighbours;
  readonly #recent: RecentPieces | null;
  readonly #windowed: boolean;
  /** Of stored pieces: each is looked into for its own lines, and from the pieces beside it. */
  readonly #kept = new OpenBlocks();
  readonly #part: 'front' | 'back' | null;
  #partsLeft = partsMax;
  /** Offsets that were shown of each segment, [from, to): a line that stands in two windows comes once. */
  readonly #shown = new Map<string, Range>();
  #groups = 0;

  /**
   * Throws `usage` when the expression is none. Pieces of one segment must come one behind the other, in either direction. `live`:
   * what comes next is known only as far as it has `arrived`, so what is shown at the end of a piece is continued in the next. `part`: which lines of a
   * piece are wanted first; the others perhaps never.
   */
  constructor(selection: LineSelection, neighbours: Neighbours | 'live', part: 'front' | 'back' | null = null) {
    this.#selection = selection;
    this.#part = part;
    this.#criteria = criteriaOf(selection);
    const { linesBefore = 0, linesAfter = 0, multiline = false } = selection;
    const beside = neighbours === 'live' ? new RecentPieces(linesBefore + linesAfter + (multiline ? reachMax : 0)) : neighbours;
    this.#recent = beside instanceof RecentPieces ? beside : null;
    this.#neighbours = beside;
    this.#windowed = showsWindows(selection);
  }

  /** Of live pieces: it will be decoded, in its turn. What is known to come is looked into for the rest of a record. */
  arrived(piece: StoredLogPiece): void {
    if (piece.kind === 'block' && this.#selection.multiline === true) this.#recent?.arrived(piece);
  }

  /**
   * Who goes on from a cursor was shown what is wanted up to the line behind which it stands in a piece. Of one that was read to its end that is
   * not so: a record may begin there that only a line of the next piece makes wanted.
   */
  resumed(piece: StoredLogPiece, read: number): void {
    if (!this.#windowed || piece.kind === 'gap' || read === 0 || read >= piece.block.header.lines) return;
    const to = this.#opened(piece)?.offset(read);
    if (to !== undefined) this.#remember(segmentOfAll(piece), [{ from: 0, to }]);
  }

  /** Tokens that every piece with a wanted line holds. Of a record, another line may hold what the other criteria ask for. */
  get tokens(): readonly string[] {
    const criteria = this.#selection.multiline === true ? this.#criteria.slice(0, 1) : this.#criteria;
    return [...new Set(criteria.flatMap(({ tokens }) => tokens))];
  }

  /** The wanted entries of a piece in their order, of its lines [first, end); of a large one perhaps only of a part of them. */
  decode(piece: StoredLogPiece, first = 0, end = Infinity): Decoded {
    const last = Math.min(end, linesOf(piece));
    if (first >= last) return { entries: [] };
    if (piece.kind === 'gap') return { entries: this.#inTime(piece.gap.at) ? [storedGap(piece)] : [] };
    const block = this.#openPart(piece, first, last) ?? this.#opened(piece);
    if (block === null) return { entries: [damagedGap(piece)] };
    const own = { from: Math.max(first, block.firstLine), to: Math.min(last, block.endLine) };
    if (this.#windowed) return { entries: this.#windows(piece, block, own) };
    const entries = this.#lines(piece, block, own);
    if (block.endLine - block.firstLine < block.lines) this.#partsLeft -= entries.length === 0 ? emptyPartCosts : 1;
    if (own.to < last) return { entries, rest: { from: own.to, end: last, at: block.at(own.to) } };
    if (own.from > first) return { entries, rest: { from: first, end: own.from, at: block.at(own.from - 1) } };
    return { entries };
  }

  /** Where lines are shown together each is asked for by those beside it, too. */
  #opened(piece: BlockPiece): OpenBlock | null {
    if (!this.#windowed) return opened(piece);
    return this.#recent === null ? this.#kept.open(piece, keptBytesMax) : this.#recent.opened(piece);
  }

  /** Only of a piece that is wanted from that side on: the other part of it lies elsewhere. */
  #openPart(piece: BlockPiece, first: number, end: number): OpenBlock | null {
    if (this.#part === null || this.#partsLeft <= 0 || this.#windowed) return null;
    if (this.#part === 'front' ? first > 0 : end < linesOf(piece)) return null;
    return openPart(piece.block, this.#part);
  }

  #inTime(at: number): boolean {
    const { since = -Infinity, until = Infinity } = this.#selection;
    return at >= since && at <= until;
  }

  #lines(piece: BlockPiece, block: OpenBlock, { from, to }: Range): PieceEntry[] {
    const entries: PieceEntry[] = [];
    for (const index of this.#candidates(block)) {
      if (index < from) continue;
      if (index >= to) break;
      const at = block.at(index);
      if (!this.#inTime(at)) continue;
      const line = block.line(index);
      if (this.#criteria.every(({ matches }) => matches(line.line))) entries.push(lazyEntry(piece, index, line));
    }
    return entries;
  }

  #candidates(block: OpenBlock): Iterable<number> {
    return this.#criteria[0]?.candidates?.(block) ?? indices(block.endLine - block.firstLine, block.firstLine);
  }

  /** Nothing wanted in the piece itself: its neighbours need not be looked at. */
  #mayHold(block: OpenBlock, { from, to }: Range): boolean {
    for (const index of this.#candidates(block)) {
      if (index >= from && index < to && (this.#criteria[0]?.matches(text(block, index)) ?? true)) return true;
    }
    return false;
  }

  #windows(piece: BlockPiece, block: OpenBlock, own: Range): PieceEntry[] {
    const goesOn = this.#recent?.opensInto(piece) ?? false;
    if (!goesOn && !this.#mayHold(block, own)) {
      this.#recent?.passed(piece, false);
      return [];
    }
    const { linesBefore = 0, linesAfter = 0, multiline = false } = this.#selection;
    const reach = multiline ? reachMax : 0;
    const placed = [
      ...this.#beside(piece, 'before', linesBefore + (this.#recent === null ? 0 : linesAfter), reach),
      ...Array.from({ length: own.to }, (_, index) => ({ piece, block, index })),
      ...(own.to < block.lines ? [] : this.#beside(piece, 'after', linesAfter, reach)),
    ];
    const ahead = placed.findIndex((line) => line.piece === piece);
    const found = windowsOf(
      placed.map((line) => text(line.block, line.index)),
      { from: goesOn ? 0 : ahead + own.from, to: ahead + own.to },
      (index) => this.#inTime(at(placed, index)),
      { criteria: this.#criteria, multiline, before: linesBefore, after: linesAfter },
    );
    const segment = segmentOfAll(piece);
    const before = this.#shown.get(segment);
    const entries = found.flatMap((window) => this.#show(placed, window, { piece, own, before }));
    const seen = found.map(({ from, to }) => ({ from: offsets(placed, from).from, to: offsets(placed, to - 1).to }));
    this.#remember(segment, seen);
    this.#recent?.passed(piece, found.at(-1)?.to === placed.length);
    return entries;
  }

  /**
   * So many lines in front of a piece (behind it), as far as they are there; `reach` more of them only as far as a record may have bytes.
   * A damaged block has none; it will tell of itself.
   */
  #beside(piece: BlockPiece, side: 'before' | 'after', around: number, reach: number): PlacedLine[] {
    const found: PlacedLine[][] = [];
    let missing = around + reach;
    let bytes = 0;
    let next = piece;
    for (let pieces = 0; missing > 0 && pieces < reachPiecesMax; pieces += 1) {
      if (bytes > recordBytesMax && missing <= reach) break;
      const beside = this.#neighbours[side](next);
      const block = beside === null ? null : this.#opened(beside);
      if (beside === null || block === null) break;
      const from = side === 'before' ? Math.max(0, block.lines - missing) : 0;
      const lines = indices(Math.min(missing, block.lines), from).map((index) => ({ piece: beside, block, index }));
      found.push(lines);
      missing -= lines.length;
      bytes += block.header.rawBytes;
      next = beside;
    }
    return side === 'before' ? found.toReversed().flat() : found.flat();
  }

  #show(
    placed: readonly PlacedLine[],
    window: Window,
    { piece, own, before }: { readonly piece: BlockPiece; readonly own: Range; readonly before: Range | undefined },
  ): PieceEntry[] {
    const group = (this.#groups += 1);
    const entries: PieceEntry[] = [];
    const isNew = (index: number): boolean => {
      const line = placed[index];
      if (line === undefined) return false;
      // Read before, by whoever goes on from a cursor now.
      if (line.piece === piece && line.index < own.from) return false;
      const { from } = offsets(placed, index);
      return before === undefined || from < before.from || from >= before.to;
    };
    for (const row of rowsOf(window)) {
      const { from, to, wanted } = row;
      const fresh = indices(to - from, from).filter(isNew);
      const [first, last] = [placed[fresh[0] ?? -1], placed[fresh.at(-1) ?? -1]];
      if (first === undefined || last === undefined) continue;
      const apart = entries.length === 0 && first.block.offset(first.index) !== before?.to;
      const entry = this.#entry(placed, fresh, { wanted, apart, part: wanted ? this.#partOf(placed, row, fresh) : undefined });
      const ahead = last.piece === piece ? [] : linesAhead(placed, fresh, piece);
      entries.push({
        at: first.block.at(first.index),
        index: ownIndex(last, piece),
        group,
        entry,
        ...(ahead.length === 0 ? {} : { ahead }),
      });
    }
    return entries;
  }

  /** Of live lines it is not said: where a record ends is not known while it is written, so what is shown first could not say that it is. */
  #partOf(placed: readonly PlacedLine[], unit: Unit, fresh: readonly number[]): Unit['part'] {
    if (this.#recent !== null || this.#selection.multiline !== true) return undefined;
    const shown = { from: fresh[0] ?? unit.from, to: (fresh.at(-1) ?? unit.to) + 1 };
    return partShown(unit, shown, placed.length, (side) => this.#joins(placed, side));
  }

  /** Asked only where a record reaches as far as was looked. A block that is damaged joins nothing. */
  #joins(placed: readonly PlacedLine[], side: 'before' | 'after'): boolean {
    const beyond = this.#beyond(placed, side);
    if (beyond === null) return false;
    return joinsRecord(
      placed.map((line) => text(line.block, line.index)),
      side,
      beyond,
    );
  }

  #beyond(placed: readonly PlacedLine[], side: 'before' | 'after'): string | null {
    const edge = side === 'before' ? placed[0] : placed.at(-1);
    if (edge === undefined) return null;
    const index = edge.index + (side === 'before' ? -1 : 1);
    if (index >= 0 && index < edge.block.lines) return text(edge.block, index);
    const piece = this.#neighbours[side](edge.piece);
    const block = piece === null ? null : this.#opened(piece);
    return block === null ? null : text(block, side === 'before' ? block.lines - 1 : 0);
  }

  #entry(
    placed: readonly PlacedLine[],
    rows: readonly number[],
    { wanted, apart, part }: { wanted: boolean; apart: boolean; part: Unit['part'] },
  ): ApiLogEntry {
    const lines = rows.flatMap((index) => placed[index] ?? []);
    const [first] = lines;
    if (first === undefined) throw new Error('an entry of no line');
    const texts = lines.map(({ block, index }) => text(block, index));
    const line = first.block.line(first.index);
    const cut = lines.some(({ block, index }) => block.line(index).truncated === true);
    return lineEntry(
      first.piece,
      first.index,
      texts.length === 1 ? line : { ...line, line: texts.join('\n'), ...(cut ? { truncated: true } : {}) },
      {
        ...(wanted ? {} : { context: true }),
        ...(apart ? { apart: true } : {}),
        ...(texts.length === 1 ? {} : { lines: texts.length }),
        ...(part === undefined ? {} : { part }),
      },
    );
  }

  #remember(segment: string, ranges: readonly Range[]): void {
    const [first, last] = [ranges[0], ranges.at(-1)];
    if (first === undefined || last === undefined) return;
    const before = this.#shown.get(segment);
    // Either direction: pieces come one behind the other, so what lies between has been passed.
    this.#shown.delete(segment);
    this.#shown.set(segment, { from: Math.min(first.from, before?.from ?? Infinity), to: Math.max(last.to, before?.to ?? 0) });
    if (this.#shown.size > segmentsMax) this.#shown.delete(this.#shown.keys().next().value ?? '');
  }
}

/** A fleet of thousands has no more of them that write at one time. */
const segmentsMax = 20_000;

/** Made when its turn comes: of a page of a hundred lines of a hundred hosts, most entries never go out. */
function lazyEntry(piece: BlockPiece, index: number, line: LogLine): PieceEntry {
  return {
    at: line.at,
    index,
    get entry() {
      return lineEntry(piece, index, line);
    },
  };
}

const text = (block: OpenBlock, index: number): string => block.text.toString('utf8', block.start(index), block.end(index));
const at = (placed: readonly PlacedLine[], index: number): number => placed[index]?.block.at(placed[index].index) ?? Number.NaN;

function offsets(placed: readonly PlacedLine[], index: number): Range {
  const line = placed[index];
  if (line === undefined) return { from: 0, to: 0 };
  const { block } = line;
  return { from: block.offset(line.index), to: line.index + 1 < block.lines ? block.offset(line.index + 1) : block.header.to };
}

/** The wanted records of a window, and the single lines around them. */
function rowsOf({ from, to, wanted }: Window): (Unit & { readonly wanted: boolean })[] {
  const rows: (Unit & { readonly wanted: boolean })[] = [];
  let position = from;
  const context = (end: number): void => {
    for (; position < end; position += 1) rows.push({ from: position, to: position + 1, wanted: false });
  };
  for (const unit of wanted) {
    context(unit.from);
    rows.push({ ...unit, wanted: true });
    position = unit.to;
  }
  context(to);
  return rows;
}

/** What has been read of the piece when this line has been shown. */
function ownIndex({ piece, index }: PlacedLine, own: BlockPiece): number {
  if (piece === own) return index;
  return piece.id < own.id ? -1 : linesOf(own) - 1;
}

function linesAhead(placed: readonly PlacedLine[], shown: readonly number[], own: BlockPiece): NonNullable<PieceEntry['ahead']> {
  const lines = new Map<BlockPiece, number>();
  for (const { piece, index } of shown.flatMap((one) => placed[one] ?? [])) {
    if (piece !== own && piece.id > own.id) lines.set(piece, index + 1);
  }
  return [...lines].map(([piece, end]) => ({ piece, lines: end }));
}

/** A segment among those of all hosts. */
const segmentOfAll = (piece: StoredLogPiece): string => `${piece.host} ${segmentId(segmentOf(piece))}`;

const indices = (length: number, from = 0): number[] => Array.from({ length }, (_, index) => from + index);
