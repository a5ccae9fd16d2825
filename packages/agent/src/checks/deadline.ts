/**
 * Aborts after `ms`, behind what has come by then. A process that stood still for as long (a disk, a busy machine) finds its timers before
 * it finds the answers: whoever has answered in time was not silent.
 */
export function answerDeadline(ms: number): AbortSignal {
  const late = new AbortController();
  setTimeout(() => setImmediate(() => late.abort()), ms).unref();
  return late.signal;
}
