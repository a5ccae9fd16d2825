/**
 * Follows all log files of a host and is the log lane of the uplink. Looks at files when looks.ts says, and once a second
 * anyway; sends a block when it is full or two seconds old, at once for those who watch. Without a collector nothing is read,
 * and only the budget of the disk is kept.
 */
import * as fs from 'node:fs';
import { onBeat } from '@relight/shared/beat';
import type { Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import { DiskBudget } from './budget.ts';
import { Delivered, type LogGaps } from './delivered.ts';
import { type Followed, isOldRun, mayGrow, noteGone, noteLook, noteTrouble, restIsLost } from './followed.ts';
import { punchHole } from './hole-puncher.ts';
import type { Committed, LogFrame, LogLane } from './log-lane.ts';
import type { LogBacklog, LogShipper, SegmentFile } from './log-shipper.ts';
import { Looks, type LookedAt } from './looks.ts';
import { leaving, patient, type Patience, watched } from './patience.ts';
import { PositionBook } from './position-book.ts';
import { Retention } from './retention.ts';
import { SegmentTail } from './segment-tail.ts';
import { SetAside } from './set-aside.ts';
import type { FollowingShipperOptions } from './shipper-options.ts';
import { Space } from './space.ts';

export type { FollowingShipperOptions } from './shipper-options.ts';

const pollMs = 1_000;
/** Between two looks at a file that is being written: the resolution of the times of its lines. */
const [stepMs, watchedStepMs] = [100, 10];

export class FollowingShipper implements LogShipper, LogLane {
  readonly #options: FollowingShipperOptions;
  readonly #followed = new Map<string, Followed>();
  readonly #listeners = new Set<() => void>();
  readonly #positions: PositionBook;
  readonly #space: Space;
  readonly #retention: Retention;
  readonly #looks: Looks;
  readonly #aside: SetAside;
  #active = false;
  #flushing = false;
  #watch: readonly { workload?: string | undefined; source?: string | undefined }[] = [];
  readonly #delivered = new Delivered();
  /**
   * Those that may have something to send, in turns. The others have nothing until a look, the collector or the end of their run says
   * so: with thousands of quiet files, asking all of them for every frame would be most of the work.
   */
  readonly #stirring = new Set<Followed>();
  #order = 0;
  #poll: Timer | null = null;
  #due: { readonly timer: Timer; readonly at: number } | null = null;

  constructor(options: FollowingShipperOptions) {
    const { delivering, directory, logger } = options;
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#options = options;
    this.#positions = new PositionBook(options, () => [...this.#followed.values()].map(({ tail }) => tail));
    this.#retention = new Retention(delivering ? 1 : 0);
    this.#aside = new SetAside(options.heldMax);
    const budget = new DiskBudget(directory, options.clock);
    this.#space = new Space({
      bytesMax: (held) => options.bytesMax ?? budget.bytes(held),
      delivering,
      logger,
      punchHole: options.punchHole ?? punchHole,
      kept: this.#retention,
      save: () => this.#positions.saveDurably(),
    });
    this.#looks = new Looks(options.clock, (grown, id) => {
      if (!grown) return;
      this.#positions.changed();
      this.#scheduleDue(id === null ? this.#stirring : [this.#followed.get(id) ?? []].flat());
    });
    for (const file of delivering ? this.#positions.owed() : []) {
      this.follow(file);
      this.finish(file.key);
    }
  }

  follow(wanted: SegmentFile): void {
    const id = segmentId(wanted.key);
    const file: SegmentFile = { ...this.#aside.take(id), ...wanted };
    const known = this.#followed.get(id);
    if (known !== undefined) {
      known.order = file.order ?? known.order;
      this.#goOn(known, file);
      return;
    }
    const tail = new SegmentTail(
      file,
      this.#positions.of(id),
      this.#options.rateLimit(file.key),
      this.#options.redact?.(file.key) ?? ((bytes) => bytes),
      this.#options.delivering ? this.#options.directory : null,
    );
    const followed: Followed = { tail, order: file.order ?? ++this.#order, trouble: null, unread: null };
    this.#followed.set(id, followed);
    this.#looks.add(id, this.#lookedAt(followed));
    this.#pollLater();
  }

  finish(key: SegmentKey): void {
    const followed = this.#followed.get(segmentId(key));
    if (followed === undefined) return;
    followed.tail.finish();
    this.#stirring.add(followed);
    const since = this.#options.clock.monotonic();
    followed.unread = followed.unread === null || followed.tail.isLetGo ? null : { ...followed.unread, since };
    this.#looks.lookAt(followed.tail.id);
    this.#forgetIfDone(followed);
    this.#notify();
  }

  /** Of a segment that is finished: what is not sent becomes a counted gap, and nothing keeps the file on the disk. */
  giveUp(key: SegmentKey): void {
    const followed = this.#followed.get(segmentId(key));
    if (followed?.tail.finished !== true) return;
    followed.tail.letGo();
    this.#stirring.add(followed);
    this.#positions.changed();
    this.#notify();
  }

  /** It had ended, and not everything of it is sent. */
  #goOn(followed: Followed, file: SegmentFile): void {
    const { tail } = followed;
    if (!tail.finished) return;
    tail.goOn(file);
    this.#stirring.add(followed);
    this.#looks.lookAt(tail.id);
  }

  segments(): SegmentKey[] {
    return [...this.#followed.values()].map(({ tail }) => tail.key);
  }

  resume(committed: readonly Committed[]): void {
    const offsets = new Map(committed.map(({ segment, offset }) => [segmentId(segment), offset]));
    this.#active = true;
    this.#flushing = false;
    for (const followed of this.#followed.values()) this.#told(followed, offsets.get(followed.tail.id) ?? followed.tail.committed, true);
    for (const { segment, offset } of committed) this.#delivered.committed(segment, offset, true);
    this.#delivered.begun();
    this.#positions.changed();
    for (const followed of this.#followed.values()) this.#forgetIfDone(followed);
    this.#notify();
  }

  suspend(): void {
    this.#active = false;
    this.#watch = [];
    this.#due?.timer.cancel();
    this.#due = null;
  }

  nextFrame(): LogFrame | null {
    if (!this.#active) return null;
    const { clock } = this.#options;
    for (const followed of this.#stirring) {
      const { tail } = followed;
      const patience = this.#patience(tail);
      if (!tail.isDue(clock.monotonic(), patience)) {
        if (tail.dueAt(patience) === null) this.#stirring.delete(followed);
        continue;
      }
      const frame = this.#attempt(followed, () => tail.frame(clock.now(), clock.monotonic(), patience));
      if (frame === null) {
        if (followed.trouble !== null) tail.postpone(clock.monotonic() + pollMs);
        continue;
      }
      // The others come first now.
      this.#stirring.delete(followed);
      this.#stirring.add(followed);
      this.#delivered.handedOver(frame);
      return frame;
    }
    this.#scheduleDue();
    return null;
  }

  committed(segment: SegmentKey, offset: number, rewind: boolean): void {
    this.#delivered.committed(segment, offset, rewind);
    const followed = this.#followed.get(segmentId(segment));
    if (followed === undefined) return;
    this.#told(followed, offset, rewind);
    this.#positions.changed();
    this.#forgetIfDone(followed);
  }

  watch(selectors: readonly { workload?: string | undefined; source?: string | undefined }[]): void {
    this.#watch = selectors;
    if (selectors.length > 0) this.#looks.lookAll((id) => this.#isWatched(this.#followed.get(id)?.tail));
    this.#scheduleDue();
  }

  flush(): void {
    this.#flushing = true;
    this.#looks.lookAll(() => true);
    this.#notify();
  }

  onReady(listener: () => void): { dispose(): void } {
    this.#listeners.add(listener);
    return { dispose: () => void this.#listeners.delete(listener) };
  }

  lagBytes(): number {
    if (!this.#options.delivering) return 0;
    return [...this.#followed.values()].reduce((sum, { tail }) => sum + tail.lagBytes, this.#aside.bytes);
  }

  /** What waits and what was sent, for whoever measures. */
  backlog(): LogBacklog {
    const { clock, delivering } = this.#options;
    const now = clock.now();
    const waiting = delivering ? [...this.#followed.values()].map(({ tail }) => tail.oldestWaitingAt(now) ?? Infinity) : [];
    const oldestAt = waiting.reduce((oldest, at) => Math.min(oldest, at), Infinity);
    return {
      ...this.#space.use,
      waitingBytes: this.lagBytes(),
      oldestAt: oldestAt === Infinity ? null : oldestAt,
      ...this.#delivered.sent,
    };
  }

  /** Holes in the logs. `untoldBytes`: given up for want of room, and the collector has not heard of it yet. */
  gaps(): LogGaps & { readonly untoldBytes: number } {
    const untold = this.#options.delivering ? [...this.#followed.values()].map(({ tail }) => tail.givenUp - tail.committed) : [];
    return { ...this.#delivered.gaps, untoldBytes: untold.reduce((sum, bytes) => sum + Math.max(0, bytes), 0) };
  }

  close(): void {
    this.suspend();
    this.#poll?.cancel();
    this.#positions.save();
    this.#looks.close();
    for (const { tail } of this.#followed.values()) tail.file.close();
    this.#followed.clear();
    this.#stirring.clear();
    this.#listeners.clear();
  }

  /** Only looks find out that a file can be read again. */
  #told(followed: Followed, offset: number, rewind: boolean): void {
    this.#stirring.add(followed);
    try {
      if (rewind) followed.tail.rewind(offset);
      else followed.tail.acknowledge(offset);
    } catch (error) {
      noteTrouble(followed, error, this.#options.logger);
    }
  }

  #patience(tail: SegmentTail): Patience {
    if (this.#flushing) return leaving;
    return this.#isWatched(tail) ? watched : patient;
  }

  #isWatched(tail: SegmentTail | undefined): boolean {
    if (tail === undefined || this.#watch.length === 0) return false;
    const { source, workload } = tail.key;
    return this.#watch.some((selector) => (selector.workload ?? workload) === workload && (selector.source ?? source) === source);
  }

  /** An error of one file is said once and never stops the others; the next look tries again. */
  #attempt<T>(followed: Followed, work: () => T): T | null {
    try {
      const result = work();
      followed.trouble = null;
      return result;
    } catch (error) {
      noteTrouble(followed, error, this.#options.logger);
      return null;
    }
  }

  #look(followed: Followed): boolean {
    const { clock } = this.#options;
    const { tail } = followed;
    const grown = this.#attempt(followed, () => tail.refresh(clock.now(), clock.monotonic()));
    noteLook(followed, clock.monotonic());
    if (grown === true) this.#stirring.add(followed);
    return grown === true;
  }

  #lookedAt(followed: Followed): LookedAt {
    const { tail } = followed;
    const { delivering, logger } = this.#options;
    return {
      path: () => tail.file.watched,
      stepMs: () => (this.#isWatched(tail) ? watchedStepMs : stepMs),
      look: () => this.#look(followed),
      mayGrow: () => delivering && tail.file.opened && mayGrow(followed),
      unwatchable: (error) =>
        logger.warn({ path: tail.source.path, error: errorMessage(error) }, 'a log file is only looked at once a second while it is quiet'),
    };
  }

  #scheduleDue(some: Iterable<Followed> = this.#stirring): void {
    if (!this.#active) return;
    let at = Infinity;
    for (const { tail } of some) at = Math.min(at, tail.dueAt(this.#patience(tail)) ?? Infinity);
    if (at === Infinity || (this.#due !== null && this.#due.at <= at)) return;
    this.#due?.timer.cancel();
    const { clock } = this.#options;
    const timer = clock.after(Math.max(0, at - clock.monotonic()), () => {
      this.#due = null;
      this.#notify();
    });
    this.#due = { timer, at };
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #pollLater(): void {
    this.#poll ??= onBeat(this.#options.clock, pollMs, () => {
      this.#poll = null;
      this.#pollNow();
      this.#pollLater();
    });
  }

  #pollNow(): void {
    this.#looks.lookAll((id) => {
      const followed = this.#followed.get(id);
      return followed !== undefined && mayGrow(followed);
    });
    for (const followed of this.#followed.values()) this.#forgetIfDone(followed);
    if (this.#options.delivering) this.#setAside(this.#space.canPunch);
    void this.#space.keep(
      [...this.#followed.values()].map(({ tail }) => tail),
      this.#options.clock.monotonic(),
    );
    // What was given up is told at once.
    for (const followed of this.#followed.values()) if (followed.tail.waitingSince !== null) this.#stirring.add(followed);
    try {
      this.#retention.sweep(this.#options.clock.monotonic());
    } catch (error) {
      this.#options.logger.warn({ error: errorMessage(error) }, 'the log file of an old run could not be removed');
    }
    this.#positions.saveIfDue();
  }

  #forgetIfDone(followed: Followed): void {
    const { tail } = followed;
    if (this.#options.delivering ? !tail.done || this.#mayHoldMore(followed) : !isOldRun(followed, this.#followed.values())) return;
    // A container may be started again, and its files have been rotated since it was begun.
    if (tail.file.rotates) this.#positions.keep(tail);
    else this.#positions.drop(tail);
    this.#retention.add(tail, followed.order, this.#options.clock.monotonic());
    this.#forget(followed);
    this.#pollLater();
  }

  #forget(followed: Followed): void {
    const { tail } = followed;
    this.#followed.delete(tail.id);
    this.#stirring.delete(followed);
    this.#looks.remove(tail.id);
    tail.file.close();
    this.#positions.changed();
  }

  /** Where files are emptied for want of room, all are followed: any of them may be one. */
  #setAside(more: boolean): void {
    for (const followed of more ? this.#aside.surplus(this.#followed.values()) : []) {
      this.#positions.drop(followed.tail);
      this.#forget(followed);
    }
    for (const { file, bytes } of this.#active ? this.#aside.due(this.#followed.values()) : []) {
      this.follow(file);
      if (bytes > 0) noteGone(this.#followed.get(segmentId(file.key)), this.#options.clock.monotonic());
      this.finish(file.key);
    }
  }

  /** What could not be read is tried again; in the end, and when the file is gone, it is told as a gap that nobody can measure. */
  #mayHoldMore(followed: Followed): boolean {
    const { tail, unread } = followed;
    const { clock, logger } = this.#options;
    if (unread === null) return false;
    if (!restIsLost(unread, clock.monotonic())) return true;
    logger.warn(
      { segment: tail.id, path: tail.source.path, error: unread.why },
      'a log file could not be read to its end; a gap tells of it',
    );
    followed.unread = null;
    tail.loseRest();
    this.#stirring.add(followed);
    this.#positions.changed();
    this.#notify();
    return true;
  }
}
