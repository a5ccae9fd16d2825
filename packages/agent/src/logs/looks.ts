/**
 * When a log file is looked at. One that is quiet has an inotify watch; the first write ends the watch, and from then on the
 * file is looked at in steps until it is quiet again: a program that writes line by line would wake the agent for each.
 * All files that are being written share one timer.
 */
import * as fs from 'node:fs';
import type { Clock, Timer } from '@relight/shared/clock';

/** A file as it is looked at. */
export interface LookedAt {
  path(): string;
  /** Milliseconds between two looks while it is written to: the resolution of the times of its lines. */
  stepMs(): number;
  /** True: it has grown. */
  look(): boolean;
  /** It exists, and may grow. */
  mayGrow(): boolean;
  /** It cannot be watched: it is looked at once a second all the same, when `lookAll` is called. Said once. */
  unwatchable(error: Error): void;
}

interface State {
  readonly file: LookedAt;
  watcher: fs.FSWatcher | null;
  /** Monotonic; null: it is quiet. */
  grewAt: number | null;
  lookedAt: number;
  refused: boolean;
}

/** Longer than between two writes of what writes all the time. */
const quietMs = 500;
/** A timer that came a bit early is not worth another one. */
const slackMs = 2;

export class Looks {
  readonly #clock: Clock;
  /** After looks at whatever was due, or at `id` alone; true: something has grown. */
  readonly #looked: (grown: boolean, id: string | null) => void;
  readonly #states = new Map<string, State>();
  #step: { readonly timer: Timer; readonly at: number } | null = null;

  constructor(clock: Clock, looked: (grown: boolean, id: string | null) => void) {
    this.#clock = clock;
    this.#looked = looked;
  }

  /** Looks at it at once. */
  add(id: string, file: LookedAt): void {
    const state: State = { file, watcher: null, grewAt: null, lookedAt: -Infinity, refused: false };
    this.#states.set(id, state);
    this.lookAt(id);
  }

  /** Costs the same however many there are. */
  lookAt(id: string): void {
    const state = this.#states.get(id);
    if (state === undefined) return;
    this.#looked(this.#look(state), id);
    this.#stepLater([state]);
  }

  /** Looks at those that `wanted` says, whatever they did of late. */
  lookAll(wanted: (id: string) => boolean): void {
    let grown = false;
    for (const [id, state] of this.#states) if (wanted(id)) grown = this.#look(state) || grown;
    this.#looked(grown, null);
    this.#stepLater(this.#states.values());
  }

  remove(id: string): void {
    const state = this.#states.get(id);
    if (state !== undefined) unwatch(state);
    this.#states.delete(id);
  }

  /** No file is watched or looked at by itself any more. */
  close(): void {
    this.#step?.timer.cancel();
    for (const state of this.#states.values()) unwatch(state);
    this.#states.clear();
  }

  #look(state: State): boolean {
    const { file } = state;
    const now = this.#clock.monotonic();
    state.lookedAt = now;
    let grown = file.look();
    if (grown) state.grewAt = now;
    else if (state.grewAt !== null && now - state.grewAt >= quietMs) state.grewAt = null;
    if (!file.mayGrow()) unwatch(state);
    else if (state.grewAt === null && state.watcher === null && this.#watch(state)) {
      // What was written just before the watch began wakes nobody.
      grown = file.look();
      if (grown) state.grewAt = now;
    }
    return grown;
  }

  #watch(state: State): boolean {
    try {
      const watcher = fs.watch(state.file.path(), { persistent: false }, () => this.#woken(state));
      watcher.on('error', () => unwatch(state));
      state.watcher = watcher;
      return true;
    } catch (error) {
      // Gone again, or out of inotify watches: the look of every second finds what is written, only later.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && !state.refused) {
        state.refused = true;
        state.file.unwatchable(error as Error);
      }
      return false;
    }
  }

  #woken(state: State): void {
    if (state.watcher === null) return;
    unwatch(state);
    state.grewAt = this.#clock.monotonic();
    this.#stepLater([state]);
  }

  /** For the others it is known. */
  #stepLater(states: Iterable<State>): void {
    const now = this.#clock.monotonic();
    let at = Infinity;
    for (const { file, grewAt, lookedAt } of states) {
      if (grewAt !== null && file.mayGrow()) at = Math.min(at, lookedAt + file.stepMs());
    }
    if (at === Infinity || (this.#step !== null && this.#step.at <= at)) return;
    this.#step?.timer.cancel();
    this.#step = { at, timer: this.#clock.after(Math.max(0, at - now), () => this.#stepNow()) };
  }

  #stepNow(): void {
    this.#step = null;
    const due = this.#clock.monotonic() + slackMs;
    let grown = false;
    for (const state of this.#states.values()) {
      const { file, grewAt, lookedAt } = state;
      if (grewAt !== null && file.mayGrow() && lookedAt + file.stepMs() <= due) grown = this.#look(state) || grown;
    }
    this.#looked(grown, null);
    this.#stepLater(this.#states.values());
  }
}

function unwatch(state: State): void {
  state.watcher?.close();
  state.watcher = null;
}
