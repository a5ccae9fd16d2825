/**
 * Keeps the log files of a host within their budget. Space behind the acknowledged offset is given back in steps; over the
 * budget the segment with the largest backlog loses its oldest bytes, which its tail reports as a counted gap. So the noisy
 * pays, and the few lines of a failed setup step survive a flood.
 *
 * Where a file system cannot give back a part of a file, files stay whole, and the budget is for all that is on the disk:
 * from half of it on, files of runs that are over and sent go, and files are emptied of which everything is sent just now;
 * over it any file is, the largest first, and what was not sent is a counted gap.
 */
import { errorMessage } from '@relight/shared/errors';
import { formatBytes } from '@relight/shared/units';
import type { Logger } from 'pino';
import { HolesUnsupportedError, type PunchHole } from './hole-puncher.ts';
import type { SegmentTail } from './segment-tail.ts';

const stepBytes = 4 * 1024 ** 2;
const blockBytes = 4_096;
/** Of the budget, where files can only be emptied: from here on those that are sent just now are, so that it need not come to others. */
const sentShare = 0.5;
/** Stays readable at the end of a file, for error messages and for a person on the host. */
export const keptTailBytes = 64 * 1024;
/** After a failure that may pass; twice as long after each further one. */
const retryMs = 10_000;
const retryMsMax = 5 * 60_000;
/** So many in a row, and files are treated as where nothing can be given back, until it works again. */
const failuresMax = 3;

export interface SpaceOptions {
  /** Of unsent bytes; where nothing can be freed, of all bytes. `held` are those that are on the disk now. */
  readonly bytesMax: (held: number) => number;
  /** False: there is no collector, and everything is a backlog. */
  readonly delivering: boolean;
  readonly punchHole: PunchHole;
  /** Files of runs that are over and sent. */
  readonly kept: { readonly bytes: number; removeAll(): void };
  /** Makes durable where the files stand now. Throws errno errors: then none is emptied. */
  readonly save: () => void;
  readonly logger: Pick<Logger, 'warn'>;
}

export class Space {
  readonly #options: SpaceOptions;
  #punching: Promise<void> | null = null;
  /** A range of its file is being freed. */
  #freeing: SegmentTail | null = null;
  #supported = true;
  /** Failures in a row. */
  #failures = 0;
  /** Monotonic. */
  #notBefore = -Infinity;
  #over = false;
  #use = { bytes: 0, bytesMax: 0 };

  constructor(options: SpaceOptions) {
    this.#options = options;
  }

  /**
   * Gives up what exceeds the budget and frees what is not needed. Frees one range at a time; the returned promise is for tests.
   * `monotonic`: now, in milliseconds.
   */
  keep(tails: readonly SegmentTail[], monotonic: number): Promise<void> {
    const own = tails.filter(isOwn);
    const held = own.reduce((sum, tail) => sum + onDisk(tail), 0);
    const bytesMax = this.#options.bytesMax(held);
    this.#giveUp(tails, bytesMax);
    try {
      if (!this.canPunch) this.#empty(own, bytesMax);
    } catch (error) {
      this.#options.logger.warn({ error: errorMessage(error) }, 'log files could not be emptied');
    }
    this.#punching ??= this.#punchNext(tails, monotonic).finally(() => (this.#punching = null));
    return this.#punching;
  }

  /** What is kept because it is not acknowledged, and the budget for it, as they were at the last `keep`. */
  get use(): { readonly bytes: number; readonly bytesMax: number } {
    return this.#use;
  }

  /** False: whole files are emptied where there is too much. */
  get canPunch(): boolean {
    return this.#supported && this.#failures < failuresMax;
  }

  #backlog(tail: SegmentTail): number {
    const safe = Math.max(this.#options.delivering ? tail.committed : 0, tail.givenUp);
    if (tail.file.rotates) return tail.file.heldBytes(safe, tail.finished);
    // As long as its owner keeps it, it takes no room of ours. What becomes of its name after the end of a container cannot be told.
    if (tail.source.foreign !== undefined && !tail.finished && !tail.file.unlinked) return 0;
    // After a power loss it may be forgotten how much was sent. What was freed since is no backlog, however long the file is.
    return Math.min(Math.max(0, tail.file.end - safe), tail.file.allocatedBytes);
  }

  /** Where nothing can be freed in part. */
  #empty(own: readonly SegmentTail[], bytesMax: number): void {
    const { delivering, kept, logger, save } = this.#options;
    let held = own.reduce((sum, tail) => sum + onDisk(tail), kept.bytes);
    if (held <= bytesMax * sentShare) return;
    held -= kept.bytes;
    kept.removeAll();
    const chosen: SegmentTail[] = [];
    const choose = (tails: readonly SegmentTail[], limit: number): void => {
      for (const tail of tails.toSorted((a, b) => onDisk(b) - onDisk(a))) {
        if (held <= limit || onDisk(tail) === 0) return;
        held -= onDisk(tail);
        chosen.push(tail);
      }
    };
    choose(
      own.filter((tail) => delivering && tail.committed >= tail.file.end),
      bytesMax * sentShare,
    );
    choose(
      own.filter((tail) => !chosen.includes(tail)),
      bytesMax,
    );
    // What its writer appends after the emptying may lie where a range is being freed, and would be NUL bytes. Its turn comes when that has
    // ended; the others neither pay nor wait for it, however long it takes.
    const emptied = chosen.filter((tail) => tail !== this.#freeing);
    if (emptied.length === 0) return;
    for (const { file } of emptied) file.willEmpty();
    save();
    for (const tail of emptied) tail.empty();
    save();
    logger.warn(
      { bytesMax, files: emptied.length },
      `logs come near their budget of ${formatBytes(bytesMax)}, and parts of files cannot be freed: files were emptied`,
    );
  }

