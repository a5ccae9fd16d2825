/** A configuration that waits for its image, and how far that is, in one piece of a line. Pure; not cleaned of control characters. */
import type { WaitingConfiguration } from './status.ts';
import { formatDurationMs } from './units.ts';

type Waiting = Pick<WaitingConfiguration, 'progress' | 'reason' | 'nextAttemptAt'>;

export function waitingText({ progress, reason, nextAttemptAt }: Waiting, now: number): string {
  const next = nextAttemptAt === null ? '' : `; again in ${formatDurationMs(Math.max(0, nextAttemptAt - now))}`;
  return `${reason}${progress === null ? '' : ` (${progress})`}${next}`;
}
