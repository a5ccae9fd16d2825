/**
 * A host that said before its silence that it goes: the cloud takes it (preemption) or works on it (maintenance), somebody has
 * scheduled a reboot or shutdown, or its gate waits for a reboot. Its silence is then no surprise, and nobody is woken for it. Pure.
 */
import { departureConditions, type HostCondition, type HostGateStatus } from '@relight/shared/status';

export interface Announced {
  /** Preempted machines do not come back by themselves; a maintenance or reboot ends within boot_grace, or it is news. */
  readonly state: 'stopped' | 'rebooting';
  /** For a person. */
  readonly reason: string;
}

const words: Readonly<Record<keyof typeof departureConditions, string>> = {
  preemption: 'preemption was announced',
  maintenance: 'maintenance was announced',
  'shutdown-scheduled': 'a shutdown was scheduled',
  'reboot-scheduled': 'a reboot was scheduled',
};
const inOrder = Object.keys(words) as (keyof typeof departureConditions)[];

/** What the host said of itself in its last heartbeat. */
export interface LastWords {
  readonly conditions?: readonly HostCondition[];
  readonly gate?: HostGateStatus | null;
}

export function announcedDeparture({ conditions = [], gate = null }: LastWords): Announced | null {
  for (const name of inOrder) {
    const found = conditions.find((condition) => condition.name === name);
    if (found !== undefined) return { state: departureConditions[name], reason: `${words[name]}: ${found.reason}` };
  }
  const awaited = gate?.conditions.find(({ name, ok, waived }) => name === 'pending reboot' && !ok && waived !== true);
  return awaited === undefined ? null : { state: 'rebooting', reason: `it waited for a reboot: ${awaited.message}` };
}
