/** Resources of the API as tests need them. */
import type { ApiEvent, ApiHost, ApiLogLine, ApiWorkload } from '@relight/shared/api';

const at = '2026-01-31T12:00:00.000Z';

export function apiWorkload(over: Partial<ApiWorkload> = {}): ApiWorkload {
  return {
    host: 'tpu-0',
    name: 'ray',
    phase: 'ready',
    phaseSince: at,
    reason: 'all checks pass',
    stage: null,
    stageSince: null,
    attempt: 1,
    nextAttemptAt: null,
    generation: 3,
    containerId: 'c0ffee',
    image: 'ray:latest',
    readyAt: at,
    metrics: null,
    restarts: { process: 0, container: 0, host: 0 },
    lastIncidentId: null,
    ...over,
  };
}

export function apiHost(over: Partial<ApiHost> = {}): ApiHost {
  return {
    name: 'tpu-0',
    id: 'agent-1',
    state: 'connected',
    stateSince: at,
    reason: 'heartbeats arrive',
    labels: {},
    bootId: 'boot-1',
    agentVersion: '0.1.0',
    lastSeenAt: at,
    clockSkewMs: 0,
    metrics: null,
    workloads: [apiWorkload()],
    ...over,
  };
}

export function apiEvent(id: number, over: Partial<ApiEvent> = {}): ApiEvent {
  return {
    id: String(id),
    at,
    receivedAt: at,
    host: 'tpu-0',
    workload: 'ray',
    generation: 3,
    kind: 'container.died',
    severity: 'warning',
    message: 'exit code 137',
    data: {},
    ...over,
  };
}

export function apiLine(offset: number, over: Partial<ApiLogLine> = {}): ApiLogLine {
  return {
    at,
    receivedAt: at,
    host: 'tpu-0',
    workload: 'ray',
    generation: 3,
    source: 'process',
    stream: 'stdout',
    run: '1',
    offset,
    line: `line at ${offset}`,
    ...over,
  };
}
