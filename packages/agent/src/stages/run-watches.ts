/** Waits for the ends of runs: of exactly those that are wanted, of each once. */
import type { Logger } from 'pino';
import type { RunHandle } from '../supervisor/op.ts';
import { isExecuting } from './proc.ts';
import type { RunExit, Runs } from './runs.ts';

export interface RunWatchesOptions {
  readonly runs: Pick<Runs, 'exited'>;
  readonly logger: Pick<Logger, 'error'>;
  /** `containerAlive`: its first process still ran when the end of the run was seen. */
  readonly onExit: (run: RunHandle, exit: RunExit, containerAlive: boolean) => void;
}

export class RunWatches {
  readonly #options: RunWatchesOptions;
  readonly #watched = new Map<string, AbortController>();

  constructor(options: RunWatchesOptions) {
    this.#options = options;
  }

  /** What is watched already goes on; what is wanted no longer is let go, and its end is told nobody. */
  set(wanted: readonly RunHandle[], container: { readonly id: string; readonly pid: number }): void {
    const ids = new Set(wanted.map(({ runId }) => runId));
    for (const [runId, watch] of this.#watched) {
      if (ids.has(runId)) continue;
      watch.abort();
      this.#watched.delete(runId);
    }
    for (const run of wanted) if (!this.#watched.has(run.runId)) this.#watch(run, container.id, container.pid);
  }

  /** What was watched stays known, so that a late `set` begins none of it anew. */
  dispose(): void {
    for (const watch of this.#watched.values()) watch.abort();
  }

  #watch(run: RunHandle, containerId: string, containerPid: number): void {
    const abort = new AbortController();
    this.#watched.set(run.runId, abort);
    void this.#options.runs.exited(run, containerId, abort.signal).then(
      (exit) => {
        if (!abort.signal.aborted) this.#options.onExit(run, exit, isExecuting('/proc', containerPid));
      },
      (thrown: unknown) => {
        if (!abort.signal.aborted) this.#options.logger.error({ err: thrown, run: run.runId }, 'watching a run failed');
      },
    );
  }
}
