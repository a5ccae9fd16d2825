import { errorMessage } from '@relight/shared/errors';
import type { ProbeContext, ProbeResult } from './probe.ts';

export type Outcome = Pick<ProbeResult, 'ok' | 'message'>;

/** Adds the duration; whatever is thrown becomes a failed probe with that message. */
export async function measured(context: ProbeContext, look: () => Promise<Outcome>): Promise<ProbeResult> {
  const began = context.clock.monotonic();
  const outcome = await look().catch((thrown: unknown): Outcome => ({ ok: false, message: errorMessage(thrown) }));
  return { ...outcome, durationMs: context.clock.monotonic() - began };
}
