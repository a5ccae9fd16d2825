/** What stands right before and right behind a piece in its own segment, looked up in the store when it is needed. */
import { segmentId } from '@relight/shared/log-stream';
import type { BlockPiece, Neighbours } from './decode.ts';
import { linesOf, partsOf } from '../store/logs/parts.ts';
import type { LogPage, LogReads } from '../store/logs/port.ts';
import type { StoredLogPiece } from '../store/store.ts';
import { pieceKey } from './open-blocks.ts';
import { segmentOf } from './selection.ts';

/** Segments of one stream follow each other, so most often the very next piece is it; several write at once only during setup. */
const pages = [1, 4, 16];
/** Of a log that was watched pieces have a line or two, and many of them are looked into from each: they are asked for together. */
const smallPage = 32;
const smallLines = 16;
const smallBytes = 16 * 1024;

/** Who reads on looks from each piece at the same ones again: twice as many as are looked into from one, both ways. */
const linksMax = 256;
const linksBytesMax = 4 * 1024 * 1024;

type Side = keyof Neighbours;

/** Of pieces up to `upTo`. `ahead`: the side to which the reader goes on. */
export function storedNeighbours(store: Pick<LogReads, 'logPieces'>, upTo: number, ahead: Side): Neighbours {
  const links = new Links();
  let furthest: BlockPiece | null = null;
  let page = 1;
  /** What lies ahead will be asked for, all of it; on the other side those who look further each time want more. */
  const pagesFor = (piece: BlockPiece, side: Side): readonly number[] => {
    page = side !== ahead && piece === furthest ? Math.min(smallPage, page * 2) : 1;
    return isSmall(piece) ? [side === ahead ? smallPage : page, ...pages.slice(1)] : pages;
  };
  const find = (piece: BlockPiece, side: Side): BlockPiece | null => {
    const known = links.get(side, piece);
    if (known !== undefined) return known;
    const newestFirst = side === 'before';
    const { workload, source, generation } = segmentOf(piece);
    const first = partsOf(piece)[0]?.id ?? piece.id;
    let place: Partial<LogPage> = newestFirst ? { beforeId: first } : { afterId: piece.id };
    for (const limit of pagesFor(piece, side)) {
      const some = store.logPieces({ hosts: [piece.host], workload, source, generation }, { ...place, upTo, limit, newestFirst });
      const found = some.filter((other): other is BlockPiece => isOfSegment(other, piece));
      if (found.length > 0) {
        const nearest = links.take(side, piece, found);
        if (side !== ahead) furthest = nearest === null ? null : (found.at(-1) ?? null);
        return nearest;
      }
      const last = some.at(-1);
      if (last === undefined || some.length < limit) return links.take(side, piece, []);
      place = { ...(newestFirst ? { beforeId: last.id } : { afterId: last.id }), sealed: last.sealed === true };
    }
    return links.take(side, piece, []);
  };
  return { before: (piece) => find(piece, 'before'), after: (piece) => find(piece, 'after') };
}

/** What is known to stand beside a piece; null: nothing. */
class Links {
  readonly #found = new Map<string, BlockPiece | null>();
  #bytes = 0;

  get(side: Side, piece: BlockPiece): BlockPiece | null | undefined {
    return this.#found.get(keyOf(side, piece));
  }

  /** `found`: of its segment, the nearest first. Returns what stands right beside it. */
  take(side: Side, piece: BlockPiece, found: readonly BlockPiece[]): BlockPiece | null {
    let from = piece;
    for (const other of found) {
      const fits = side === 'before' ? isBefore(other, from) : isBefore(from, other);
      this.#put(side, from, fits ? other : null);
      if (!fits) break;
      this.#put(side === 'before' ? 'after' : 'before', other, from);
      from = other;
    }
    if (found.length === 0) this.#put(side, piece, null);
    const [nearest] = found;
    return nearest !== undefined && (side === 'before' ? isBefore(nearest, piece) : isBefore(piece, nearest)) ? nearest : null;
  }

  #put(side: Side, piece: BlockPiece, other: BlockPiece | null): void {
    const key = keyOf(side, piece);
    this.#forget(key);
    this.#found.set(key, other);
    this.#bytes += bytesOf(other);
    for (const oldest of this.#found.keys()) {
      if (this.#found.size <= linksMax && this.#bytes <= linksBytesMax) return;
      this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    this.#bytes -= bytesOf(this.#found.get(key) ?? null);
    this.#found.delete(key);
  }
}

const keyOf = (side: Side, piece: BlockPiece): string => `${side} ${pieceKey(piece)}`;
const bytesOf = (piece: BlockPiece | null): number => piece?.block.body.length ?? 0;
const isBefore = (one: BlockPiece, other: BlockPiece): boolean => one.block.header.to === other.block.header.from;
const isSmall = (piece: BlockPiece): boolean => linesOf(piece) <= smallLines && bytesOf(piece) <= smallBytes;

/** A gap is passed over: what lies behind it does not fit. */
function isOfSegment(other: StoredLogPiece, piece: BlockPiece): boolean {
  return other.id !== piece.id && other.kind === 'block' && segmentId(segmentOf(other)) === segmentId(segmentOf(piece));
}
