/** Time as an argument. Nothing outside an adapter reads a clock by itself, so that every test can own the time. */

/** A running timer; `Symbol.dispose` and `cancel` both stop it and may be called more than once. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall time, milliseconds since the epoch. May jump. For stamps, never for durations. */
  now(): number;
  /** Milliseconds on a clock that never jumps; its zero means nothing. */
  monotonic(): number;
  /** Calls `fn` once, at the earliest after `ms` milliseconds. A pending timer does not keep the process alive by itself. */
  after(ms: number, fn: () => void): Timer;
}

/** Node caps timers at 2^31-1 ms and turns anything larger into 1 ms. */
const timerMsMax = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, fn) {
    const handle = setTimeout(fn, Math.min(Math.max(0, ms), timerMsMax));
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. */
export function delay(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const timer = clock.after(ms, () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    });
    const abort = (): void => {
      timer.cancel();
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', abort, { once: true });
  });
}
