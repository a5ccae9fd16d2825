/** Joins small blocks to a large one: neighbours compress better together, and there is less to look up. */
import { RelightError } from './errors.ts';
import type { Block } from './log-block-frame.ts';
import { openBlock } from './log-block-open.ts';
import { BlockBuilder } from './log-block-pack.ts';
import { segmentId } from './log-stream.ts';

/**
 * One block with all lines of `blocks` (at least one, all of one segment, in ascending order; what lies between two of them
 * is a gap or empty). Bytes, times and offsets of every line stay as they were. Throws `protocol` when one of them is damaged.
 */
export function mergeBlocks(blocks: readonly Block[], level: number): Block {
  const [first, last] = [blocks[0]?.header, blocks.at(-1)?.header];
  if (first === undefined || last === undefined) throw new RelightError('internal', 'there is no block to merge');
  const builder = new BlockBuilder(first.segment, first.from);
  let { from } = first;
  for (const block of blocks) {
    const { header } = block;
    if (segmentId(header.segment) !== segmentId(first.segment) || header.from < from) {
      throw new RelightError('internal', 'blocks of two segments, or in the wrong order, cannot be merged');
    }
    from = header.to;
    const open = openBlock(block);
    for (let index = 0; index < open.lines; index += 1) builder.addLine(open.raw(index));
  }
  return builder.finish(last.to, level);
}
