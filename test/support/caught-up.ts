/**
 * The collector knows all that an agent has told until now. Its picture of the workloads, events, incidents and logs travel on ways of
 * their own: a workload that is seen ready may be ahead of the events that led to it, or behind them. What a test reads once about
 * something that is over, it reads behind this.
 */
import { ControlClient } from '@relight/agent/control/client';
import type { AgentStatus } from '@relight/agent/control/status';
import { type ApiWorkload, isoTime } from '@relight/shared/api';
import type { WorkloadStatus } from '@relight/shared/status';
import type { Lab, LabAgent } from './lab.ts';
import { waitFor } from './wait.ts';

/** An agent that has dialled in vain waits for up to half a minute before it does so again. */
const storedWithinMs = 60_000;

/** Every event of the agent until now is stored. Returns what the agent says of itself then. */
export function eventsStored(agent: LabAgent, timeoutMs = storedWithinMs): Promise<AgentStatus> {
  const control = new ControlClient(agent.stateDir);
  return waitFor(
    async () => {
      // It may have been started a moment ago.
      const status = await control.status().catch(() => null);
      return status?.collector?.connected === true && status.collector.lagEvents === 0 && status;
    },
    { timeoutMs, everyMs: 50, what: `the events of ${agent.host} to be stored` },
  );
}

/** The same, and the picture of its workloads is the agent's own. Where they go on changing it waits until they rest for a moment. */
export function caughtUp(lab: Pick<Lab, 'fleet'>, agent: LabAgent, timeoutMs = storedWithinMs): Promise<AgentStatus> {
  return waitFor(
    async () => {
      const status = await eventsStored(agent, timeoutMs);
      const seen = (await lab.fleet.host(agent.host))?.workloads ?? [];
      return status.workloads.every((own) => seen.some((workload) => isSame(workload, own))) && status;
    },
    { timeoutMs, everyMs: 50, what: `the picture of ${agent.host} to be the present one` },
  );
}

function isSame(seen: ApiWorkload, own: WorkloadStatus): boolean {
  const compared = ({ name, phase, reason, attempt, generation, restarts }: ApiWorkload | WorkloadStatus): string =>
    JSON.stringify([name, phase, reason, attempt, generation, restarts.process, restarts.container, restarts.host]);
  return compared(seen) === compared(own) && seen.phaseSince === isoTime(own.phaseSince);
}
