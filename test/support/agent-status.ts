/** What an agent with two workloads may say on its control socket, one hour after its start. */
import type { AgentStatus } from '@relight/agent/control/status';
import type { WorkloadStatus } from '@relight/shared/status';

export const exampleStart = Date.UTC(2026, 0, 1);
export const exampleNow = exampleStart + 3_600_000;

const workload: WorkloadStatus = {
  name: 'ray-worker',
  phase: 'setting-up',
  phaseSince: exampleNow - 10_000,
  reason: 'container exited with 137',
  stage: 'setup 2/5: ssh keys',
  stageSince: exampleNow - 4_200,
  attempt: 2,
  nextAttemptAt: null,
  generation: 3,
  containerId: '0123456789abcdef0123456789abcdef',
  image: 'ray:latest',
  readyAt: null,
  restarts: { process: 4, container: 2, host: 0 },
  lastIncidentId: null,
  metrics: null,
};

export const exampleStatus = (): AgentStatus => ({
  agentId: 'f3b1c2d4-0000-0000-0000-000000000000',
  host: 'tpu-0',
  version: '0.1.0',
  bootId: 'b007',
  startedAt: exampleStart,
  engine: { state: 'up', reason: '', version: '20.10.24' },
  configuration: { file: '/etc/relight/agent.yaml', loadedAt: exampleStart, refused: null, pending: null },
  collector: {
    url: 'wss://c:7460',
    connected: false,
    since: exampleNow - 60_000,
    lastError: 'connection refused',
    lastAdvice: null,
    lagEvents: 7,
    lagBytes: 2048,
    clock: null,
    machineIdSharedWith: null,
  },
  gaps: null,
  agent: null,
  catchingUp: null,
  conditions: [],
  gate: null,
  accelerators: [],
  metrics: { at: exampleNow, load1: 0.5, cpuUsed: 0.123, memoryTotalBytes: 2 ** 34, memoryAvailableBytes: 2 ** 33, disks: [] },
  workloads: [
    workload,
    {
      ...workload,
      name: 'other',
      phase: 'back-off',
      reason: 'said\u001B[2J\nrm',
      stage: null,
      stageSince: null,
      nextAttemptAt: exampleNow + 12_000,
      containerId: null,
    },
  ],
});
