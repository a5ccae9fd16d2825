/** What stands right before and right behind a piece in its own segment, looked up in the store when it is needed. */
import { segmentId } from '@relight/shared/log-stream';
import type { BlockPiece, Neighbours } from './decode.ts';
import { partsOf } from '../store/logs/parts.ts';
import type { LogPage, LogReads } from '../store/logs/port.ts';
import type { StoredLogPiece } from '../store/store.ts';
import { segmentOf } from './selection.ts';

/** Segments of one stream follow each other, so most often the very next piece is it; several write at once only during setup. */
const pages = [1, 4, 16];

/** Of pieces up to `upTo`. */
export function storedNeighbours(store: Pick<LogReads, 'logPieces'>, upTo: number): Neighbours {
  const find = (piece: BlockPiece, newestFirst: boolean, fits: (other: BlockPiece) => boolean): BlockPiece | null => {
    const { workload, source, generation } = segmentOf(piece);
    const first = partsOf(piece)[0]?.id ?? piece.id;
    let place: Partial<LogPage> = newestFirst ? { beforeId: first } : { afterId: piece.id };
    for (const limit of pages) {
      const page = store.logPieces({ hosts: [piece.host], workload, source, generation }, { ...place, upTo, limit, newestFirst });
      const found = page.find((other): other is BlockPiece => isOfSegment(other, piece));
      if (found !== undefined) return fits(found) ? found : null;
      const last = page.at(-1);
      if (last === undefined || page.length < limit) return null;
      place = { ...(newestFirst ? { beforeId: last.id } : { afterId: last.id }), sealed: last.sealed === true };
    }
    return null;
  };
  return {
    before: (piece) => find(piece, true, (other) => other.block.header.to === piece.block.header.from),
    after: (piece) => find(piece, false, (other) => other.block.header.from === piece.block.header.to),
  };
}

/** A gap of the segment ends the search: `fits` is asked of blocks only. */
function isOfSegment(other: StoredLogPiece, piece: BlockPiece): boolean {
  return other.id !== piece.id && other.kind === 'block' && segmentId(segmentOf(other)) === segmentId(segmentOf(piece));
}
