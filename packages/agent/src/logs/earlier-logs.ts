/**
 * What the runs of an earlier agent wrote while nobody read: followed from the start, and read to its end once it is known
 * which of these runs still write.
 */
import { errorMessage } from '@relight/shared/errors';
import { segmentId } from '@relight/shared/log-stream';
import type { Logger } from 'pino';
import { runOwnerByLabels } from '../engine/create-options.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import { findAllRunFiles, segmentsOnDisk } from '../stages/run-files.ts';
import type { Runs } from '../stages/runs.ts';
import type { LogLane } from './log-lane.ts';
import type { LogShipper, SegmentFile } from './log-shipper.ts';

/**
 * Of one workload at a time. Each is held by a descriptor, and a program in the container may make files that are called as if runs had
 * written them: a hundred thousand of those, and the agent would end at its start, again and again.
 */
const followedAtOnce = 2_000;

interface EarlierLogsOptions {
  readonly runRoot: string;
  readonly shipper: Pick<LogShipper, 'follow' | 'finish'> & Pick<LogLane, 'segments'>;
  readonly runs: Pick<Runs, 'list'>;
  readonly logger: Pick<Logger, 'warn'>;
  /** Files of one workload. Default: 2,000. */
  readonly followedMax?: number;
}

export class EarlierLogs {
  readonly #options: EarlierLogsOptions;
  /** Oldest first, so that what waits longest is known as that: followed as those before are delivered. */
  #waiting: readonly SegmentFile[] = [];
  #followed: readonly SegmentFile[] = [];
  /** Null: which of them are still written is known. */
  #unfinished: readonly SegmentFile[] | null = [];
  #looking = false;

  constructor(options: EarlierLogsOptions) {
    this.#options = options;
  }

  /** Before the first run of this agent: all that is on the disk is an earlier one's. */
  follow(): void {
    const { logger, runRoot } = this.#options;
    // Before all that this agent runs, also those that are followed later than its first runs.
    this.#waiting = segmentsOnDisk(runRoot)
      .toSorted(byAge)
      .map((file, index, all) => ({ ...file, order: index - all.length }));
    this.#unfinished = this.#followMore();
    const waiting = this.#waiting.length;
    if (waiting > 0) logger.warn({ waiting }, 'many log files of earlier runs: the newer ones are followed when older ones are delivered');
  }

  /**
   * `own`: this agent's containers, as the engine has just told. Logs whose run is over are finished, once, and more are followed in the
   * place of those that the shipper has let go. Never rejects.
   */
  async observed(own: readonly ContainerFacts[]): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const { logger, shipper } = this.#options;
    try {
      if (this.#unfinished !== null) await this.#finishEnded(this.#unfinished, own);
      this.#unfinished = null;
      for (const { key } of this.#followMore()) shipper.finish(key);
    } catch (error) {
      // Unfinished they are only followed for longer than needed; the next look tries again.
      logger.warn({ reason: errorMessage(error) }, 'which earlier runs still write cannot be told yet');
    } finally {
      this.#looking = false;
    }
  }

  async #finishEnded(files: readonly SegmentFile[], own: readonly ContainerFacts[]): Promise<void> {
    const { runRoot, runs, shipper } = this.#options;
    if (files.length === 0) return;
    const running = own.filter(({ pid }) => pid > 0);
    const alive = (await Promise.all(running.map((facts) => runs.list(facts.id, runOwnerByLabels(facts))))).flat();
    const written = new Set(findAllRunFiles(runRoot, alive).map((found) => found?.log));
    for (const file of files) if (!written.has(file.path)) shipper.finish(file.key);
    // Whoever found the run alive follows it. The others are over, and do not begin again.
    this.#waiting = this.#waiting.filter(({ path }) => !written.has(path));
  }

  /** Those that are followed from now on. */
  #followMore(): readonly SegmentFile[] {
    if (this.#waiting.length === 0) return [];
    const { followedMax = followedAtOnce, shipper } = this.#options;
    const held = new Set(shipper.segments().map(segmentId));
    const followed = this.#followed.filter(({ key }) => held.has(segmentId(key)));
    const more: SegmentFile[] = [];
    const later: SegmentFile[] = [];
    const counts = new Map<string, number>();
    for (const { key } of followed) counts.set(key.workload, (counts.get(key.workload) ?? 0) + 1);
    for (const file of this.#waiting) {
      const count = counts.get(file.key.workload) ?? 0;
      (count < followedMax ? more : later).push(file);
      if (count < followedMax) counts.set(file.key.workload, count + 1);
    }
    this.#waiting = later;
    this.#followed = [...followed, ...more];
    for (const file of more) shipper.follow(file);
    return more;
  }
}

const byAge = ({ key: a }: SegmentFile, { key: b }: SegmentFile): number =>
  a.generation - b.generation || Number.parseInt(a.run, 10) - Number.parseInt(b.run, 10);
