/**
 * Work that is due every few seconds, and that nobody waits for to the millisecond: all of a process happens in the same moments, at
 * whole seconds of its monotonic clock. An idle service pays more for each time it wakes (a core that has slept, cold caches)
 * than for what it then looks at.
 */
import type { Clock, Timer } from './clock.ts';

const beatMs = 1_000;
/** What is due so shortly after a beat is meant for it: timers of Node come up to a few milliseconds early, and work takes time. */
const slackMs = 50;

/** The monotonic time of the beat for what is due in `ms`: `slackMs` later at most, and less than a second sooner. */
export function beatAt(now: number, ms: number): number {
  return Math.floor((now + ms + slackMs) / beatMs) * beatMs;
}

interface Beat {
  readonly timer: Timer;
  readonly due: Set<() => void>;
}

const beatsOf = new WeakMap<Clock, Map<number, Beat>>();

/** As `clock.after`, at a beat. `ms`: from one second up. */
export function onBeat(clock: Clock, ms: number, fn: () => void): Timer {
  const beats = beatsOf.get(clock) ?? new Map<number, Beat>();
  beatsOf.set(clock, beats);
  const now = clock.monotonic();
  const at = beatAt(now, ms);
  const begin = (): Beat => {
    const due = new Set<() => void>();
    const timer = clock.after(at - now, () => {
      beats.delete(at);
      callAll(due);
    });
    const beat = { timer, due };
    beats.set(at, beat);
    return beat;
  };
  const { timer, due } = beats.get(at) ?? begin();
  // Its own, so that the same function can be due twice.
  const call = (): void => fn();
  due.add(call);
  return {
    cancel: () => {
      if (!due.delete(call) || due.size > 0 || beats.get(at)?.due !== due) return;
      beats.delete(at);
      timer.cancel();
    },
  };
}

/** Also those that are behind one which throws: as with timers of their own. What is cancelled meanwhile is not called. */
function callAll(due: Set<() => void>): void {
  const [first] = due;
  if (first === undefined) return;
  due.delete(first);
  try {
    first();
  } finally {
    callAll(due);
  }
}
