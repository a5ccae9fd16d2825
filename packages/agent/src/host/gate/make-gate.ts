/** The gate of this host with everything that belongs to it: host commands, the do-not-touch guard, the workloads that obey. */
import { join } from 'node:path';
import type { Clock } from '@relight/shared/clock';
import type { NewAgentEvent } from '@relight/shared/event';
import type { Logger } from 'pino';
import type { SecretValues } from '../../config/secret-values.ts';
import type { AgentSpec } from '../../config/spec.ts';
import type { LogShipper } from '../../logs/log-shipper.ts';
import type { SupervisorEvent } from '../../supervisor/event.ts';
import type { WorkloadState } from '../../supervisor/state.ts';
import type { ReportedCondition } from '../conditions.ts';
import { pauseFor } from './hands-off.ts';
import { HostGate } from './host-gate.ts';
import { HostSetup } from './host-setup.ts';

interface Obeying {
  readonly state: Pick<WorkloadState, 'pause'>;
  send(event: SupervisorEvent): void;
}

export interface GateParts {
  readonly spec: AgentSpec;
  readonly bootId: string;
  /** The machine has booted since an agent last ran here. */
  readonly rebooted: boolean;
  readonly clock: Clock;
  /** The supervisors' clock. */
  readonly now: () => number;
  readonly random: () => number;
  readonly logger: Logger;
  /** Where the output of host commands goes. */
  readonly logs: LogShipper;
  /** What nobody may be told of what is read and printed on this host. */
  readonly secrets: SecretValues;
  readonly emit: (event: Omit<NewAgentEvent, 'at'>) => void;
  readonly report: (source: string, conditions: readonly ReportedCondition[]) => void;
  /** All of them, as they are when something is to be told. */
  readonly workloads: () => Iterable<Obeying>;
  readonly onChange: () => void;
}

export function makeGate(parts: GateParts): HostGate {
  const { spec, clock, now, workloads, report } = parts;
  const { host, stateDir, vars } = spec;
  const tell = (event: SupervisorEvent): void => {
    for (const workload of workloads()) workload.send(event);
  };
  const setup = new HostSetup({
    ...parts,
    steps: host.setup,
    stateDir,
    // Those that need a command are resolved for a workload's start; a host must come up without them.
    vars: Object.fromEntries(vars.flatMap((variable) => ('value' in variable ? [[variable.name, variable.value]] : []))),
    onChange: () => gate.look(),
  });
  const gate: HostGate = new HostGate({
    ...parts,
    spec: host.gate,
    redact: (text) => parts.secrets.text(text),
    guard: { file: host.guard.file ?? join(stateDir, 'hands-off'), maxAgeMs: host.guard.maxAgeMs },
    setup,
    report: (conditions) => report('gate', conditions),
    onGate: (open, reason) => tell({ type: 'gate', open, reason }),
    onHandsOff: (handsOff) => {
      const offsetMs = now() - clock.now();
      for (const workload of workloads()) {
        const event = pauseFor(handsOff, workload.state.pause, offsetMs);
        if (event !== null) workload.send(event);
      }
    },
  });
  return gate;
}
