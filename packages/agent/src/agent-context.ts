/** What every part of the agent is given: whose agent it is, where its state lies, and its clocks. */
import type { Clock } from '@relight/shared/clock';
import type { NewAgentEvent } from '@relight/shared/event';
import type { Logger } from 'pino';
import type { AgentLog } from './logs/origins/agent-log.ts';
import type { AgentSpec } from './config/spec.ts';
import { readBootId } from './host/boot-id.ts';
import { loadIdentity, type Identity } from './host/identity.ts';
import { readMachineId, type MachineId } from './host/machine-id.ts';

export interface AgentOptions {
  readonly spec: AgentSpec;
  readonly stateDir: string;
  readonly logger: Logger;
  /** Gets what the logger prints. */
  readonly ownLog: AgentLog;
}

export interface AgentContext extends AgentOptions {
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
}

/** Without `at`: now. */
export type Emit = (event: Omit<NewAgentEvent, 'at'> & { readonly at?: number }) => void;

export function openContext({ spec, stateDir, logger, ownLog }: AgentOptions, clock: Clock): AgentContext {
  const bootId = readBootId();
  const startedAt = clock.now();
  /** When `clock.monotonic()` was zero. */
  const monotonicEpoch = startedAt - clock.monotonic();
  const machineId = readMachineId({ stateDir });
  return {
    spec: { ...spec, stateDir },
    stateDir,
    logger,
    ownLog,
    identity: loadIdentity({ stateDir, machineId }),
    machineId,
    bootId,
    clock,
    startedAt,
    steadyNow: () => Math.round(monotonicEpoch + clock.monotonic()),
    random: Math.random,
  };
}
