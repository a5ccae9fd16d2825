/**
 * Whether an alert is told now, and what must be remembered for that, kept with the alert. Pure.
 *
 * Events may overtake the status that explains them: a rule that counts events waits a moment before it speaks. And what such
 * a rule has seen only while something else caused it is not told when that is over: it is not true any more. It takes one more
 * occurrence. Rules about what is so now need no such memory.
 */
import type { Severity } from '@relight/shared/event';
import type { AlertRecord } from '../store/store.ts';

/** An agent's status follows its events within 100 ms; a busy collector may take longer. */
export const statusFollowsMs = 1_000;

export interface Telling {
  /** The severity that the sinks were last told; null: nothing yet. */
  readonly told: string | null;
  /** When this severity was reached here. */
  readonly seenAt: number;
  /** True: something else causes it. A time: until then something did. */
  readonly caused: number | boolean;
}

export function tellingOf(alert: AlertRecord | undefined): Telling {
  const { told, seenAt, caused } = alert?.data ?? {};
  return {
    told: typeof told === 'string' ? told : null,
    seenAt: typeof seenAt === 'number' ? seenAt : (alert?.startsAt ?? 0),
    caused: typeof caused === 'number' || caused === true ? caused : false,
  };
}

/** `lastAt`: when it last happened, for a rule that counts. */
export function nextTelling(
  before: Telling,
  now: { readonly isCaused: boolean; readonly isWorse: boolean; readonly lastAt: number | undefined; readonly at: number },
): Telling {
  const { told, caused } = before;
  const seenAt = now.isWorse ? now.at : before.seenAt;
  if (now.isCaused) return { told, seenAt, caused: true };
  if (caused === true) return { told, seenAt, caused: now.at };
  // It has happened once more: seen anew, for the status may follow that says why.
  if (caused !== false && now.lastAt !== undefined && now.lastAt > caused) return { told, seenAt: now.at, caused: false };
  return { told, seenAt, caused };
}

export function shouldTell(severity: Severity, { told, seenAt, caused }: Telling, lastAt: number | undefined, now: number): boolean {
  if (told === severity || caused === true) return false;
  return lastAt === undefined || (caused === false && now - seenAt >= statusFollowsMs);
}
