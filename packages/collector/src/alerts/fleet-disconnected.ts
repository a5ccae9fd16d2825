/**
 * FleetDisconnected: most of the fleet fell silent at once, which is one trouble (a network, a proxy, this collector) and not N
 * dead hosts. Pure. 55 % of at least 5 hosts within 60 s: starting values, not measured.
 */
import type { HostRecord } from '../store/store.ts';
import { alertKey, isSilent, type Condition, type Firing } from './condition.ts';

export const massShare = 0.55;
export const massHostsMin = 5;
export const massWindowMs = 60_000;
/** A reconnect after a blip takes less (full jitter up to a few seconds); HostDead comes later (60 s). */
export const massSilentMs = 25_000;
/** Resolved when fewer members than this share (and than 2) are still silent: those get alerts of their own. */
const restShare = 0.1;

const fleetDisconnectedKey = alertKey({ rule: 'FleetDisconnected', host: '', workload: null });

/** The largest set of hosts that fell silent within one window; `lost` is sorted by the time of their last sign of life. */
function largestWindow(
  lost: readonly { readonly name: string; readonly at: number }[],
): readonly { readonly name: string; readonly at: number }[] {
  let best: readonly { readonly name: string; readonly at: number }[] = [];
  let start = 0;
  for (let end = 0; end < lost.length; end += 1) {
    while ((lost[end]?.at ?? 0) - (lost[start]?.at ?? 0) > massWindowMs) start += 1;
    if (end + 1 - start > best.length) best = lost.slice(start, end + 1);
  }
  return best;
}

export function fleetMembers(firing: ReadonlyMap<string, Pick<Condition, 'data'>>): ReadonlySet<string> {
  const members = firing.get(fleetDisconnectedKey)?.data['members'];
  return new Set(Array.isArray(members) ? (members as readonly string[]) : []);
}

export function fleetDisconnected(hosts: ReadonlyMap<string, HostRecord>, firing: Firing, now: number): Condition[] {
  const before = firing.get(fleetDisconnectedKey);
  const lost: { name: string; at: number }[] = [];
  let present = 0;
  for (const host of hosts.values()) {
    if (host.state === 'connected') present += 1;
    else if (isSilent(host) && host.lastSeenAt !== null && now - host.lastSeenAt >= massSilentMs)
      lost.push({ name: host.name, at: host.lastSeenAt });
  }
  const members = new Set([...fleetMembers(firing)].filter((name) => hosts.has(name)));
  const window = largestWindow(lost.toSorted((a, b) => a.at - b.at));
  const fleet = window.length + present;
  const mass = fleet >= massHostsMin && window.length >= massShare * fleet;
  if (before === undefined && !mass) return [];
  if (mass) for (const { name } of window) members.add(name);
  const unheard = [...members].filter((name) => hosts.get(name)?.state === 'unknown' || lost.some((host) => host.name === name));
  if (unheard.length < Math.max(2, Math.ceil(restShare * members.size))) return [];
  const since = before?.startsAt ?? window.at(-1)?.at ?? now;
  const summary = `${unheard.length} of ${members.size} hosts that fell silent together are still not heard: look at the network and at this collector first`;
  return [{ rule: 'FleetDisconnected', severity: 'critical', host: '', workload: null, since, summary, data: { members: [...members] } }];
}
