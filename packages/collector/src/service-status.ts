/** One line of what the collector is doing, for `systemctl status`. Pure. */
import type { HostState } from '@relight/shared/phase';

export interface CollectorFacts {
  readonly url: string;
  readonly hosts: readonly { readonly state: HostState }[];
  /** Why nothing can be stored; null: it can. */
  readonly trouble: string | null;
  /** Which sinks of alerts take none, by their places in the configuration, from 1. */
  readonly failingSinks?: readonly number[];
}

export function serviceStatus({ url, hosts, trouble, failingSinks = [] }: CollectorFacts): string {
  const counts = new Map<HostState, number>();
  for (const { state } of hosts) counts.set(state, (counts.get(state) ?? 0) + 1);
  const inAll = [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([state, count]) => `${count} ${state}`);
  return [
    `listening on ${url}`,
    ...(hosts.length === 0 ? [] : [`${hosts.length} host(s): ${inAll.join(', ')}`]),
    ...(failingSinks.length === 0 ? [] : [`alert sink ${failingSinks.join(', ')} takes no alerts (relight sinks)`]),
    ...(trouble === null ? [] : [trouble]),
  ].join('; ');
}
