/** Host records as plain data. Pure. */
import type { WorkloadStatus } from '@relight/shared/status';
import type { HostRecord } from '../store/store.ts';

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
