/** The pieces that have come last, a few of each segment, for a reader of live lines who wants to see what stands around them. */
import type { OpenBlock } from '@relight/shared/log-block';
import { segmentId } from '@relight/shared/log-stream';
import { linesOf } from '../store/logs/parts.ts';
import type { StoredLogPiece } from '../store/store.ts';
import { alone } from './alone.ts';
import type { BlockPiece, Neighbours } from './decode.ts';
import { OpenBlocks } from './open-blocks.ts';
import { segmentOf } from './selection.ts';

const segmentsMax = 1_000;
const piecesMax = 32;
/** Of packed blocks of all segments, and what is kept of them unpacked: a thousand of them with 32 blocks each would be gigabytes for one reader. */
const bytesMax = 8 * 1024 ** 2;
/** What a piece takes beside its text: its header as objects, and numbers. */
const headBytes = 1_024;

interface Recent {
  readonly pieces: readonly BlockPiece[];
  readonly open: boolean;
}

export class RecentPieces implements Neighbours {
  readonly #last = new Map<string, Recent>();
  /** By segment, in the order of their offsets: those whose turn has not come. */
  readonly #waiting = new Map<string, readonly BlockPiece[]>();
  readonly #open = new OpenBlocks();
  readonly #linesMax: number;
  #bytes = 0;

  /** `linesMax`: of one segment, so many lines at most are asked for. */
  constructor(linesMax: number) {
    this.#linesMax = linesMax;
  }

  /** Bytes that are kept: blocks packed and unpacked, and what describes them. */
  get bytes(): number {
    return this.#bytes + this.#open.bytes;
  }

  /** Null: damaged. Those behind it look into it once more: unpacked for each of them, small blocks cost tens of times what they hold. */
  opened(piece: BlockPiece): OpenBlock | null {
    return this.#open.open(piece, bytesMax - this.#bytes);
  }

  /** It is here; what is shown at the end of the one before may go on into it. */
  arrived(piece: BlockPiece): void {
    const key = keyOf(piece);
    this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), piece]);
  }

  /** `open`: what is shown at its end goes on into what comes next. The segments that have been quiet longest are forgotten first. */
  passed(piece: BlockPiece, open: boolean): void {
    const key = keyOf(piece);
    const waiting = this.#waiting.get(key)?.filter(({ block }) => block.header.from > piece.block.header.from) ?? [];
    if (waiting.length > 0) this.#waiting.set(key, waiting);
    else this.#waiting.delete(key);
    const before = this.#last.get(key)?.pieces ?? [];
    this.#forget(key);
    const pieces = lastOf([...before, alone(piece)], this.#linesMax);
    this.#last.set(key, { pieces, open });
    this.#bytes += bytesOf(pieces);
    for (const other of this.#last.keys()) {
      if ((this.#bytes <= bytesMax && this.#last.size <= segmentsMax) || other === key) break;
      this.#forget(other);
    }
    this.#open.shrink(bytesMax - this.#bytes);
  }

  #forget(key: string): void {
    this.#bytes -= bytesOf(this.#last.get(key)?.pieces ?? []);
    this.#last.delete(key);
  }

  before(piece: BlockPiece): BlockPiece | null {
    return this.#last.get(keyOf(piece))?.pieces.findLast(({ block }) => block.header.to === piece.block.header.from) ?? null;
  }

  /** What is shown of the piece before goes on into this one. */
  opensInto(piece: BlockPiece): boolean {
    return this.before(piece) !== null && this.#last.get(keyOf(piece))?.open === true;
  }

  /** Null: it has not come yet; what it begins with is shown when it has. */
  after(piece: BlockPiece): BlockPiece | null {
    return this.#waiting.get(keyOf(piece))?.find(({ block }) => block.header.from === piece.block.header.to) ?? null;
  }
}

const keyOf = (piece: StoredLogPiece): string => `${piece.host} ${segmentId(segmentOf(piece))}`;

const sizeOf = (piece: BlockPiece): number => piece.block.body.byteLength + headBytes + keyOf(piece).length;
const bytesOf = (pieces: readonly BlockPiece[]): number => pieces.reduce((sum, piece) => sum + sizeOf(piece), 0);

/** As many of the last ones as hold `linesMax` lines; the very last one always: whether it goes on is asked of it. */
function lastOf(pieces: readonly BlockPiece[], linesMax: number): readonly BlockPiece[] {
  let [lines, bytes] = [0, 0];
  const tooOld = pieces.findLastIndex((piece, index) => {
    const full = index < pieces.length - 1 && (lines >= linesMax || bytes >= bytesMax);
    lines += linesOf(piece);
    bytes += sizeOf(piece);
    return full;
  });
  return pieces.slice(Math.max(tooOld + 1, pieces.length - piecesMax));
}
