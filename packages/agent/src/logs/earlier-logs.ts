/**
 * What the runs of an earlier agent wrote while nobody read: followed from the start, and read to its end once it is known
 * which of these runs still write.
 */
import { errorMessage } from '@relight/shared/errors';
import { segmentId } from '@relight/shared/log-stream';
import type { Logger } from 'pino';
import { runOwnerByLabels } from '../engine/create-options.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import { findAllRunFiles, type LeftLogs, logsOnDisk, segmentNamed } from '../stages/run-files.ts';
import type { Runs } from '../stages/runs.ts';
import type { LogLane } from './log-lane.ts';
import type { LogShipper, SegmentFile } from './log-shipper.ts';

/**
 * Of one workload at a time. Each is held by a descriptor, and a program in the container may make files that are called as if runs had
 * written them: a hundred thousand of those, and the agent would end at its start, again and again.
 */
const followedAtOnce = 2_000;
/** More than one directory is read of. */
const perDirectory = 1_000_000;

interface EarlierLogsOptions {
  readonly runRoot: string;
  readonly shipper: Pick<LogShipper, 'follow' | 'finish'> & Pick<LogLane, 'segments'>;
  readonly runs: Pick<Runs, 'list'>;
  readonly logger: Pick<Logger, 'warn'>;
  /** Files of one workload. Default: 2,000. */
  readonly followedMax?: number;
}

/** Of one workload. */
interface Waiting {
  /** Oldest first, so that what waits longest is known as that: followed as those before are delivered. */
  directories: readonly LeftLogs[];
  /** Of the first directory; null: its turn has not come. As names, for they may be very many. */
  names: readonly string[] | null;
  /** Of these so many have been followed. */
  taken: number;
}

export class EarlierLogs {
  readonly #options: EarlierLogsOptions;
  #waiting: ReadonlyMap<string, Waiting> = new Map();
  #followed: readonly SegmentFile[] = [];
  /** Null: which of them are still written is known. */
  #unfinished: readonly SegmentFile[] | null = [];
  /** Paths of those that living runs write: whoever found these follows them. */
  #written: ReadonlySet<string | undefined> = new Set();
  #looking = false;
  /** Workloads with a directory that cannot be read; it has been told. */
  readonly #unlisted = new Set<string>();

  constructor(options: EarlierLogsOptions) {
    this.#options = options;
  }

  /** Before the first run of this agent: all that is on the disk is an earlier one's. */
  follow(): void {
    const { logger, runRoot } = this.#options;
    const left = logsOnDisk(runRoot);
    const waits = (directories: readonly LeftLogs[]): Waiting => ({ directories, names: null, taken: 0 });
    this.#waiting = new Map([...Map.groupBy(left, ({ workload }) => workload)].map(([workload, its]) => [workload, waits(its)]));
    this.#unfinished = this.#followMore();
    const waiting = left.reduce((sum, { count }) => sum + count, 0) - this.#unfinished.length;
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
    this.#written = new Set(findAllRunFiles(runRoot, alive).map((found) => found?.log));
    // The others are over, and do not begin again.
    for (const file of files) if (!this.#written.has(file.path)) shipper.finish(file.key);
  }

  /** Those that are followed from now on. */
  #followMore(): readonly SegmentFile[] {
    if (this.#waiting.size === 0) return [];
    const { followedMax = followedAtOnce, logger, shipper } = this.#options;
    const held = new Set(shipper.segments().map(segmentId));
    const followed = this.#followed.filter(({ key }) => held.has(segmentId(key)));
    const counts = Map.groupBy(followed, ({ key }) => key.workload);
    const more: SegmentFile[] = [];
    for (const [workload, waiting] of this.#waiting) {
      try {
        for (let room = followedMax - (counts.get(workload)?.length ?? 0); room > 0; room -= 1) {
          const file = this.#next(waiting, held);
          if (file === null) break;
          more.push(file);
        }
        this.#unlisted.delete(workload);
      } catch (error) {
        // Of this workload alone, until the next look: what was taken from other directories is followed.
        if (!this.#unlisted.has(workload))
          logger.warn({ workload, reason: errorMessage(error) }, 'logs of its earlier runs cannot be listed, trying again');
        this.#unlisted.add(workload);
      }
    }
    this.#waiting = new Map([...this.#waiting].filter(([, { directories }]) => directories.length > 0));
    this.#followed = [...followed, ...more];
    for (const file of more) shipper.follow(file);
    return more;
  }

  /** `held`: what is followed already, as the log of a run of this agent is. */
  #next(waiting: Waiting, held: ReadonlySet<string>): SegmentFile | null {
    for (let [directory] = waiting.directories; directory !== undefined; [directory] = waiting.directories) {
      waiting.names ??= directory.names();
      const name = waiting.names[waiting.taken];
      if (name === undefined) {
        waiting.directories = waiting.directories.slice(1);
        [waiting.names, waiting.taken] = [null, 0];
        continue;
      }
      // Before all that this agent runs, also those that are followed later than its first runs.
      const order = waiting.taken - perDirectory * waiting.directories.length;
      waiting.taken += 1;
      const file = segmentNamed(directory, name);
      if (file !== null && !this.#written.has(file.path) && !held.has(segmentId(file.key))) return { ...file, order };
    }
    return null;
  }
}
