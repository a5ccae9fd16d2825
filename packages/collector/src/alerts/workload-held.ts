/** WorkloadHeld: retrying is useless, a person must act. Pure. Resolved when the workload leaves `held` or the host is forgotten. */
import type { HostRecord } from '../store/store.ts';
import type { Condition } from './condition.ts';

export function workloadHeld(hosts: Iterable<HostRecord>): Condition[] {
  const conditions: Condition[] = [];
  for (const host of hosts) {
    for (const { name, phase, phaseSince, reason } of host.workloads) {
      if (phase !== 'held') continue;
      const summary = `${host.name}/${name} is held: ${reason}`;
      conditions.push({ rule: 'WorkloadHeld', severity: 'warning', host: host.name, workload: name, since: phaseSince, summary, data: {} });
    }
  }
  return conditions;
}