  #giveUp(tails: readonly SegmentTail[], bytesMax: number): void {
    const backlogs = tails.map((tail) => ({ tail, bytes: this.#backlog(tail) })).toSorted((a, b) => b.bytes - a.bytes);
    this.#use = { bytes: backlogs.reduce((sum, { bytes }) => sum + bytes, 0), bytesMax };
    let excess = this.#use.bytes - bytesMax;
    if (excess > 0 && !this.#over) {
      const room = this.canPunch ? 'the oldest lines are given up' : 'files are emptied';
      this.#options.logger.warn({ bytesMax }, `unsent logs exceed ${formatBytes(bytesMax)}: ${room}`);
    }
    // Giving up brings it just below the budget, and the next line above it again: that is one story, told once.
    this.#over = excess > (this.#over ? -bytesMax / 2 : 0);
    for (const { tail, bytes } of backlogs) {
      if (excess <= 0) return;
      excess -= tail.file.rotates ? giveUpHeld(tail, bytes) : this.#giveUpRaw(tail, bytes, excess, bytesMax);
    }
  }

  #giveUpRaw(tail: SegmentTail, bytes: number, excess: number, bytesMax: number): number {
    if (tail.source.foreign !== undefined && tail.finished) {
      tail.letGo();
      return bytes;
    }
    const least = Math.min(stepBytes, bytesMax / 4);
    const take = Math.min(Math.max(excess, least), bytes - keptTailBytes);
    if ((!this.canPunch && tail.source.foreign === undefined) || take <= 0) return 0;
    const from = tail.file.end - bytes;
    const to = Math.floor((from + take) / blockBytes) * blockBytes;
    tail.giveUp(to);
    return Math.max(0, to - from);
  }

  async #punchNext(tails: readonly SegmentTail[], monotonic: number): Promise<void> {
    if (monotonic < this.#notBefore) return;
    for (const tail of tails) {
      // Where the file was emptied once, it begins further behind in its segment.
      const { begin, descriptor, end } = tail.file;
      if (descriptor === null || !this.#supported) continue;
      const from = Math.max(tail.freed, begin);
      const committed = this.#options.delivering ? Math.min(tail.committed, end - keptTailBytes) : 0;
      const upTo = Math.max(tail.givenUp, committed);
      // The byte before the first one that is wanted stays: it says whether a line begins there.
      const to = begin + Math.floor((upTo - 1 - begin) / blockBytes) * blockBytes;
      if (upTo - from < stepBytes && (to <= from || tail.givenUp < to)) continue;
      await this.#punch(tail, descriptor, { from, to, monotonic });
    }
  }

  async #punch(
    tail: SegmentTail,
    descriptor: number,
    { from, to, monotonic }: { readonly from: number; readonly to: number; readonly monotonic: number },
  ): Promise<void> {
    this.#freeing = tail;
    try {
      await this.#options.punchHole(descriptor, from - tail.file.begin, to - from);
      tail.freed = to;
      this.#failures = 0;
    } catch (error) {
      this.#failed(tail, error, monotonic);
    } finally {
      this.#freeing = null;
    }
  }

  /** Each story is told once: what can never be, what went wrong, and that it goes on doing so. */
  #failed(tail: SegmentTail, error: unknown, monotonic: number): void {
    // One bad moment fails every file that is due in it.
    if (monotonic < this.#notBefore && !(error instanceof HolesUnsupportedError)) return;
    const about = { path: tail.source.path, error: errorMessage(error) };
    const untilThen = 'space of sent logs cannot be freed before a run ends, or before all of them exceed the budget';
    this.#failures += 1;
    this.#notBefore = monotonic + Math.min(retryMsMax, retryMs * 2 ** (this.#failures - 1));
    if (error instanceof HolesUnsupportedError) {
      this.#supported = false;
      this.#options.logger.warn(about, untilThen);
    } else if (this.#failures === 1) {
      this.#options.logger.warn(about, 'space of sent logs could not be freed; it is tried again');
    } else if (this.#failures === failuresMax) {
      this.#options.logger.warn(about, `${untilThen}; it is tried again`);
    }
  }
}

/** Made by us for a run, which appends to it. */
export const isOwn = ({ file, source }: SegmentTail): boolean => !file.rotates && source.foreign === undefined && source.format === 'raw';

/** Bytes of it that take space: what was freed before freeing began to fail does not. */
const onDisk = ({ file }: SegmentTail): number => Math.min(file.end - file.begin, file.allocatedBytes);

/** Rotated files that exist only because we hold them open: letting go of them frees their space. */
function giveUpHeld(tail: SegmentTail, bytes: number): number {
  if (bytes === 0) return 0;
  const end = tail.file.heldEnd(tail.finished);
  if (end < tail.file.end) tail.giveUp(end);
  else tail.letGo();
  return bytes;
}
