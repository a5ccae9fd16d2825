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
    this.#files = segmentsOnDisk(this.#options.runRoot);
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
