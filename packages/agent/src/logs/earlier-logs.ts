/**
 * What the runs of an earlier agent wrote while nobody read: followed from the start, and read to its end once it is known
 * which of these runs still write.
 */
import { errorMessage } from '@relight/shared/errors';
import type { Logger } from 'pino';
import type { ContainerFacts } from '../engine/engine.ts';
import { findRunFiles, segmentsOnDisk } from '../stages/run-files.ts';
import type { Runs } from '../stages/runs.ts';
import type { LogShipper, SegmentFile } from './log-shipper.ts';

/**
 * Of one workload. Each is held by a descriptor, and a program in the container may make files that are called as if runs had written
 * them: a hundred thousand of those, and the agent would end at its start, again and again.
 */
const followedMax = 2_000;

interface EarlierLogsOptions {
  readonly runRoot: string;
  readonly shipper: Pick<LogShipper, 'follow' | 'finish'>;
  readonly runs: Pick<Runs, 'list'>;
  readonly logger: Pick<Logger, 'warn'>;
}

export class EarlierLogs {
  readonly #options: EarlierLogsOptions;
  #files: readonly SegmentFile[] = [];

  constructor(options: EarlierLogsOptions) {
    this.#options = options;
  }

  /** Before the first run of this agent: all that is on the disk is an earlier one's. */
  follow(): void {
    const { logger, runRoot } = this.#options;
    const byWorkload = Map.groupBy(segmentsOnDisk(runRoot), ({ key }) => key.workload);
    this.#files = [...byWorkload].flatMap(([workload, files]) => {
      if (files.length <= followedMax) return files;
      const left = files.length - followedMax;
      logger.warn({ workload, left }, 'too many log files of earlier runs: the oldest are left to the next start of the agent');
      return files.toSorted(byAge).slice(-followedMax);
    });
    for (const file of this.#files) this.#options.shipper.follow(file);
  }

  /** `own`: this agent's containers, as the engine has just told. Logs whose run is over are finished, once. Never rejects. */
  async observed(own: readonly ContainerFacts[]): Promise<void> {
    const files = this.#files;
    if (files.length === 0) return;
    this.#files = [];
    const { logger, runRoot, runs, shipper } = this.#options;
    try {
      const alive = (await Promise.all(own.filter(({ pid }) => pid > 0).map(({ id }) => runs.list(id)))).flat();
      const written = new Set(alive.map((run) => findRunFiles(runRoot, run)?.log));
      for (const file of files) if (!written.has(file.path)) shipper.finish(file.key);
    } catch (error) {
      // Unfinished they are only followed for longer than needed; the next look tries again.
      this.#files = files;
      logger.warn({ reason: errorMessage(error) }, 'which earlier runs still write cannot be told yet');
    }
  }
}

const byAge = ({ key: a }: SegmentFile, { key: b }: SegmentFile): number =>
  a.generation - b.generation || Number.parseInt(a.run, 10) - Number.parseInt(b.run, 10);
