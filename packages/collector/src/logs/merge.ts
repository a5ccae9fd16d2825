/**
 * Merges pieces of many segments into one sequence of entries: within a segment strictly by offset, between segments by time.
 * Forwards for readers, backwards for the last N. Pieces are unpacked only when their turn comes.
 *
 * A clock that jumps must not turn lines of one segment around: an entry's key is never less than that of the entry before it.
 */
import { segmentId } from '@relight/shared/log-stream';
import { linesOf, linesRead, partsOf, placeIn } from '../store/logs/parts.ts';
import type { StoredLogPiece } from '../store/store.ts';
import type { LogCursor } from './cursor.ts';
import { pieceBytes, type PieceEntry } from './entry.ts';
import { segmentOf } from './selection.ts';

interface OpenPiece {
  readonly piece: StoredLogPiece;
  /** Lines [from, end) of it are still to come. */
  from: number;
  end: number;
  /** What a cursor says of it until it has been its turn: from where, backwards up to where, it is still to be read. */
  readonly told: number;
  finished: boolean;
  /** It has been its turn: then what comes before it in its segment has been read. */
  begun: boolean;
}

interface Segment {
  readonly id: string;
  readonly waiting: OpenPiece[];
  /** What is left of the first of `waiting`, next entry last; null: not unpacked yet. */
  entries: PieceEntry[] | null;
  /** Lines of it that were not looked at; once `entries` are null, what is looked at next. */
  rest: RestOfPiece | null;
  key: number;
}

export interface RestOfPiece {
  readonly from: number;
  readonly end: number;
  /** Time of the line that comes next. */
  readonly at: number;
}

export interface Decoded {
  readonly entries: PieceEntry[];
  /** Lines that were not looked at yet. Absent: all were. */
  readonly rest?: RestOfPiece;
}

/** The entries of lines [first, end) of a piece, or, of a part of them, those that come first. */
export type Decode = (piece: StoredLogPiece, first: number, end: number) => Decoded;

export class PieceMerger {
  readonly #decode: Decode;
  readonly #direction: 1 | -1;
  readonly #segments = new Map<string, Segment>();
  readonly #heap = new SegmentHeap();
  /** In the order of `add`, from the first unfinished piece on. */
  #open: OpenPiece[] = [];
  #done: Pick<LogCursor, 'done' | 'sealed'>;
  /** What the cursor that this began with says of pieces that have not come yet: a page may end before it gets to them. */
  readonly #unmet: Map<number, number>;
  /** Lines at the front of parts whose turn has not ended, which came with a record that began before them: who goes on has them. */
  readonly #ahead = new Map<number, { readonly read: number; readonly segment: string }>();
  #bytes = 0;
  #unfinished = 0;
  /** In the middle of a group of entries: nothing of other segments may come between. */
  #held: Segment | null = null;

  /**
   * `from`: the cursor begins there. Direction -1 yields the newest entry first and is fed the newest piece first; then everything
   * from its `done` on has been read.
   */
  constructor(decode: Decode, direction: 1 | -1 = 1, { partly, ...done }: Omit<LogCursor, 'newestFirst'> = { done: 0, partly: [] }) {
    this.#decode = decode;
    this.#direction = direction;
    this.#done = done;
    this.#unmet = new Map(partly.map(({ id, read }) => [id, read]));
  }

