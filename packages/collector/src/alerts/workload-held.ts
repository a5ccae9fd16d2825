/**
 * WorkloadHeld: retrying is useless, a person must act. Pure. What is held looks again now and then; while it does, the alert stays, or
 * each look would be two notifications. Resolved when the workload is something else, or its attempt has lasted long
 * enough to be more than a look, or the host is forgotten.
 */
import type { Phase } from '@relight/shared/phase';
import type { HostRecord } from '../store/store.ts';
import { alertKey, type Condition, type Firing } from './condition.ts';

/** Phases of an attempt. */
const looking: ReadonlySet<Phase> = new Set<Phase>(['waiting', 'pulling', 'creating', 'mounting', 'setting-up', 'starting', 'verifying']);
/** In one phase: what fails as before does so sooner. */
const lookMsMax = 60_000;

export function workloadHeld(hosts: Iterable<HostRecord>, firing: Firing, now: number): Condition[] {
  const conditions: Condition[] = [];
  for (const host of hosts) {
    for (const { name, phase, phaseSince, reason } of host.workloads) {
      const place = { rule: 'WorkloadHeld', host: host.name, workload: name } as const;
      const before = firing.get(alertKey(place));
      const isLook = before !== undefined && looking.has(phase) && now - phaseSince < lookMsMax;
      if (phase !== 'held' && !isLook) continue;
      const summary = phase === 'held' ? `${host.name}/${name} is held: ${reason}` : (before?.summary ?? '');
      conditions.push({ ...place, severity: 'warning', since: phaseSince, summary, data: {} });
    }
  }
  return conditions;
}
