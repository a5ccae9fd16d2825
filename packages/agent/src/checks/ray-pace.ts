/**
 * Pure: how often a head is asked while a node joins. Soon after something has changed on the host, because a raylet that has
 * just started is known to the head within a second; then less and less, up to the check's interval. 10,000 hosts share it.
 */
import type { Outcome } from './outcome.ts';

const firstPauseMs = 250;
/** The share by which a pause varies: hosts that began together must not ask together. */
const spread = 0.25;

export interface Asked {
  readonly outcome: Outcome;
  /** Node ids of the raylets that ran then. */
  readonly running: readonly string[];
  readonly at: number;
  readonly pauseMs: number;
}

/** `random`: uniform in [0, 1). */
export interface Pace {
  readonly intervalMs: number;
  readonly random: number;
}

/** The head need not be asked yet. */
export function isRecentAnswer(asked: Asked | undefined, running: readonly string[], now: number): asked is Asked {
  return asked !== undefined && !asked.outcome.ok && isSame(asked.running, running) && now < asked.at + asked.pauseMs;
}

export function nextAsk(
  before: Asked | undefined,
  running: readonly string[],
  outcome: Outcome,
  now: number,
  { intervalMs, random }: Pace,
): Asked {
  const isFresh = before === undefined || before.outcome.ok || !isSame(before.running, running);
  const pauseMs = isFresh ? firstPauseMs : Math.min(intervalMs, before.pauseMs * 2);
  return { outcome, running, at: now, pauseMs: Math.min(intervalMs, pauseMs * (1 + spread * (2 * random - 1))) };
}

const isSame = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((id) => b.includes(id));
