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

/** Far more than can be on its way when a connection breaks. */
const recentMax = 20_000;

/** True the first time an id is seen: ids need not come in order. Remembers the most recent ones. */
export function firstTime(): (id: string) => boolean {
  const recent = new Set<string>();
  return (id) => {
    if (recent.has(id)) return false;
    recent.add(id);
    const [oldest] = recent;
    if (recent.size > recentMax && oldest !== undefined) recent.delete(oldest);
    return true;
  };
}
