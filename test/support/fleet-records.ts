/** Hosts and workloads as plain records, and a Fleet that holds whatever a test puts into it. */
import type { WorkloadStatus } from '@relight/shared/status';
import type { Fleet, WatchSelector } from '../../packages/collector/src/fleet.ts';
import type { HostRecord } from '../../packages/collector/src/store/store.ts';

export const epoch = Date.UTC(2026, 0, 1);

export function workloadStatus(name: string, more: Partial<WorkloadStatus> = {}): WorkloadStatus {
  return {
    name,
    phase: 'ready',
    phaseSince: epoch,
    reason: 'every check passes',
    stage: null,
    stageSince: null,
    attempt: 0,
    nextAttemptAt: null,
    generation: 1,
    containerId: 'c1',
    image: 'busybox',
    readyAt: epoch,
    restarts: { process: 0, container: 0, host: 0 },
    lastIncidentId: null,
    metrics: null,
    ...more,
  };
}

export function hostRecord(name: string, more: Partial<HostRecord> = {}): HostRecord {
  return {
    name,
    agentId: `agent-${name}`,
    machineId: `machine-${name}`,
    state: 'connected',
    stateSince: epoch - 3_600_000,
    reason: 'connected',
    labels: {},
    facts: {},
    bootId: 'boot',
    agentVersion: '0.1.0',
    remoteActions: true,
    lastSeenAt: epoch,
    clockSkewMs: 0,
    metrics: null,
    workloads: [],
    expectedBy: null,
    ...more,
  };
}

export class FakeFleet implements Fleet {
  readonly records = new Map<string, HostRecord>();
  readonly actions: { host: string; action: Parameters<Fleet['act']>[1] }[] = [];
  readonly watches = new Set<WatchSelector>();
  answer: () => Promise<{ ok: boolean; message: string }> = () => Promise.resolve({ ok: true, message: 'done' });
  forgetting: (name: string) => Promise<boolean> = (name) => Promise.resolve(this.records.delete(name));

  put(...hosts: readonly HostRecord[]): void {
    for (const host of hosts) this.records.set(host.name, host);
  }
  hosts(): readonly HostRecord[] {
    return [...this.records.values()];
  }
  host(name: string): HostRecord | undefined {
    return this.records.get(name);
  }
  async expect(name: string, labels: Readonly<Record<string, string>>, expectedBy: number): Promise<HostRecord> {
    const known = this.records.get(name);
    const record = known === undefined ? hostRecord(name, { state: 'expected', labels, expectedBy }) : { ...known, expectedBy };
    this.put(record);
    return record;
  }
  forget(name: string): Promise<boolean> {
    return this.forgetting(name);
  }
  act(host: string, action: Parameters<Fleet['act']>[1]): Promise<{ ok: boolean; message: string }> {
    this.actions.push({ host, action });
    return this.answer();
  }
  watch(selector: WatchSelector): { dispose(): void } {
    this.watches.add(selector);
    return { dispose: () => void this.watches.delete(selector) };
  }
}
