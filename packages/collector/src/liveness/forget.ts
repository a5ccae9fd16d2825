/**
 * Which hosts are gone for good, by the rules of the configuration. Pure.
 *
 * For how long a host is gone must outlast a restart of the collector, so it is measured on the wall clock, which may be set: a machine that
 * comes up hours behind and is then put right would have every dead host gone for hours. So a rule holds only when that clock has
 * run evenly for as long as the rule says.
 */
import { matchesSelector } from '@relight/shared/selector';
import type { ForgetRule } from '../config.ts';
import type { HostRecord } from '../store/store.ts';

/** One moment on both clocks, in milliseconds. */
export interface Moment {
  readonly wall: number;
  readonly mono: number;
}

/** NTP that slews, and a machine that is busy, stay below it from one look at the clocks to the next. */
const setByMs = 60_000;

/** Whether somebody has set the wall clock between two looks, forwards or back; a machine that slept looks the same. */
export const wasSet = (before: Moment, now: Moment): boolean => Math.abs(now.wall - before.wall - (now.mono - before.mono)) > setByMs;

/**
 * Null: it stays. A host that is expected, or of which nothing is known yet, is not gone.
 * `evenMs`: for how long the wall clock has not been set.
 */
export function forgottenBy(
  host: Pick<HostRecord, 'state' | 'stateSince' | 'labels'>,
  rules: readonly ForgetRule[],
  now: number,
  evenMs = Infinity,
): ForgetRule | null {
  if (host.state !== 'dead' && host.state !== 'stopped') return null;
  const rule = rules.find(({ label }) => matchesSelector(label, host.labels));
  return rule !== undefined && Math.min(now - host.stateSince, evenMs) >= rule.afterMs ? rule : null;
}
