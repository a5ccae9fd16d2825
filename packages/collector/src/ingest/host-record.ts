/** Host records as plain data. Pure. */
import { catchingUp, type AgentMetrics } from '@relight/shared/agent-metrics';
import type { Gap } from '@relight/shared/protocol';
import { agentRefusedName, type Accelerator, type HostCondition, type WorkloadStatus } from '@relight/shared/status';
import { agentRefused, type RefusedHello } from '../liveness/agent-refused.ts';
import { clockSkew, clockSkewName } from '../liveness/clock-skew.ts';
import { overAllowanceName } from '../liveness/over-allowance.ts';
import { sharedIdentityName } from '../liveness/shared-identity.ts';
import type { CollectorEvent, HostGaps, HostRecord, StoredIncident } from '../store/store.ts';

export function blankRecord(
  name: string,
  labels: Readonly<Record<string, string>>,
  live: { state: HostRecord['state']; reason: string },
  now: number,
): HostRecord {
  return {
    name,
    agentId: null,
    machineId: null,
    state: live.state,
    stateSince: now,
    reason: live.reason,
    labels,
    facts: {},
    bootId: null,
    agentVersion: null,
    remoteActions: false,
    lastSeenAt: null,
    clockSkewMs: null,
    metrics: null,
    workloads: [],
    expectedBy: null,
  };
}

/** Changes exactly when a heartbeat brings more than numbers: what must reach the disk at once. */
export function workloadsKey(workloads: readonly WorkloadStatus[]): string {
  return workloads.map(({ name, phase, generation, attempt }) => `${name} ${phase} ${generation} ${attempt}`).join('\n');
}

export function conditionsKey(conditions: readonly HostCondition[] = []): string {
  return conditions.map(({ name, subject, severity }) => `${name} ${subject} ${severity}`).join('\n');
}

export function acceleratorsKey(accelerators: readonly Accelerator[] = []): string {
  return accelerators.map(({ id, health }) => `${id} ${health}`).join('\n');
}

/** What the agent says is wrong with its host, and what only both clocks together can tell. */
export function withClock(
  before: Pick<HostRecord, 'conditions' | 'clockSkewMs'>,
  reported: readonly HostCondition[],
  skewMs: number,
  now: number,
): readonly HostCondition[] {
  const known = before.conditions?.find(({ name }) => name === clockSkewName);
  const skew = clockSkew(known, [skewMs, before.clockSkewMs], now);
  return skew === undefined ? reported : [...reported, skew];
}

/** `refused`: what is wrong with the hello of its agent; null: nothing, it is let in. Returns null when nothing is new. */
export function withRefusal(
  before: readonly HostCondition[] = [],
  refused: RefusedHello | null,
  now: number,
): readonly HostCondition[] | null {
  const known = before.find(({ name }) => name === agentRefusedName);
  const present = refused === null ? undefined : agentRefused(known, refused, now);
  if (present === known) return null;
  return [...(present === undefined ? [] : [present]), ...before.filter((condition) => condition !== known)];
}

export type OwnNews = Pick<CollectorEvent, 'kind' | 'severity' | 'message' | 'data'>;

/** Of what comes and goes with heartbeats. */
export const newsOf = (before: readonly HostCondition[] | undefined, after: readonly HostCondition[]): OwnNews[] =>
  [clockSkewName, sharedIdentityName, overAllowanceName].map((name) => ownNews(name, before, after)).filter((news) => news !== null);

/**
 * What only this collector knows of is told as the agent tells of its own conditions. Null: nothing was raised, and nothing is over.
 */
export function ownNews(condition: string, before: readonly HostCondition[] = [], after: readonly HostCondition[]): OwnNews | null {
  const find = (list: readonly HostCondition[]): HostCondition | undefined => list.find(({ name }) => name === condition);
  const was = find(before);
  const is = find(after);
  if ((was === undefined) === (is === undefined)) return null;
  const data = { condition, subject: '', state: is === undefined ? 'cleared' : 'raised' };
  if (is === undefined)
    return { kind: 'host.notice', severity: 'info', message: `${condition} is over; it was: ${was?.reason ?? ''}`, data };
  return { kind: 'host.notice', severity: is.severity, message: `${condition}: ${is.reason}`, data: { ...data, advice: is.advice } };
}

/** As its agent would have told it. */
export function incidentEnded({ host, receivedAt: at, incident }: StoredIncident, because: string): CollectorEvent {
  const { id, workload, generation, cause, code, level } = incident;
  const message = `incident ${id} is over, for ${because}: ${cause}`.slice(0, 4096);
  const data = { incident: id, cause, code, level, timeToRecoverMs: null };
  return { at, host, workload, generation, kind: 'incident.closed', severity: 'info', message, data };
}

const reasonMax = 100;
type AgentSample = NonNullable<HostRecord['agent']>;

/** What an agent says of itself. The same sample comes with several heartbeats, and is as old as the first of them. */
export function agentSample(before: HostRecord['agent'] = null, sent: AgentMetrics | undefined, now: number): AgentSample | null {
  if (sent === undefined || sent.at === before?.at) return before;
  const working = catchingUp(before, sent);
  return { ...sent, receivedAt: now, ...(working === null ? {} : { catchingUp: working }) };
}

/** One more hole. A hole that does not say how much is missing counts all the same. */
export function withGap(before: HostGaps | undefined, { lines = 0, bytes = 0, reason }: Gap, now: number): HostGaps {
  return {
    count: (before?.count ?? 0) + 1,
    lines: (before?.lines ?? 0) + lines,
    bytes: (before?.bytes ?? 0) + bytes,
    lastAt: now,
    lastReason: reason.slice(0, reasonMax),
  };
}
