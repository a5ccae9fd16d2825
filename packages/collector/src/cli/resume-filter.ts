import type { ApiLogEntry } from '@relight/shared/api';

/**
 * Drops what has been shown before. (host, workload, generation, source, run, offset) is the exactly-once key of a line, and
 * offsets within one run only grow; so after a lost connection everything at or below the highest offset seen is a double.
 */
export function resumeFilter(): (entry: ApiLogEntry, resumed: boolean) => boolean {
  const seen = new Map<string, number>();
  return (entry, resumed) => {
    const key = JSON.stringify([entry.host, entry.workload, entry.generation, entry.source, entry.run]);
    const offset = 'gap' in entry ? entry.gap.from : entry.offset;
    const highest = seen.get(key) ?? -1;
    if (resumed && offset <= highest) return false;
    if (offset > highest) seen.set(key, offset);
    return true;
  };
}
