/** Records of the store as resources of the API. */
import { outboxFill, waitingMs } from '@relight/shared/agent-metrics';
import {
  apiWaitingConfiguration,
  isoTime,
  isoTimeOrNull,
  type ApiAlert,
  type ApiEvent,
  type ApiHost,
  type ApiWorkload,
} from '@relight/shared/api';
import { isWatched } from '@relight/shared/phase';
import type { WorkloadStatus } from '@relight/shared/status';
import type { AlertRecord, HostRecord, StoredEvent } from '../store/store.ts';

export function presentWorkload({ name: host, state }: Pick<HostRecord, 'name' | 'state'>, status: WorkloadStatus): ApiWorkload {
  const { phaseSince, stageSince, nextAttemptAt, readyAt } = status;
  return {
    host,
    name: status.name,
    phase: status.phase,
    phaseSince: isoTime(phaseSince),
    reason: status.reason,
    stage: status.stage,
    stageSince: isoTimeOrNull(stageSince),
    attempt: status.attempt,
    nextAttemptAt: isoTimeOrNull(nextAttemptAt),
    generation: status.generation,
    containerId: status.containerId,
    image: status.image,
    readyAt: isoTimeOrNull(readyAt),
    metrics: status.metrics,
    restarts: status.restarts,
    lastIncidentId: status.lastIncidentId,
    waitingFor: status.waitingFor ?? null,
    foreignRestarts: status.foreignRestarts,
    watched: isWatched(state),
    recoveries: status.recoveries,
    spare: status.spare === undefined || status.spare === null ? null : { ...status.spare, since: isoTime(status.spare.since) },
    waitingConfiguration: apiWaitingConfiguration(status.waitingConfiguration),
  };
}

/** `now`: by the collector's clock, as everything it has received is dated. */
export function presentHost(host: HostRecord, now: number): ApiHost {
  return {
    name: host.name,
    id: host.agentId,
    state: host.state,
    stateSince: isoTime(host.stateSince),
    reason: host.reason,
    labels: host.labels,
    bootId: host.bootId,
    agentVersion: host.agentVersion,
    lastSeenAt: isoTimeOrNull(host.lastSeenAt),
    clockSkewMs: host.clockSkewMs,
    metrics: host.metrics === null ? null : { ...host.metrics, at: isoTime(host.metrics.at) },
    facts: host.facts,
    engine: host.engine === undefined || host.engine === null ? null : { state: host.engine.state, since: isoTime(host.engine.since) },
    conditions: (host.conditions ?? []).map((condition) => ({ ...condition, since: isoTime(condition.since) })),
    accelerators: host.accelerators ?? [],
    gate: presentGate(host.gate),
    agent: presentAgent(host.agent),
    delivery: presentDelivery(host, now),
    workloads: host.workloads.map((status) => presentWorkload(host, status)),
  };
}

function presentGate(gate: HostRecord['gate']): ApiHost['gate'] {
  return gate === undefined || gate === null ? null : { ...gate, since: isoTime(gate.since), deadlineAt: isoTimeOrNull(gate.deadlineAt) };
}

function presentAgent(agent: HostRecord['agent']): ApiHost['agent'] {
  if (agent === undefined || agent === null) return null;
  const { receivedAt: _, catchingUp: __, ...metrics } = agent;
  return { ...metrics, at: isoTime(agent.at) };
}

function presentDelivery(host: HostRecord, now: number): NonNullable<ApiHost['delivery']> {
  const { agent, gaps } = host;
  return {
    lagMs: lagMs(host, now),
    ...(host.state === 'connected' && agent?.catchingUp ? { catchingUp: agent.catchingUp } : {}),
    outbox: agent === undefined || agent === null ? null : outboxFill(agent),
    gaps: {
      count: gaps?.count ?? 0,
      lines: gaps?.lines ?? 0,
      bytes: gaps?.bytes ?? 0,
      lastAt: isoTimeOrNull(gaps?.lastAt),
      lastReason: gaps?.lastReason ?? null,
    },
  };
}

/** What happens on a host that is not connected is not here, whatever waited when it was last heard. */
export function lagMs({ state, agent, lastSeenAt }: HostRecord, now: number): number | null {
  if (state === 'connected') return agent === undefined || agent === null ? null : waitingMs(agent);
  return lastSeenAt === null ? null : Math.max(0, now - lastSeenAt);
}

export function presentEvent({ id, at, receivedAt, ...rest }: StoredEvent): ApiEvent {
  return { id: String(id), at: isoTime(at), receivedAt: isoTime(receivedAt), ...rest };
}

export function presentAlert({ data: _, startsAt, endsAt, ...rest }: AlertRecord): ApiAlert {
  return { ...rest, startsAt: isoTime(startsAt), endsAt: isoTimeOrNull(endsAt) };
}
