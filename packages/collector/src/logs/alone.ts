/** What is kept of a piece that has come. */
import type { BlockPiece } from './decode.ts';

/**
 * With nothing but its own bytes. As it came its body is a part of whatever the socket was read with at once: 64 KiB of other frames
 * would stay for as long as a hundred bytes of it do.
 */
export function alone(piece: BlockPiece): BlockPiece {
  const { body } = piece.block;
  if (body.byteLength === body.buffer.byteLength) return piece;
  return { ...piece, block: { ...piece.block, body: new Uint8Array(body) } };
}
