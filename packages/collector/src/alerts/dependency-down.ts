/**
 * DependencyDown: something that workloads depend on (a Ray head) does not answer. Pure. One alert a dependency, with everything
 * that waits for it, on however many hosts; what its absence does to those workloads is held back (evaluate.ts). Resolved when
 * nobody waits for it any more. Hosts that are silent keep what they said last: they resolve nothing.
 */
import type { HostRecord } from '../store/store.ts';
import { alertKey, isSilent, type Condition, type Firing } from './condition.ts';

/** A head that is restarted in order answers again within a minute: no alert for that. */
export const dependencyDownAfterMs = 60_000;
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

export function dependencyDown(hosts: Iterable<HostRecord>, firing: Firing, now: number): Condition[] {
  const conditions: Condition[] = [];
  for (const [subject, { since, who }] of waitingByDependency(hosts)) {
    const told = firing.has(alertKey({ rule: 'DependencyDown', host: '', workload: null, subject }));
    if (!told && now - since < dependencyDownAfterMs) continue;
    const named = who.toSorted().slice(0, namedMax).join(', ');
    const rest = who.length > namedMax ? ` and ${who.length - namedMax} more` : '';
    const summary = `${subject} does not answer; ${who.length === 1 ? '1 workload waits' : `${who.length} workloads wait`} for it: ${named}${rest}`;
    conditions.push({ rule: 'DependencyDown', severity: 'critical', host: '', workload: null, subject, since, summary, data: {} });
  }
  return conditions;
}

/** The workload waits for something that has an alert of its own. */
export function waitsForDown(host: HostRecord | undefined, workload: string, present: Firing): boolean {
  const status = host?.workloads.find(({ name }) => name === workload);
  if (status?.phase !== 'waiting' || status.waitingFor === undefined || status.waitingFor === null) return false;
  return present.has(alertKey({ rule: 'DependencyDown', host: '', workload: null, subject: status.waitingFor }));
}
