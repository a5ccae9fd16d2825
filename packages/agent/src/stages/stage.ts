/**
 * What every stage works with. A stage is one file with one exported function `(op, context) → OpValue`; it is idempotent,
 * observes `context.signal`, and fails with a RelightError. Decisions about what comes next are the supervisor's alone.
 */
import type { Clock } from '@relight/shared/clock';
import type { RelightError } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import type { MountProbes } from '../checks/mount.ts';
import type { AgentSpec, ContainerSpec, WorkloadSpec } from '../config/spec.ts';
import type { Engine } from '../engine/engine.ts';
import type { RunOwner } from '../supervisor/run-id.ts';
import type { Runs } from './runs.ts';

export interface TpuRequest {
  readonly workload: string;
  readonly containerId: string;
  readonly generation: number;
  /** The number of the run that is about to start; every process before it is over. */
  readonly nextRun: number;
  /** The last start failed because the TPU was busy. */
  readonly afterBusy: boolean;
  /** `rm -f` there. */
  readonly removeInContainer: (path: string) => Promise<void>;
}

export interface AcceleratorPort {
  /** Fails while a container like this would be started in vain, with what a person has to do. */
  mayStart(container: ContainerSpec): Promise<void>;
  /** Kills orphans of ours that hold a TPU of this container, and says who was killed. Takes some seconds after a kill or a busy TPU. */
  freeTpus(container: ContainerSpec, request: TpuRequest, signal: AbortSignal): Promise<readonly string[]>;
}

export interface StageContext {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly spec: WorkloadSpec;
  readonly agent: AgentSpec;
  /** Our owner id, the value of the label `relight.agent`. */
  readonly ownerId: string;
  readonly generation: number;
  /** The container under work; null before it is created. */
  readonly containerId: string | null;
  /** Aborts when the operation is cancelled or its deadline has come. */
  readonly signal: AbortSignal;
  /** Values of the variables of this attempt. `prepare` sets them through `setVars`. Never logged. */
  readonly vars: Readonly<Record<string, string>>;
  setVars(vars: Readonly<Record<string, string>>, tookMs: number): void;
  /** While a dependency is waited for: when `vars` were resolved, on the monotonic clock, and how long that took. */
  readonly earlier?: { readonly at: number; readonly tookMs: number };
  readonly runs: Runs;
  /** Why nothing was adopted yet, for a workload that adopts its container. */
  readonly whyNotAdopted?: () => RelightError;
  /** The prober's, so that looks at one mount never pile up. Without it a stage uses its own. */
  readonly mountProbes?: MountProbes;
  /** Of this host; without it nothing is known of any. */
  readonly accelerators?: AcceleratorPort;
  /** Resolves when nobody reads this container any more; without it nobody ever does. */
  readonly beforeRemoval?: (containerId: string) => Promise<void>;
  /** Progress for a person: shown as the workload's stage (`setup 2/5: ssh keys, attempt 2/3`). */
  progress(stage: string): void;
  emit(event: Omit<NewAgentEvent, 'at' | 'workload' | 'generation'>): void;
}

export const runOwnerOf = ({ ownerId, spec, generation }: Pick<StageContext, 'ownerId' | 'spec' | 'generation'>): RunOwner => ({
  owner: ownerId,
  workload: spec.name,
  generation,
});
