/** The pieces that have come last, a few of each segment, for a reader of live lines who wants to see what stands around them. */
import { segmentId } from '@relight/shared/log-stream';
import type { StoredLogPiece } from '../store/store.ts';
import type { BlockPiece, Neighbours } from './decode.ts';
import { segmentOf } from './selection.ts';

const segmentsMax = 1_000;
const piecesMax = 32;

export class RecentPieces implements Neighbours {
  readonly #last = new Map<string, { readonly pieces: readonly BlockPiece[]; readonly open: boolean }>();

  /** `open`: what is shown at its end goes on into what comes next. */
  passed(piece: BlockPiece, open: boolean): void {
    const key = keyOf(piece);
    const before = this.#last.get(key)?.pieces ?? [];
    this.#last.delete(key);
    this.#last.set(key, { pieces: [...before.slice(1 - piecesMax), piece], open });
    if (this.#last.size > segmentsMax) this.#last.delete(this.#last.keys().next().value ?? '');
  }

  before(piece: BlockPiece): BlockPiece | null {
    return this.#last.get(keyOf(piece))?.pieces.findLast(({ block }) => block.header.to === piece.block.header.from) ?? null;
  }

  /** What is shown of the piece before goes on into this one. */
  opensInto(piece: BlockPiece): boolean {
    return this.before(piece) !== null && this.#last.get(keyOf(piece))?.open === true;
  }

  /** It has not come yet; what it begins with is shown when it has. */
  after(): null {
    return null;
  }
}

const keyOf = (piece: StoredLogPiece): string => `${piece.host} ${segmentId(segmentOf(piece))}`;
