/** What the loops of a workload (workload-loop.ts, spare-loop.ts) are given: who they are, what they may ask, and whom they tell. */
import type { Clock } from '@relight/shared/clock';
import type { RelightError } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import type { Logger } from 'pino';
import type { MountProbes } from './checks/mount.ts';
import type { MountProbeResult, ProbeResult } from './checks/probe.ts';
import type { DesiredProbe, Prober } from './checks/prober.ts';
import type { SecretValues } from './config/secret-values.ts';
import type { AgentSpec, WorkloadSpec } from './config/spec.ts';
import type { Engine } from './engine/engine.ts';
import type { OutboxHistory } from './outbox/telling.ts';
import type { Runs } from './stages/runs.ts';
import type { AcceleratorPort } from './stages/stage.ts';
import type { WorkloadJournal } from './workload-journal.ts';
import type { WorkloadStore } from './workload-store.ts';

export type ProbeCallback = (key: string, kind: DesiredProbe['kind'], result: ProbeResult | MountProbeResult) => void;

export interface LoopOptions {
  readonly agent: AgentSpec;
  readonly spec: WorkloadSpec;
  readonly ownerId: string;
  readonly engine: Engine;
  readonly runs: Runs;
  readonly mountProbes: MountProbes;
  readonly prober: (onResult: ProbeCallback) => Prober;
  /** Resolves the variables of one attempt, for probes after an adoption. */
  readonly resolveVars: (signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
  readonly secrets: SecretValues;
  /** The host's gate: glanced at before anything may begin, and asked in full before an attempt does. */
  readonly gate: { glance(): void; confirm(): Promise<void> };
  /** What stages may ask of the host's GPUs and TPUs. */
  readonly accelerators?: AcceleratorPort;
  /** The machine has booted since this workload was last supervised. */
  readonly rebooted: boolean;
  readonly store: WorkloadStore;
  readonly journal: WorkloadJournal;
  readonly clock: Clock;
  /** Epoch milliseconds that never jump. */
  readonly now: () => number;
  readonly random: () => number;
  readonly logger: Logger;
  /** `at`: when it was seen or decided, by the wall clock. */
  readonly emit: (event: NewAgentEvent) => void;
  /** Of the outbox that `emit` appends to. */
  readonly history: OutboxHistory;
  /** Why a container that is to be adopted was not. */
  readonly whyNotAdopted?: () => RelightError;
  /** Resolves when nobody reads this container any more: it may be evidence. */
  readonly beforeRemoval: (containerId: string) => Promise<void>;
  readonly observe: () => void;
  readonly onChange: () => void;
}
