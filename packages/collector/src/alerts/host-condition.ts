/**
 * HostCondition: something is wrong with a host, as its agent (or this collector, for its clock) sees it: a full disk, a GPU that
 * fell off the bus, a gate that stays closed. Pure. One alert a condition, resolved when it is over or the host is forgotten; a
 * host that is silent resolves nothing. An announced departure is no trouble any more once the host has gone.
 */
import { departureConditions, type HostCondition } from '@relight/shared/status';
import type { HostRecord } from '../store/store.ts';
import type { Condition } from './condition.ts';

export function hostCondition(hosts: Iterable<HostRecord>): Condition[] {
  const found: Condition[] = [];
  for (const host of hosts) {
    for (const condition of host.conditions ?? []) {
      const { severity, since, reason, advice } = condition;
      if (severity === 'info' || (isGone(host) && isDeparture(condition))) continue;
      const about = conditionSubject(condition);
      const end = advice === '' ? '' : /[.?!]$/.test(reason) ? ` ${advice}` : `. ${advice}`;
      const summary = `${host.name}: ${about}: ${reason}${end}`;
      found.push({ rule: 'HostCondition', severity, host: host.name, workload: null, subject: about, since, summary, data: {} });
    }
  }
  return found;
}

/** Tells the conditions of one host apart. */
export const conditionSubject = ({ name, subject }: HostCondition): string => (subject === '' ? name : `${name} ${subject}`);

const isDeparture = ({ name }: HostCondition): boolean => name in departureConditions;
const isGone = ({ state }: HostRecord): boolean => state === 'stopped' || state === 'rebooting';
