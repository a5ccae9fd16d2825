/**
 * EngineDown: a host's container engine does not answer. Pure. One trouble, whatever number of workloads it holds; theirs are
 * held back meanwhile (evaluate.ts). Resolved when it answers again, or when the host says goodbye or is forgotten; a host that
 * is merely silent resolves nothing.
 */
import type { HostRecord } from '../store/store.ts';
import { alertKey, isSilent, type Condition, type Firing } from './condition.ts';

export function engineDown(hosts: Iterable<HostRecord>, firing: Firing, afterMs: number, now: number): Condition[] {
  const conditions: Condition[] = [];
  for (const host of hosts) {
    const { name, state, engine, workloads } = host;
    if (engine?.state !== 'down') continue;
    const told = firing.has(alertKey({ rule: 'EngineDown', host: name, workload: null }));
    const unheard = state === 'unknown' || isSilent(host);
    if (!(unheard && told) && !(state === 'connected' && now - engine.since >= afterMs)) continue;
    const held = workloads.length === 1 ? 'its workload fares' : `its ${workloads.length} workloads fare`;
    const summary = `the container engine of ${name} does not answer; nobody can say how ${held}; on it: systemctl status docker`;
    conditions.push({ rule: 'EngineDown', severity: 'critical', host: name, workload: null, since: engine.since, summary, data: {} });
  }
  return conditions;
}
