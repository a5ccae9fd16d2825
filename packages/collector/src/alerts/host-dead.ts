/** HostDead: a host is silent. Pure. Resolved when it is heard again or forgotten. */
import type { Severity } from '@relight/shared/event';
import type { HostRecord } from '../store/store.ts';
import { alertKey, type Condition, type Firing } from './condition.ts';

/** After a restart of the collector every host is `unknown` until heard: that resolves nothing. */
export function hostDead(hosts: Iterable<HostRecord>, firing: Firing, severity: Severity): Condition[] {
  const conditions: Condition[] = [];
  for (const host of hosts) {
    const before = firing.get(alertKey({ rule: 'HostDead', host: host.name, workload: null }));
    if (host.state === 'dead') {
      const since = before?.startsAt ?? host.stateSince;
      const summary = `${host.name}: ${host.reason}`;
      conditions.push({ rule: 'HostDead', severity, host: host.name, workload: null, since, summary, data: {} });
    } else if (host.state === 'unknown' && before !== undefined) {
      const { startsAt, summary } = before;
      conditions.push({ rule: 'HostDead', severity, host: host.name, workload: null, since: startsAt, summary, data: {} });
    }
  }
  return conditions;
}
