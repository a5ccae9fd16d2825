/** Everything that can reach the supervisor of one workload, as data. */
import type { ContainerFacts } from '../engine/engine.ts';
import type { MountCondition } from '../checks/probe.ts';
import type { OpResult } from './op.ts';
import type { SpareOffer } from './spare-state.ts';
import type { CheckReport, WorkloadState } from './state.ts';
import type { WorkloadSpec } from '../config/spec.ts';
import type { ErrorCode } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import type { Op } from './op.ts';

export type SupervisorEvent =
  /** The clock has reached what `wakeAt` said, or any other moment: waits are judged anew. */
  | { readonly type: 'tick' }
  /** List + inspect: all our containers of this workload, and whoever holds its name. */
  | {
      readonly type: 'observed';
      readonly containers: readonly ContainerFacts[];
      readonly afterOutage: boolean;
      /** The first look since the machine has booted: what fell, fell with it. */
      readonly afterBoot?: true;
    }
  | { readonly type: 'engine-lost'; readonly reason: string }
  /** The engine answers, but says nothing about this workload's container. `reason`: the whole sentence. */
  | { readonly type: 'container-silent'; readonly reason: string }
  /**
   * The kernel killed a process of the container for want of memory; the container may live on. Told by the kernel log (which
   * process, whose limit) and by the engine (`process` null), in any order: one killing is counted once.
   */
  | {
      readonly type: 'oom';
      readonly process: { readonly pid: number; readonly name: string } | null;
      /** Whose memory was short: the container's own limit, or the whole host. */
      readonly constraint: 'container' | 'host';
    }
  /** The host's gate. Closed: no attempt begins; what is under way inside a container goes on. Without a word it is open. */
  | { readonly type: 'gate'; readonly open: boolean; readonly reason: string }
  /** The machine will go away (preemption, maintenance, shutdown): nothing is restarted meanwhile. `until`: epoch ms, null: open end. */
  | { readonly type: 'drain'; readonly reason: string; readonly until: number | null }
  | { readonly type: 'drain-over' }
  /** A fault of an accelerator that this workload uses. */
  | {
      readonly type: 'accelerator';
      readonly code: ErrorCode;
      readonly message: string;
      /** Where it can be mended; `host`: not by Relight. */
      readonly level: 'process' | 'container' | 'host';
      readonly recoverable: boolean;
      readonly data: Readonly<Record<string, unknown>>;
    }
  /** How many agents share what this workload depends on. */
  | { readonly type: 'fleet'; readonly size: number }
  /** While held: something that the attempt was made from is different now. `container`: only a new one reads it. */
  | { readonly type: 'inputs-changed'; readonly what: readonly string[]; readonly container: boolean }
  /** An image appeared on the engine. */
  | { readonly type: 'image-changed' }
  /** The prepared spare: `generation` is the highest that one was given, `offer` what may be taken (see spare.ts). */
  | { readonly type: 'spare'; readonly generation: number; readonly offer: SpareOffer | null }
  | { readonly type: 'op-done'; readonly opId: number; readonly result: OpResult }
  /**
   * `containerAlive`: the container's first process is alive, as the kernel sees it. `lastLines`: at most the last 200 lines
   * that the run wrote, oldest first, without secrets.
   */
  | {
      readonly type: 'run-exited';
      readonly runId: string;
      readonly exitCode: number | null;
      readonly signal: string | null;
      readonly containerAlive: boolean;
      readonly lastLines: readonly string[];
      /** Who has the port that the last lines complain of, when somebody has: `python3 (pid 1234)`. */
      readonly portHolder?: string;
    }
  | ({ readonly type: 'check' } & CheckReport)
  | { readonly type: 'mount-check'; readonly mount: string; readonly condition: MountCondition; readonly message: string }
  | { readonly type: 'pause'; readonly reason: string; readonly until: number | null }
  | { readonly type: 'resume' }
  | { readonly type: 'restart'; readonly level: 'process' | 'container'; readonly reason: string }
  /** The configuration says something else than what runs was made from. */
  | { readonly type: 'spec-changed'; readonly impact: 'none' | 'process' | 'container'; readonly fields: readonly string[] };

export type EmittedEvent = Omit<NewAgentEvent, 'at' | 'workload'>;

export type Effect =
  | { readonly kind: 'run'; readonly opId: number; readonly op: Op }
  | { readonly kind: 'cancel'; readonly opId: number }
  | { readonly kind: 'emit'; readonly event: EmittedEvent }
  /** Ask the engine now; an `observed`, `container-silent` or `engine-lost` follows. */
  | { readonly kind: 'observe' }
  | { readonly kind: 'probe-mount'; readonly mount: string }
  /** Remove containers of ours that nobody needs any more. */
  | { readonly kind: 'sweep'; readonly containerIds: readonly string[] };

export interface Context {
  readonly now: number;
  /** Uniform in [0, 1), one draw per transition. */
  readonly random: number;
  readonly spec: WorkloadSpec;
  readonly ownerId: string;
}

export interface Transition {
  readonly state: WorkloadState;
  readonly effects: readonly Effect[];
}
