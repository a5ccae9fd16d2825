/**
 * What keeps systemd's watchdog fed: rounds of work that end. Each waits for an answer of the writing thread, to whatever it was asked,
 * and asks it for an empty transaction so that there is one also when nothing is to be written. So it ends only while this thread's loop
 * turns and the writing thread gets on. An answer that it failed (a full disk) is an answer: another process would not write either.
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
