/**
 * A host that said before its silence that it goes: the cloud takes it (preemption) or works on it (maintenance). Its silence is
 * then no surprise, and nobody is woken for it. Pure.
 */
import { departureConditions, type HostCondition } from '@relight/shared/status';

export interface Announced {
  /** Preempted machines do not come back by themselves; a maintenance ends within boot_grace, or it is news. */
  readonly state: 'stopped' | 'rebooting';
  /** For a person. */
  readonly reason: string;
}

export function announcedDeparture(conditions: readonly HostCondition[]): Announced | null {
  const notice = (name: keyof typeof departureConditions): HostCondition | undefined =>
    conditions.find((condition) => condition.name === name);
  for (const name of ['preemption', 'maintenance'] as const) {
    const found = notice(name);
    if (found !== undefined) return { state: departureConditions[name], reason: `${name} was announced: ${found.reason}` };
  }
  return null;
}
