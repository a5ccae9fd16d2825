/** An incident as an agent may send it. */
import type { Incident, TimelineEntry } from '@relight/shared/incident';

export const incidentStart = Date.UTC(2026, 0, 31, 12);

const timeline: readonly TimelineEntry[] = [
  {
    at: incidentStart - 500,
    kind: 'container.oom',
    severity: 'warning',
    message: 'the kernel killed python3 (pid 812)',
    data: { pid: 812 },
  },
  {
    at: incidentStart,
    kind: 'container.died',
    severity: 'error',
    message: 'container exited with code 137 (SIGKILL)',
    data: { exitCode: 137 },
  },
  { at: incidentStart, kind: 'workload.phase-changed', severity: 'info', message: 'creating: create', data: { to: 'creating' } },
  { at: incidentStart + 1_200, kind: 'workload.ready', severity: 'info', message: 'ready after 1.2 s', data: {} },
];

export function exampleIncident(over: Partial<Incident> = {}): Incident {
  return {
    id: '20260131-120000-x7k2m9',
    revision: 3,
    workload: 'ray',
    generation: 3,
    openedAt: incidentStart,
    closedAt: incidentStart + 1_200,
    cause: 'the kernel killed python3 (pid 812) for want of memory, container limit 512.0 MiB; exit code 137',
    code: 'process-oom',
    level: 'container',
    advice: 'Raise the memory limit.',
    exitCode: 137,
    signal: null,
    oomKilled: true,
    failedAt: incidentStart - 500,
    timeToDetectMs: 500,
    timeToRecoverMs: 1_700,
    attempts: { process: 0, container: 1, host: 0 },
    escalations: 0,
    byHand: false,
    stages: [{ stage: 'create the container', ms: 300 }],
    timeline: [...timeline],
    omitted: 0,
    evidence: [{ name: 'log:process', title: 'last lines of process', at: incidentStart, bytes: 10 }],
    ...over,
  };
}
