/** HostMissing: a pre-registered host did not arrive in time. Pure. Resolved when it arrives, is forgotten or gets more time. */
import { isoTime } from '@relight/shared/api';
import type { HostRecord } from '../store/store.ts';
import type { Condition } from './condition.ts';

export function hostMissing(hosts: Iterable<HostRecord>, now: number): Condition[] {
  const conditions: Condition[] = [];
  for (const { name, state, expectedBy } of hosts) {
    if (state !== 'expected' || expectedBy === null || now < expectedBy) continue;
    const summary = `${name} was expected by ${isoTime(expectedBy)} and never arrived`;
    conditions.push({ rule: 'HostMissing', severity: 'critical', host: name, workload: null, since: expectedBy, summary, data: {} });
  }
  return conditions;
}
