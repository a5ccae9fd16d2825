import { type ErrorCode, errorMessage, RelightError } from '@relight/shared/errors';
import type { ProbeContext, ProbeResult } from './probe.ts';

export type Outcome = Omit<ProbeResult, 'durationMs'>;

/** What the engine says instead of running a command: it is away or hangs, or the container is frozen, dead or gone. */
const unanswered: ReadonlySet<ErrorCode> = new Set([
  'engine-unreachable',
  'engine-timeout',
  'engine-error',
  'exec-failed',
  'container-exited',
  'container-removed',
]);

/** Adds the duration; whatever is thrown becomes a failed probe with that message. */
export async function measured(context: ProbeContext, look: () => Promise<Outcome>): Promise<ProbeResult> {
  const began = context.clock.monotonic();
  const outcome = await look().catch((thrown: unknown): Outcome => {
    const failed = { ok: false, message: errorMessage(thrown) };
    return thrown instanceof RelightError && unanswered.has(thrown.code) ? { ...failed, unanswered: true } : failed;
  });
  return { ...outcome, durationMs: context.clock.monotonic() - began };
}
