/** Says in an answer that whole log files could not be read for it: a reader must never take what is left for all there is. */
import type { ApiLogEntry, ApiLogGap } from '@relight/shared/api';
import type { LogReader } from '../store/logs/port.ts';
import type { LogRequest } from './answer.ts';

/** In `gap.reason`; `run` is the name of the file. Whose lines it held nobody knows: it has no host and no size. */
export const damagedFileReason = 'damaged-file';

const dayMs = 86_400_000;

/**
 * Gaps to be given in front of `entries`, each file once. `ended`: nothing comes behind them. Who goes on from a cursor has been told
 * of what was known; who reads backwards is told when the reading has come to the day of the file, and on each page behind it again.
 */
export function damageNotices(
  store: Partial<Pick<LogReader, 'damagedFiles'>>,
  { question: { since = -Infinity }, order }: Pick<LogRequest, 'question' | 'order'>,
): (entries: readonly ApiLogEntry[], ended: boolean) => readonly ApiLogGap[] {
  const backwards = 'newestFirst' in order || 'last' in order;
  const goesOn = 'from' in order && order.from !== undefined && order.from.done > 0;
  const told = new Set(goesOn && !backwards ? store.damagedFiles?.() : []);
  const limit = 'last' in order ? order.last : (order.limit ?? Infinity);
  let count = 0;
  let reached = '~';
  return (entries, ended) => {
    count += entries.length;
    if (backwards) for (const { receivedAt } of entries) if (receivedAt < reached) reached = receivedAt;
    const files = (store.damagedFiles?.() ?? []).filter((file) => !told.has(file));
    return files.flatMap((file) => {
      const day = file.slice(0, 10);
      if (backwards && day < reached.slice(0, 10) && !(ended && count < limit)) return [];
      told.add(file);
      // Its lines are of that day, or of the next by a clock that is fast.
      return Date.parse(day) + 2 * dayMs < since ? [] : [noticeOf(file, day)];
    });
  };
}

const noticeOf = (file: string, day: string): ApiLogGap => ({
  host: '',
  workload: '',
  generation: 0,
  source: '',
  run: file,
  receivedAt: `${day}T00:00:00.000Z`,
  gap: { from: 0, to: 0, reason: damagedFileReason },
});