  /** Pieces that are not read to their end, and their compressed bytes. */
  get pieces(): number {
    return this.#unfinished;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Pieces of one segment come in the order of their offsets (backwards: reversed). Lines [read, end) of it are wanted. `told`: what of
   * it had been read when all this began (backwards: had not); the rest of what is not wanted came with pieces that may still be open.
   */
  add(piece: StoredLogPiece, read = 0, end = linesOf(piece), told = this.#direction === 1 ? read : end): { readonly finished: boolean } {
    const open: OpenPiece = { piece, from: read, end, told, finished: read >= end, begun: false };
    this.#open.push(open);
    for (const { id } of this.#unmet.size === 0 ? [] : partsOf(piece)) this.#unmet.delete(id);
    if (open.finished) return open;
    this.#unfinished += 1;
    this.#bytes += pieceBytes(piece);
    const id = `${piece.host} ${segmentId(segmentOf(piece))}`;
    const segment = this.#segments.get(id) ?? { id, waiting: [], entries: null, rest: null, key: -Infinity };
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
      const { entries, rest = null } = this.#decode(open.piece, open.from, open.end);
      segment.entries = this.#direction === 1 ? entries.toReversed() : entries;
      segment.rest = rest;
      if (entries.length === 0) this.#passed(segment, open);
      this.#enqueue(segment);
      return 'unpacked';
    }
    const entry = segment.entries.pop();
    for (const { piece, lines } of entry?.ahead ?? []) this.#cameAhead(segment.id, piece, lines);
    if (entry !== undefined && this.#direction === 1) open.from = entry.index + 1;
    if (entry !== undefined && this.#direction === -1) open.end = Math.max(open.from, entry.index);
    if (segment.entries.length === 0) this.#passed(segment, open);
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
    for (const [index, { piece, finished: ended, end }] of this.#open.entries()) {
      // One that goes beyond the place up to which this reads is never done with.
      if (!ended || (this.#direction === 1 && end < linesOf(piece))) break;
      // Merged while this goes backwards, it stands behind the place again: what lies between has been read in parts.
      if (this.#direction === -1 && piece.id >= this.#done.done) continue;
      finished = index + 1;
      this.#done = { done: piece.id, ...(piece.sealed === true ? { sealed: true } : {}) };
    }
    this.#open = this.#open.slice(finished);
    const forwards = this.#direction === 1;
    const ahead = { done: -1, partly: [...this.#ahead].map(([id, { read }]) => ({ id, read })) };
    const partly = this.#open
      .map(({ begun, end, from, piece, told }) => ({ piece, place: begun ? (forwards ? from : end) : told }))
      .map(({ piece, place }) => ({ piece, place: ahead.partly.length === 0 ? place : Math.max(place, linesRead(piece, ahead)) }))
      .filter(({ piece, place }) => (forwards ? place > 0 : place < linesOf(piece)))
      .map(({ piece, place }) => placeIn(piece, place));
    const { done, sealed = false } = this.#done;
    const met = new Set(this.#ahead.size === 0 ? [] : this.#open.flatMap(({ piece }) => partsOf(piece).map(({ id }) => id)));
    const notMet = ahead.partly.filter(({ id }) => !met.has(id) && !this.#unmet.has(id)).map(({ id, read }) => [id, read] as const);
    for (const [id, read] of [...this.#unmet, ...notMet]) {
      // With `sealed` there may be parts behind the place whose ids are before it.
      if (sealed || (forwards ? id > done : id < done)) partly.push({ id, read });
    }
    return { ...(forwards ? {} : { newestFirst: true as const }), ...this.#done, partly };
  }

  #cameAhead(segment: string, piece: StoredLogPiece, lines: number): void {
    if (this.#direction === -1) return;
    let left = lines;
    for (const part of partsOf(piece)) {
      const read = Math.max(this.#ahead.get(part.id)?.read ?? 0, Math.min(left, part.lines));
      if (left > 0) this.#ahead.set(part.id, { read, segment });
      left -= part.lines;
    }
  }

  /** Nothing is left of what was looked at: the rest of the piece is next. */
  #passed(segment: Segment, open: OpenPiece): void {
    if (segment.rest === null) return this.#finish(segment, open);
    ({ from: open.from, end: open.end } = segment.rest);
    segment.entries = null;
  }

  #finish(segment: Segment, open: OpenPiece): void {
    if (this.#direction === 1) open.from = open.end;
    else open.end = open.from;
    open.finished = true;
    // Also those that are not looked into, for no line of theirs is wanted.
    for (const [id, ahead] of this.#ahead) if (ahead.segment === segment.id && id <= open.piece.id) this.#ahead.delete(id);
    this.#unfinished -= 1;
    this.#bytes -= pieceBytes(open.piece);
    segment.waiting.shift();
    segment.entries = null;
    segment.rest = null;
    if (segment.waiting.length === 0) this.#segments.delete(segment.id);
  }

  #enqueue(segment: Segment): void {
    const open = segment.waiting[0];
    if (open === undefined) return;
    open.begun = true;
    const edge = segment.rest?.at ?? edgeAt(open.piece, this.#direction);
    const at = segment.entries === null ? edge : (segment.entries.at(-1)?.at ?? 0);
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
