/**
 * DependencyDown: something that workloads depend on (a Ray head) does not answer. Pure. One alert a dependency, with everything
 * that waits for it, on however many hosts; what its absence does to those workloads is held back (evaluate.ts). Resolved when
 * nobody waits for it any more. Hosts that are silent keep what they said last: they resolve nothing.
 */
import type { HostRecord } from '../store/store.ts';
import { alertKey, isSilent, type Condition, type Firing } from './condition.ts';

/** More names help nobody; the count says how many. */
const namedMax = 5;

interface Waiting {
  readonly since: number;
  readonly who: readonly string[];
}

/** Who waits for what. */
function waitingByDependency(hosts: Iterable<HostRecord>): Map<string, Waiting> {
  const found = new Map<string, Waiting>();
  for (const host of hosts) {
    if (host.state !== 'connected' && host.state !== 'unknown' && !isSilent(host)) continue;
    for (const { name, phase, phaseSince, waitingFor } of host.workloads) {
      if (phase !== 'waiting' || waitingFor === undefined || waitingFor === null) continue;
      const known = found.get(waitingFor);
      const since = phaseSince - (host.clockSkewMs ?? 0);
      found.set(waitingFor, { since: Math.min(since, known?.since ?? since), who: [...(known?.who ?? []), `${host.name}/${name}`] });
    }
  }
  return found;
}

export function dependencyDown(hosts: Iterable<HostRecord>, firing: Firing, afterMs: number, now: number): Condition[] {
  const conditions: Condition[] = [];
  for (const [subject, { since, who }] of waitingByDependency(hosts)) {
    const told = firing.has(alertKey({ rule: 'DependencyDown', host: '', workload: null, subject }));
    if (!told && now - since < afterMs) continue;
    const named = who.toSorted().slice(0, namedMax).join(', ');
    const rest = who.length > namedMax ? ` and ${who.length - namedMax} more` : '';
    const summary = `${subject} does not answer; ${who.length === 1 ? '1 workload waits' : `${who.length} workloads wait`} for it: ${named}${rest}`;
    conditions.push({ rule: 'DependencyDown', severity: 'critical', host: '', workload: null, subject, since, summary, data: {} });
  }
  return conditions;
}

/** It waits for a dependency. That is told as DependencyDown when it lasts, and not at all when it does not. */
export function waitsForDependency(host: HostRecord | undefined, workload: string): boolean {
  const status = host?.workloads.find(({ name }) => name === workload);
  return status?.phase === 'waiting' && status.waitingFor !== undefined && status.waitingFor !== null;
}
