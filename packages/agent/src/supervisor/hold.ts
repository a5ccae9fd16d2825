/** Held: trying again without a change is useless. It looks again when its inputs change, and slowly otherwise. */
import { isoTime } from '@relight/shared/api';
import type { Failure } from './op.ts';
import type { ActiveLevel } from './state.ts';
import type { Work } from './work.ts';

/** A person who mends it without a file that could be watched should not have to wait longer. */
const lookMsMax = 10 * 60_000;

/** When what is held is tried again by itself: at the cap first, then ever more slowly. */
export function lookAfterMs(capMs: number, looks: number): number {
  return Math.max(capMs, Math.min(lookMsMax, capMs * 2 ** looks));
}

export function hold(work: Work, failure: Failure, level: ActiveLevel): void {
  const known = work.state.held;
  const same = known !== null && isSameTrouble(known.failure, failure);
  const looks = same ? known.looks + 1 : 0;
  const retryAt = work.now + lookAfterMs(work.spec.restart.container.maxMs, looks);
  work.set({ held: { failure, retryAt, looks }, backOff: null, attempt: null });
  if (!same) {
    work.emit('workload.held', 'error', `${failure.message}. ${failure.advice}`, {
      level,
      ...failure.data,
      code: failure.code,
      recoverable: false,
      advice: failure.advice,
      nextAttemptAt: isoTime(retryAt),
    });
  }
  work.enter('held', `${failure.message}. ${failure.advice}`);
}

/** The same trouble, told again with other times, pids and ports. */
export const isSameTrouble = (one: Pick<Failure, 'code' | 'message'>, other: Pick<Failure, 'code' | 'message'>): boolean =>
  one.code === other.code && shape(one.message) === shape(other.message);

const shape = (message: string): string => message.replaceAll(/[0-9a-f]{8,}|\d+/g, '#');
