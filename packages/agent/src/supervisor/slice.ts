/**
 * A TPU slice fails as one: when one host goes, the others see it through their coordination service (`PollForError`, `Socket
 * closed`). Starting a host of a slice alone is useless, and hides the host that failed first. So it waits as for a
 * dependency, without cost, until its peers have had the time to come back.
 *
 * Nobody tells it that they are back: a host knows only itself, and the collector may be away. So it looks by trying, less and less often;
 * `waitMsMax` is how late it may come at worst. A start too early costs nothing but itself, and most programs wait for their peers then.
 */
import { formatDurationMs } from '@relight/shared/units';
import type { Failure } from './op.ts';
import type { Work } from './work.ts';

/** The recovery of the host that failed: a new container, its set-up, its process. */
const firstWaitMs = 30_000;
const waitMsMax = 120_000;
/** Hosts of one slice must come back together. */
const jitter = 0.05;

/** Waits longer each time, as long as there was no stable run in between. Nothing is counted. */
export function waitForSlice(work: Work, failure: Failure): void {
  const times = work.state.tries[failure.code] ?? 0;
  const base = Math.min(firstWaitMs * 2 ** Math.min(times, 8), waitMsMax);
  const delayMs = Math.round(base * (1 - jitter + 2 * jitter * work.context.random));
  work.set({
    tries: { ...work.state.tries, [failure.code]: times + 1 },
    held: null,
    attempt: null,
    backOff: { until: work.now + delayMs, reason: failure.message, waiting: true },
  });
  work.emit('restart.scheduled', 'warning', `process restart in ${formatDurationMs(delayMs)}, with the slice: ${failure.message}`, {
    ...failure.data,
    code: failure.code,
    level: 'process',
    countsAsFailure: false,
    recoverable: true,
    delayMs,
  });
}
