/**
 * Runs: commands that Relight starts inside a container and that outlive the agent. Everything a run writes goes to
 * `<run directory>/<n>.<kind>[-<name>].log` and its exit status to `….status`, both made beforehand on the host; the run
 * directory is bind-mounted at /run/relight. The implementation is container-runs.ts.
 */
import type { Command } from '../config/spec.ts';
import type { RunHandle, RunRef } from '../supervisor/op.ts';
import type { RunOwner } from '../supervisor/run-id.ts';

/** Inside every managed container. */
export const runDirectoryTarget = '/run/relight';

export interface RunRequest {
  readonly run: RunRef;
  readonly containerId: string;
  readonly generation: number;
  readonly workload: string;
  readonly command: Command;
  readonly shell: readonly string[] | null;
  /** The variables; on top of the container's environment. RELIGHT_RUN is added. */
  readonly env: Readonly<Record<string, string>>;
  /** Made before the command runs, as the container's user: `mkdir -p`. */
  readonly directory?: string;
}

/** `exitCode` null: the wrapper was killed before it could write it (SIGKILL to the whole run, or the container died). */
export interface RunExit {
  readonly exitCode: number | null;
  /** 'SIGKILL' for 137 and so on, when the code says so. */
  readonly signal: string | null;
  readonly at: number;
}

export interface Runs {
  /** Starts the command and returns as soon as it runs. Fails with exec-failed or run-directory-lost. */
  start(request: RunRequest, signal: AbortSignal): Promise<RunHandle>;
  /** Resolves when the run is over. Works for runs that an earlier agent started. Rejects only when the signal aborts. */
  exited(run: RunHandle, containerId: string, signal: AbortSignal): Promise<RunExit>;
  /** SIGTERM to the run's process group, SIGKILL after `graceMs`, then every process whose RELIGHT_RUN is one of `runs` and whose cgroup is the container's. Fails with process-stuck. */
  stop(runs: readonly RunRef[], containerId: string, graceMs: number, signal: AbortSignal): Promise<void>;
  /** The live handle of a run of this container, found by RELIGHT_RUN in /proc; null when it is over. */
  find(run: RunRef, containerId: string): Promise<RunHandle | null>;
  /**
   * Every RELIGHT_RUN of this owner alive in the container, for adoption without a state directory. Of more than any honest container
   * has, the ones that live longest.
   */
  list(containerId: string, of: RunOwner): Promise<readonly RunHandle[]>;
  /** The last bytes that the run wrote, for error messages: at most `bytes`, cut at a line, without the workload's secrets. */
  tail(run: RunRef, workload: string, generation: number, bytes: number): Promise<string>;
}
