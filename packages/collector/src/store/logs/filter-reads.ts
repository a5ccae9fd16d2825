/**
 * Whether a block may hold words, by its token filter. A token depends on 32 bytes of a filter of 20 KB and more, so only those are
 * taken out of the database: a search through a hundred million lines asks 15,000 filters, and copying them was most of its time.
 */
import { blockMayHold, filterBlockBytes, shareBits, type TokenProbe } from '@relight/shared/token-filter';
import type { Database } from 'better-sqlite3';

/** `mayHold(id, probes)`: false only when one of them is certainly not in the block. Without a filter it may hold everything. */
export function filterReads(db: Database): (id: number, probes: readonly TokenProbe[]) => boolean {
  const blockOfFilter = db.prepare<[share: number, id: number], { size: number; block: Buffer }>(
    `SELECT length(filter) AS size,
       substr(filter, 1 + ${filterBlockBytes} * ((? * (length(filter) / ${filterBlockBytes})) >> ${shareBits}), ${filterBlockBytes}) AS block
     FROM filters WHERE id = ?`,
  );
  return (id, probes) =>
    probes.every((probe) => {
      const found = blockOfFilter.get(probe.share, id);
      if (found === undefined || found.size === 0 || found.size % filterBlockBytes !== 0) return true;
      return blockMayHold(found.block, probe);
    });
}
