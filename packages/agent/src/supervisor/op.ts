/**
 * Operations: what the supervisor asks the outside to do, as plain data. Exactly one is in flight per workload. Each is
 * idempotent: done again after a crash in the middle it leads to the same end.
 */
import type { ErrorCode } from '@relight/shared/errors';
import type { MountCondition } from '../checks/probe.ts';
import type { SpareOffer } from './spare-state.ts';

/** One start of something in a container: its id is in RELIGHT_RUN of every process that belongs to it. */
export interface RunRef {
  /** See run-id.ts. Recorded before the run begins, so that a crash in between leaves nothing unknown. */
  readonly runId: string;
  readonly kind: 'process' | 'mount' | 'setup';
  /** The mount's or step's name; '' for the process. */
  readonly name: string;
}

/** A run that was started, with what tells its first process from a later one with the same pid. */
export interface RunHandle extends RunRef {
  /** Host pid of the wrapper, a session leader; 0 when it was over before anybody could look. */
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks after boot. */
  readonly startTicks: number;
}

export type Op =
  /** Which runs are alive in a container that somebody else started: an earlier life of this agent. */
  | { readonly kind: 'adopt'; readonly containerId: string }
  /** Variables anew, then every `depends_on` once. Fails with variable-failed or dependency-down. */
  | { readonly kind: 'prepare' }
  /**
   * The same once more, before something that uses it starts: what `prepare` has found out is long ago. `mount` null: before the
   * process. Fails as `prepare` does.
   */
  | { readonly kind: 'refresh'; readonly mount: string | null }
  | { readonly kind: 'pull' }
  /** Looks once at mounts that are in place: a process has just ended there. `containerPid`: of the container's first process. */
  | { readonly kind: 'look'; readonly containerPid: number; readonly mounts: readonly string[] }
  /** Stops `runs` (SIGTERM, stop_timeout, SIGKILL), then purges every process of theirs that is left. Mount runs are killed at once. */
  | { readonly kind: 'stop-runs'; readonly runs: readonly RunRef[]; readonly graceful: boolean }
  /** Makes sure that the container is stopped and renames it out of the way. */
  | { readonly kind: 'retire'; readonly containerId: string; readonly asName: string; readonly graceful: boolean }
  /** Gives the running container the name of the configuration again. */
  | { readonly kind: 'rename'; readonly containerId: string }
  /** Takes over a container of ours that already has this name and generation (a crash between create and record). */
  | { readonly kind: 'create'; readonly generation: number }
  /** The prepared spare becomes the container, if all of it still holds. Fails with spare-unusable. */
  | { readonly kind: 'take-spare'; readonly offer: SpareOffer }
  | { readonly kind: 'start'; readonly containerId: string }
  /** Stops the container, to be started again with everything it holds. */
  | { readonly kind: 'halt'; readonly containerId: string }
  /** Adopts what is mounted already and alive; otherwise clears the target (abort, lazy unmount), runs the program and waits for the mount. */
  | { readonly kind: 'mount'; readonly mount: string; readonly run: RunRef }
  /** `verifyFirst`: the step ran in this container before; when its verify passes it is not run again. */
  | { readonly kind: 'setup'; readonly index: number; readonly run: RunRef; readonly verifyFirst: boolean }
  /** Purges leftovers of `leftovers`, puts right what `remedy` names, runs `before`, starts `run`. */
  | { readonly kind: 'process'; readonly run: RunRef; readonly leftovers: readonly RunRef[]; readonly remedy: ErrorCode | null };

export type OpKind = Op['kind'];

export interface LostMount {
  readonly mount: string;
  readonly condition: MountCondition;
  readonly message: string;
}

/** What an operation brought. Facts only; what follows from them is the supervisor's business. */
export type OpValue =
  | { readonly kind: 'adopt'; readonly runs: readonly RunHandle[] }
  /** `fixed`: no variable is a command and nothing is depended on, so nothing of it can be different later. */
  | { readonly kind: 'prepare'; readonly fixed?: true }
  | { readonly kind: 'refresh' }
  /** `fallback`: why the image could not be pulled, while the one on this host will do. */
  | { readonly kind: 'pull'; readonly fallback?: string }
  /** Those that are certainly gone. One that did not answer in time is not among them: that says nothing yet. */
  | { readonly kind: 'look'; readonly lost: readonly LostMount[] }
  | { readonly kind: 'halt' }
  | { readonly kind: 'stop-runs' }
  | { readonly kind: 'retire' }
  | { readonly kind: 'rename' }
  | { readonly kind: 'create'; readonly containerId: string; readonly warnings: readonly string[] }
  | { readonly kind: 'take-spare'; readonly pid: number }
  | { readonly kind: 'start'; readonly pid: number; readonly startedAt: number }
  /** `run` is null when the mount was there already. */
  | { readonly kind: 'mount'; readonly run: RunHandle | null }
  | { readonly kind: 'setup'; readonly skipped: boolean; readonly failedOptional: string | null }
  | { readonly kind: 'process'; readonly run: RunHandle };

/** A failure as data: what a RelightError becomes on its way into the pure core. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly recoverable: boolean;
  readonly advice: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export type OpResult = { readonly ok: true; readonly value: OpValue } | { readonly ok: false; readonly failure: Failure };
