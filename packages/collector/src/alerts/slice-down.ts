/**
 * SliceDown: a TPU slice fails as one. When one of its hosts goes, the others see only that, and wait (`slice-peer-failed`). Pure.
 * One alert a slice: who failed first and of what, and who waits because of it; what the same failure makes other rules say is held
 * back (evaluate.ts). Shown from the first moment, told when it lasts. Resolved when nobody waits any more. Hosts that are silent keep
 * what they said last: they resolve nothing.
 */
import type { Phase } from '@relight/shared/phase';
import type { HostRecord } from '../store/store.ts';
import { alertKey, isSilent, type Condition, type Firing } from './condition.ts';
import { best, culpritOf, explainsFallAt, peerCode, ranks, type Culprit } from './slice-culprit.ts';
import { trackKey, type RestartTrack } from './repeated-restarts.ts';
import { byOurClock, sliceOf, type Fall, type Falls } from './slice-falls.ts';

/** More names help nobody; the count says how many. */
const namedMax = 5;
/** Of a sentence that names who waits, too. */
const causeCharactersMax = 500;
/** Who fell within this time of the last one fell with it. */
const togetherMs = 5 * 60_000;

/** In these nobody waits for a peer: a person has the word. */
const outOfIt: ReadonlySet<Phase> = new Set<Phase>(['held', 'paused', 'stopped']);

interface Waiting {
  readonly host: string;
  readonly workload: string;
  /** By the collector's clock. */
  readonly at: number;
}

interface Slice {
  readonly hosts: HostRecord[];
  readonly falls: Fall[];
  readonly waiting: Waiting[];
}

export function sliceDown(
  hosts: ReadonlyMap<string, HostRecord>,
  { falls, tracks }: { readonly falls: Falls; readonly tracks: ReadonlyMap<string, RestartTrack> },
  firing: Firing,
  afterMs: number,
  now: number,
): Condition[] {
  const conditions: Condition[] = [];
  for (const [name, slice] of slicesThatWait(hosts, falls)) {
    const before = firing.get(alertKey({ rule: 'SliceDown', host: '', workload: null, subject: name }));
    const fellAt = slice.waiting.map(({ at }) => at);
    const firstAt = Math.min(...fellAt.filter((at) => at >= Math.max(...fellAt) - togetherMs));
    const culprit = wiser(culpritOf({ ...slice, firstAt }), knownBefore(before?.data['culprit'], firstAt, now));
    const waiting = slice.waiting.filter((one) => !failsAlone(one, culprit, tracks));
    if (waiting.length === 0) continue;
    const since = Math.min(now, ...waiting.map(({ at }) => at));
    const theirs = waiting.map((one) => trackKey(one));
    conditions.push({
      rule: 'SliceDown',
      severity: 'critical',
      host: '',
      workload: null,
      subject: name,
      since,
      tellAt: (before?.startsAt ?? since) + afterMs,
      summary: summaryOf(name, culprit, waiting),
      data: { culprit, explains: [...theirs, ...(culprit?.alerts ?? [])] },
    });
  }
  return conditions;
}

/** Keys of the alerts that say again what a slice that is down has said. */
export function explainedBySlices(conditions: readonly Condition[]): ReadonlySet<string> {
  return new Set(conditions.flatMap(({ rule, data }) => (rule === 'SliceDown' ? (data['explains'] as readonly string[]) : [])));
}

/** Only those that have somebody who waits: what else happens in a slice is told by the rules for hosts and workloads. */
function slicesThatWait(hosts: ReadonlyMap<string, HostRecord>, falls: Falls): ReadonlyMap<string, Slice> {
  const slices = new Map<string, Slice>();
  for (const fall of falls.values()) {
    const host = hosts.get(fall.host);
    const name = host === undefined ? null : sliceOf(host);
    if (host === undefined || name === null) continue;
    const slice = slices.get(name) ?? { hosts: [], falls: [], waiting: [] };
    slice.falls.push(fall);
    if (fall.workload !== null && isWaiting(fall, host))
      slice.waiting.push({ host: host.name, workload: fall.workload, at: byOurClock(host, fall.failedAt) });
    slices.set(name, slice);
  }
  for (const [name, { waiting }] of slices) if (waiting.length === 0) slices.delete(name);
  if (slices.size === 0) return slices;
  for (const host of hosts.values()) slices.get(sliceOf(host) ?? '')?.hosts.push(host);
  return slices;
}

/** The status is what is so now; an incident may be closed a moment later, or never, where the agent has lost its memory. */
function isWaiting({ code, workload, failedAt, closedAt }: Fall, host: HostRecord): boolean {
  if (code !== peerCode || closedAt !== null) return false;
  if (host.state !== 'connected' && host.state !== 'unknown' && !isSilent(host)) return false;
  const status = host.workloads.find(({ name }) => name === workload);
  return status !== undefined && !outOfIt.has(status.phase) && (status.readyAt === null || status.readyAt <= failedAt);
}

/** It has failed, and not of its slice, although that is complete again. */
function failsAlone(of: Waiting, culprit: Culprit | null, tracks: ReadonlyMap<string, RestartTrack>): boolean {
  const backAt = culprit?.backAt ?? null;
  return backAt !== null && (tracks.get(trackKey(of))?.lastAt ?? 0) > backAt;
}

/** Of a host that was silent: what its agent says when it is heard again is worth more than that it was. */
function wiser(found: Culprit | null, known: Culprit | null): Culprit | null {
  if (found === null || known === null) return found ?? known;
  return found.host === known.host ? found : best([found, known]);
}

/** Of what was found before: found no more, it is over (a host is heard again), or was over long ago. Still it began with that. */
function knownBefore(culprit: unknown, firstAt: number, now: number): Culprit | null {
  const known = (culprit ?? null) as Culprit | null;
  if (known === null || !explainsFallAt(known.at, firstAt)) return null;
  return known.backAt === null ? { ...known, backAt: now, cause: `${known.cause} (over)` } : known;
}

function summaryOf(slice: string, culprit: Culprit | null, waiting: readonly Waiting[]): string {
  const names = waiting.map(({ host, workload }) => `${host}/${workload}`).toSorted();
  const named = names.slice(0, namedMax).join(', ');
  const rest = names.length > namedMax ? ` and ${names.length - namedMax} more` : '';
  const count = names.length === 1 ? '1 workload waits' : `${names.length} workloads wait`;
  if (culprit === null) return `slice ${slice} is down: ${count} for another host of it, and none says a cause of its own: ${named}${rest}`;
  const { host, workload, cause, rank } = culprit;
  const began = rank === ranks.cause || rank === ranks.symptom ? 'it began with' : 'perhaps because of';
  const why = cause.length > causeCharactersMax ? `${cause.slice(0, causeCharactersMax - 1)}…` : cause;
  return `slice ${slice} is down: ${began} ${workload === null ? host : `${host}/${workload}`}: ${why}; ${count} for it: ${named}${rest}`;
}
