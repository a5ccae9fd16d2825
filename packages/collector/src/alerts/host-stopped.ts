/**
 * HostStopped: an agent said goodbye and nobody has started it again. Pure. A restart into a configuration that is not valid looks like the
 * beginning of a maintenance, and nobody would ever be told. Resolved when it is heard again or forgotten, by hand or by a rule. A host
 * whose machine was taken away as announced is none: nothing runs there.
 */
import { formatDurationMs } from '@relight/shared/units';
import { announcedDeparture } from '../liveness/announced.ts';
import { lastKnown } from '../liveness/last-known.ts';
import type { HostRecord } from '../store/store.ts';
import type { Condition } from './condition.ts';

export function hostStopped(hosts: Iterable<HostRecord>, afterMs: number, now: number): Condition[] {
  const conditions: Condition[] = [];
  for (const host of hosts) {
    const { name, state, stateSince: since, reason, workloads } = host;
    if (state !== 'stopped' || now - since < afterMs || announcedDeparture(host) !== null) continue;
    const unwatched = workloads.length === 0 ? '' : `; its workloads are not watched (last known: ${lastKnown(workloads, null)})`;
    const summary = `${name} has been stopped for more than ${formatDurationMs(afterMs)} (${reason})${unwatched}. On the host: systemctl status relight-agent`;
    conditions.push({ rule: 'HostStopped', severity: 'warning', host: name, workload: null, since, summary, data: {} });
  }
  return conditions;
}
