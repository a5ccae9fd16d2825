/** Blocks that one reader has unpacked, for as long as there is room: with what stands around a line, each is looked into many times. */
import { openBlock, type OpenBlock } from '@relight/shared/log-block';
import type { BlockPiece } from './decode.ts';

/** Where each line stands, and when it was written: measured with 500 lines of as many times. */
const bytesPerLine = 48;
/** Of each, its objects: measured with blocks of one line. Of small ones they are nearly all that is held. */
const blockCosts = 2_560;

/** What was merged has the id of its last part, and begins elsewhere. */
export const pieceKey = ({ id, block }: BlockPiece): string => `${id} ${block.header.from}`;

export class OpenBlocks {
  /** What was asked for last stands last. */
  readonly #open = new Map<string, { readonly block: OpenBlock; readonly bytes: number }>();
  #bytes = 0;

  /** Null: damaged. `bytesMax`: so much is kept at most; one that is larger is unpacked whenever it is asked for. */
  open(piece: BlockPiece, bytesMax: number): OpenBlock | null {
    const key = pieceKey(piece);
    const known = this.#open.get(key);
    this.#forget(key);
    const block = known?.block ?? opened(piece);
    if (block === null) return null;
    const bytes = block.text.buffer.byteLength + bytesPerLine * block.lines + blockCosts;
    if (bytes > bytesMax) return block;
    this.#open.set(key, { block, bytes });
    this.#bytes += bytes;
    this.shrink(bytesMax);
    return block;
  }

  /** Unpacked bytes that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  shrink(bytesMax: number): void {
    for (const key of this.#open.keys()) {
      if (this.#bytes <= bytesMax) return;
      this.#forget(key);
    }
  }

  #forget(key: string): void {
    this.#bytes -= this.#open.get(key)?.bytes ?? 0;
    this.#open.delete(key);
  }
}

export function opened(piece: BlockPiece): OpenBlock | null {
  try {
    return openBlock(piece.block);
  } catch {
    return null;
  }
}
