/**
 * What hosts of slices have suffered lately, as SliceDown needs it: of every workload its newest incident, without the story. Pure.
 * An agent knows its own root cause best; it has worked it out already (agent/src/incidents/cause.ts).
 */
import type { HostRecord, StoredIncident } from '../store/store.ts';

/** Hosts with the same value are one slice. A host without it is never judged by what happens to others. */
export const sliceLabel = 'slice';

/** Times by the clock of the host. */
export interface Fall {
  readonly host: string;
  /** Null: the host itself: its engine is gone, it was rebooted. */
  readonly workload: string | null;
  readonly id: string;
  readonly code: string;
  readonly cause: string;
  readonly openedAt: number;
  readonly failedAt: number;
  readonly closedAt: number | null;
}

/** By host and workload. */
export type Falls = ReadonlyMap<string, Fall>;

/** What is over explains its peers as long as that: they fall up to two minutes later, and are reported then. */
export const keepFallMs = 10 * 60_000;

export function fallOf({ host, incident }: StoredIncident): Fall {
  const { workload, id, code, cause, openedAt, failedAt, closedAt } = incident;
  return { host, workload, id, code, cause, openedAt, failedAt, closedAt };
}

/** In the order of their revisions. A late word about an older incident of the same workload changes nothing. */
export function takeFalls(before: Falls, falls: readonly Fall[]): Falls {
  const after = new Map(before);
  for (const fall of falls) {
    const key = JSON.stringify([fall.host, fall.workload]);
    const known = after.get(key);
    if (known === undefined || known.id === fall.id || fall.openedAt >= known.openedAt) after.set(key, fall);
  }
  return after;
}

/** Without what can explain nothing any more. */
export function settleFalls(falls: Falls, hosts: ReadonlyMap<string, HostRecord>, now: number): Falls {
  const needed = ({ host: name, closedAt }: Fall): boolean => {
    const host = hosts.get(name);
    if (host === undefined || sliceOf(host) === null) return false;
    return closedAt === null || now - byOurClock(host, closedAt) < keepFallMs;
  };
  return new Map([...falls].filter(([, fall]) => needed(fall)));
}

export const sliceOf = ({ labels }: Pick<HostRecord, 'labels'>): string | null => labels[sliceLabel] || null;

export const byOurClock = ({ clockSkewMs }: Pick<HostRecord, 'clockSkewMs'>, at: number): number => at - (clockSkewMs ?? 0);
