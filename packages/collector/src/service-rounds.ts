/**
 * What keeps systemd's watchdog fed: rounds of work that end. Each asks the writing thread for an empty transaction and waits for its
 * answer, so it ends only while this thread's loop turns and the writing thread gets on with what was asked of it before. An answer
 * that it failed (a full disk) is an answer: another process would not write either.
 */
import type { Clock, Timer } from '@relight/shared/clock';

/** Several of them fit into the WatchdogSec= of the unit. */
const everyMs = 10_000;

export interface RoundsDeps {
  readonly clock: Clock;
  /** Settles when the writing thread has answered. */
  readonly prove: () => Promise<void>;
  readonly onProgress: () => void;
}

export function startRounds({ clock, prove, onProgress }: RoundsDeps): { close(): void } {
  let closed = false;
  let timer: Timer;
  const round = async (): Promise<void> => {
    await prove().catch(() => {});
    if (closed) return;
    onProgress();
    schedule();
  };
  const schedule = (): void => {
    timer = clock.after(everyMs, () => void round());
  };
  schedule();
  return {
    close() {
      closed = true;
      timer.cancel();
    },
  };
}
