/** What every part of the agent is given: whose agent it is, where its state lies, and its clocks. */
import type { Clock } from '@relight/shared/clock';
import type { NewAgentEvent } from '@relight/shared/event';
import type { Logger } from 'pino';
import type { AgentLog } from './logs/origins/agent-log.ts';
import type { AgentSpec } from './config/spec.ts';
import { readBootId } from './host/boot-id.ts';
import { loadIdentity, type Identity } from './host/identity.ts';
import type { MachineId } from '@relight/shared/machine';
import { readMachineId } from './host/machine-id.ts';

export interface AgentOptions {
  readonly spec: AgentSpec;
  /** The file of `spec`, read again. Fails with config-invalid or config-unreadable. */
  readonly loadSpec: (file: string) => Promise<AgentSpec>;
  /** `stateDir` is not what the configuration says, but what the command line does. */
  readonly stateDirGiven: boolean;
  readonly stateDir: string;
  readonly logger: Logger;
  /** Gets what the logger prints. */
  readonly ownLog: AgentLog;
}

export interface AgentContext extends AgentOptions {
  /** As it is now: another configuration may be taken up at any time (`configure`). */
  readonly spec: AgentSpec;
  readonly identity: Identity;
  readonly machineId: MachineId;
  readonly bootId: string;
  readonly clock: Clock;
  /** Epoch milliseconds, by the wall clock. */
  readonly startedAt: number;
  /** The supervisors' clock, in epoch milliseconds: a step of the wall clock neither shortens a pause nor lengthens a wait. */
  readonly steadyNow: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** From now on `spec` is this one. The state directory stays where it is. */
  configure(spec: AgentSpec): void;
}

/** Without `at`: now. */
export type Emit = (event: Omit<NewAgentEvent, 'at'> & { readonly at?: number }) => void;

export function openContext(options: AgentOptions, clock: Clock): AgentContext {
  const { spec, stateDir } = options;
  const bootId = readBootId();
  const startedAt = clock.now();
  /** When `clock.monotonic()` was zero. */
  const monotonicEpoch = startedAt - clock.monotonic();
  const machineId = readMachineId({ stateDir });
  let current: AgentSpec = { ...spec, stateDir };
  return {
    get spec() {
      return current;
    },
    configure(next) {
      current = { ...next, stateDir };
    },
    stateDir,
    loadSpec: options.loadSpec,
    stateDirGiven: options.stateDirGiven,
    logger: options.logger,
    ownLog: options.ownLog,
    identity: loadIdentity({ stateDir, machineId }),
    machineId,
    bootId,
    clock,
    startedAt,
    steadyNow: () => Math.round(monotonicEpoch + clock.monotonic()),
    random: Math.random,
  };
}
