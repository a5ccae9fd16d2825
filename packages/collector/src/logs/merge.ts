/**
 * Merges pieces of many segments into one sequence of entries: within a segment strictly by offset, between segments by time.
 * Forwards for readers, backwards for the last N. Pieces are unpacked only when their turn comes.
 *
 * A clock that jumps must not turn lines of one segment around: an entry's key is never less than that of the entry before it.
 */
import { segmentId } from '@relight/shared/log-stream';
import { linesOf, placeIn } from '../store/logs/parts.ts';
import type { StoredLogPiece } from '../store/store.ts';
import type { LogCursor } from './cursor.ts';
import { pieceBytes, type PieceEntry } from './entry.ts';
import { segmentOf } from './selection.ts';

interface OpenPiece {
  readonly piece: StoredLogPiece;
  /** Lines of it that are wanted; none behind. */
  readonly end: number;
  /** Lines of it that were read or skipped. */
  read: number;
  finished: boolean;
}

interface Segment {
  readonly id: string;
  readonly waiting: OpenPiece[];
  /** What is left of the first of `waiting`, next entry last; null: not unpacked yet. */
  entries: PieceEntry[] | null;
  key: number;
}

/** The entries of lines [first, end) of a piece. */
export type Decode = (piece: StoredLogPiece, first: number, end: number) => PieceEntry[];

export class PieceMerger {
  readonly #decode: Decode;
  readonly #direction: 1 | -1;
  readonly #segments = new Map<string, Segment>();
  readonly #heap = new SegmentHeap();
  /** In the order of `add`, from the first unfinished piece on. */
  #open: OpenPiece[] = [];
  #done: Pick<LogCursor, 'done' | 'sealed'>;
  #bytes = 0;
  #unfinished = 0;
  /** In the middle of a group of entries: nothing of other segments may come between. */
  #held: Segment | null = null;

  /** `done`: the cursor begins behind this piece. Direction -1 yields the newest entry first and is fed the newest piece first. */
  constructor(decode: Decode, direction: 1 | -1 = 1, done: Pick<LogCursor, 'done' | 'sealed'> = { done: 0 }) {
    this.#decode = decode;
    this.#direction = direction;
    this.#done = done;
  }

  /** Pieces that are not read to their end, and their compressed bytes. */
  get pieces(): number {
    return this.#unfinished;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** Pieces of one segment come in the order of their offsets (backwards: reversed). Lines [read, end) of it are wanted. */
  add(piece: StoredLogPiece, read = 0, end = linesOf(piece)): { readonly finished: boolean } {
    const open: OpenPiece = { piece, end, read, finished: read >= end };
    this.#open.push(open);
    if (open.finished) return open;
    this.#unfinished += 1;
    this.#bytes += pieceBytes(piece);
    const id = `${piece.host} ${segmentId(segmentOf(piece))}`;
    const segment = this.#segments.get(id) ?? { id, waiting: [], entries: null, key: -Infinity };
    this.#segments.set(id, segment);
    segment.waiting.push(open);
    if (segment.waiting.length === 1) this.#enqueue(segment);
    return open;
  }

  /** The next entry; 'unpacked' after work that brought none, so that the caller can pause; undefined: nothing is left. */
  next(): PieceEntry | 'unpacked' | undefined {
    const segment = this.#held ?? this.#heap.pop();
    this.#held = null;
    const open = segment?.waiting[0];
    if (segment === undefined || open === undefined) return undefined;
    if (segment.entries === null) {
      const entries = this.#decode(open.piece, open.read, open.end);
      segment.entries = this.#direction === 1 ? entries.toReversed() : entries;
      if (entries.length === 0) this.#finish(segment, open);
      this.#enqueue(segment);
      return 'unpacked';
    }
    const entry = segment.entries.pop();
    if (entry !== undefined) open.read = entry.index + 1;
    if (segment.entries.length === 0) this.#finish(segment, open);
    else if (entry?.group !== undefined && segment.entries.at(-1)?.group === entry.group) {
      this.#held = segment;
      return entry;
    }
    this.#enqueue(segment);
    return entry;
  }

  /** The least key that `next` can yield now, as a time; undefined when nothing is left. */
  get nextAt(): number | undefined {
    const key = (this.#held ?? this.#heap.peek())?.key;
    return key === undefined ? undefined : key * this.#direction;
  }

  cursor(): LogCursor {
    let finished = 0;
    while (this.#open[finished]?.finished === true) finished += 1;
    const last = this.#open[finished - 1]?.piece;
    if (last !== undefined) this.#done = { done: last.id, ...(last.sealed === true ? { sealed: true } : {}) };
    this.#open = this.#open.slice(finished);
    return { ...this.#done, partly: this.#open.filter(({ read }) => read > 0).map(({ piece, read }) => placeIn(piece, read)) };
  }

  #finish(segment: Segment, open: OpenPiece): void {
    open.read = open.end;
    open.finished = true;
    this.#unfinished -= 1;
    this.#bytes -= pieceBytes(open.piece);
    segment.waiting.shift();
    segment.entries = null;
    if (segment.waiting.length === 0) this.#segments.delete(segment.id);
  }

  #enqueue(segment: Segment): void {
    const open = segment.waiting[0];
    if (open === undefined) return;
    const at = segment.entries === null ? edgeAt(open.piece, this.#direction) : (segment.entries.at(-1)?.at ?? 0);
    segment.key = Math.max(segment.key, at * this.#direction);
    this.#heap.push(segment);
  }
}

function edgeAt(piece: StoredLogPiece, direction: 1 | -1): number {
  if (piece.kind === 'gap') return piece.gap.at;
  return direction === 1 ? piece.block.header.firstAt : piece.block.header.lastAt;
}

/** A binary heap, least key first; equal keys in the order in which they came. */
class SegmentHeap {
  readonly #items: { readonly segment: Segment; readonly key: number; readonly order: number }[] = [];
  #order = 0;

  peek(): Segment | undefined {
    return this.#items[0]?.segment;
  }

  push(segment: Segment): void {
    const items = this.#items;
    items.push({ segment, key: segment.key, order: (this.#order += 1) });
    let at = items.length - 1;
    while (at > 0 && this.#less(at, (at - 1) >> 1)) at = this.#swap(at, (at - 1) >> 1);
  }

  pop(): Segment | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined || items.length === 0) return first?.segment;
    items[0] = last;
    for (let at = 0; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < items.length && this.#less(child, least)) least = child;
      if (least === at) return first.segment;
      at = this.#swap(at, least);
    }
  }

  #less(a: number, b: number): boolean {
    const [one, other] = [this.#items[a], this.#items[b]];
    if (one === undefined || other === undefined) return false;
    return one.key === other.key ? one.order < other.order : one.key < other.key;
  }

  #swap(a: number, b: number): number {
    const [one, other] = [this.#items[a], this.#items[b]];
    if (one !== undefined && other !== undefined) [this.#items[a], this.#items[b]] = [other, one];
    return b;
  }
}
