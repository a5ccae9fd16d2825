/**
 * clock-skew: the agent's clock is more than 5 s off this collector's. Decided here, because only here both clocks are seen; which
 * of them is wrong nobody can tell from the difference. Pure.
 */
import { skewDirection, skewMsMax } from '@relight/shared/clock-skew';
import type { HostCondition } from '@relight/shared/status';
import { formatDurationMs } from '@relight/shared/units';

/** Below this it is over: a skew that hovers around the limit must not flap. */
const overMs = 4_000;

/**
 * `skews`: this and the previous measurement, the agent's stamp minus our receipt. A message that was long on its way looks like
 * a clock behind, so both must say the same.
 */
export function clockSkew(
  before: HostCondition | undefined,
  skews: readonly [number, number | null],
  now: number,
): HostCondition | undefined {
  const [present, former] = skews;
  const limit = before === undefined ? skewMsMax : overMs;
  const same = former !== null && Math.sign(former) === Math.sign(present) && Math.abs(former) > limit;
  if (Math.abs(present) <= limit || (before === undefined && !same)) return undefined;
  return {
    name: clockSkewName,
    subject: '',
    severity: 'warning',
    since: before?.since ?? now,
    reason: `its clock is ${formatDurationMs(Math.abs(present))} ${skewDirection(present)}`,
    advice: 'Look at its time synchronisation (timedatectl, chronyc tracking), and at the collector’s if other hosts say the same.',
  };
}

export const clockSkewName = 'clock-skew';
