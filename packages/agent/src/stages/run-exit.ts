/**
 * Notices the end of a run: inotify on its status file, and once a second a look whether the wrapper still is the process it
 * was, because a killed wrapper writes nothing. The status file is watched by itself: a watch on its directory would
 * wake the agent at every line of every log in it.
 */
import { closeSync, watch, type FSWatcher } from 'node:fs';
import { onBeat } from '@relight/shared/beat';
import type { Clock, Timer } from '@relight/shared/clock';
import { toRelightError } from '@relight/shared/errors';
import { constants as osConstants } from 'node:os';
import type { RunExit } from './runs.ts';
import { readStatus } from './run-files.ts';

const pollMs = 1_000;
/** Between the wrapper's write and its end there is nothing, but the agent may look in reverse order. */
const lateStatusMs = 50;

export interface ExitWatch {
  readonly clock: Clock;
  /** The status file, closed by the watch; null when there is none that could say anything. */
  readonly openStatus: () => { readonly fd: number; readonly path: string } | null;
  readonly isAlive: () => boolean;
  readonly signal: AbortSignal;
  /** Registers a reason to look at once; returns how to take it back. */
  readonly onWake: (look: () => void) => () => void;
}

/** Resolves when the run is over. Rejects only when the signal aborts. */
export function watchExit({ clock, openStatus, isAlive, signal, onWake }: ExitWatch): Promise<RunExit> {
  return new Promise((resolve, reject) => {
    // Held open: the status can be read even when the directory has been deleted since.
    const status = openStatus();
    let timer: Timer | null = null;
    let watcher: FSWatcher | null = null;
    let late = false;
    let done = false;

    const finish = (settle: () => void): void => {
      if (done) return;
      done = true;
      timer?.cancel();
      watcher?.close();
      unregister();
      signal.removeEventListener('abort', abort);
      if (status !== null) closeSync(status.fd);
      settle();
    };
    const abort = (): void => finish(() => reject(toRelightError(signal.reason, 'cancelled')));
    const look = (): void => {
      if (done) return;
      const exitCode = status === null ? null : readStatus(status.fd);
      if (exitCode !== null || (late && !isAlive())) {
        finish(() => resolve({ exitCode, signal: signalOf(exitCode), at: clock.now() }));
        return;
      }
      late = !isAlive();
      timer?.cancel();
      timer = late ? clock.after(lateStatusMs, look) : onBeat(clock, pollMs, look);
    };

    const unregister = onWake(look);
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener('abort', abort, { once: true });
    if (status !== null) watcher = watchFile(status.path, look);
    look();
  });
}

/** Without inotify (its watches are limited per user) the poll is what is left. */
function watchFile(path: string, look: () => void): FSWatcher | null {
  try {
    const watcher = watch(path, { persistent: false }, look);
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return null;
  }
}

/** A shell reports death by a signal as 128 + its number. */
export function signalOf(exitCode: number | null): string | null {
  if (exitCode === null || exitCode <= 128) return null;
  const entry = Object.entries(osConstants.signals).find(([, number]) => number === exitCode - 128);
  return entry?.[0] ?? null;
}
