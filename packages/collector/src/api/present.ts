/** Records of the store as resources of the API. */
import { isoTime, isoTimeOrNull, type ApiAlert, type ApiEvent, type ApiHost, type ApiWorkload } from '@relight/shared/api';
import type { WorkloadStatus } from '@relight/shared/status';
import type { AlertRecord, HostRecord, StoredEvent } from '../store/store.ts';

export function presentWorkload(host: string, status: WorkloadStatus): ApiWorkload {
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
    recoveries: status.recoveries,
    spare: status.spare === undefined || status.spare === null ? null : { ...status.spare, since: isoTime(status.spare.since) },
  };
}

export function presentHost(host: HostRecord): ApiHost {
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
    workloads: host.workloads.map((status) => presentWorkload(host.name, status)),
  };
}

function presentGate(gate: HostRecord['gate']): ApiHost['gate'] {
  return gate === undefined || gate === null ? null : { ...gate, since: isoTime(gate.since), deadlineAt: isoTimeOrNull(gate.deadlineAt) };
}

export function presentEvent({ id, at, receivedAt, ...rest }: StoredEvent): ApiEvent {
  return { id: String(id), at: isoTime(at), receivedAt: isoTime(receivedAt), ...rest };
}

export function presentAlert({ data: _, startsAt, endsAt, ...rest }: AlertRecord): ApiAlert {
  return { ...rest, startsAt: isoTime(startsAt), endsAt: isoTimeOrNull(endsAt) };
}
