/** Probes: one question to the outside, one answer, never a decision. One at a time per check, killed at its deadline. */
import type { Clock } from '@relight/shared/clock';
import type { ErrorCode } from '@relight/shared/errors';
import type { ProbeSpec } from '../config/spec.ts';
import type { Engine } from '../engine/engine.ts';
import type { HostGpus } from './gpu.ts';
import type { MountProbes } from './mount.ts';
import type { RayNodeMemory } from './ray-node.ts';
import type { Pace } from './ray-pace.ts';

export interface ProbeResult {
  readonly ok: boolean;
  /** One line: `connection refused`, `HTTP 503`, `exit code 1: …`. */
  readonly message: string;
  readonly durationMs: number;
  /** Set when the engine failed and not the check: that says nothing about the workload until the engine has been asked anew. */
  readonly unanswered?: true;
  /** Set when whoever would know could not be asked: neither a pass nor a failure. */
  readonly unknown?: true;
  /** Failed, but nothing is to be done about it for the moment: it is told and not counted. */
  readonly reportOnly?: true;
  /** Failed for good: it needs no confirmation by the ones that follow. */
  readonly certain?: true;
  /** What the failure is called; default: live-failed. */
  readonly code?: ErrorCode;
}

export interface ProbeContext {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly containerId: string;
  /** Host pid of the container's first process. */
  readonly containerPid: number;
  readonly shell: readonly string[] | null;
  readonly vars: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly ray: RayNodeMemory;
  /** Absent: nobody watches the GPUs of this host. */
  readonly gpus?: HostGpus;
  /** Of the agent, so that a child that hangs is not joined by another; absent: none hangs yet. */
  readonly mounts?: MountProbes;
  /** Of a readiness check that is called more often than others may be asked; absent: every call asks. */
  readonly pace?: Pace;
}

/** Never throws for a failing probe. */
export type Probe<K extends ProbeSpec['kind']> = (spec: Extract<ProbeSpec, { kind: K }>, context: ProbeContext) => Promise<ProbeResult>;

/** What a look at a mount found. `absent`: no such mount in the container's mountinfo. */
export type MountCondition = 'ok' | 'disconnected' | 'hung' | 'absent' | 'error';

export interface MountProbeResult {
  readonly condition: MountCondition;
  readonly message: string;
  readonly durationMs: number;
}
