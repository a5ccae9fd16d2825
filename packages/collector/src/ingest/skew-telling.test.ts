import { clockSchema, clockSkewMsMax } from '@relight/shared/protocol';
import { expect, it } from 'vitest';
import { skewToTell, type SkewTold } from './skew-telling.ts';

/** What an agent with these clocks is told, of heartbeats `everyMs` apart. */
function told(skews: readonly number[], everyMs: number): (number | null)[] {
  let last: SkewTold | null = null;
  return skews.map((skewMs, index) => {
    const tell = skewToTell(last, 1_000_000 + skewMs, 1_000_000, index * everyMs);
    last = tell ?? last;
    return tell?.skewMs ?? null;
  });
}

it('is told with the first heartbeat, and then once a minute', () => {
  expect(
    told(
      Array.from({ length: 14 }, () => 40),
      10_000,
    ),
  ).toEqual([40, ...Array(5).fill(null), 40, ...Array(5).fill(null), 40, null]);
});

it('a change of a second is told with the next heartbeat, a smaller one is not; nor is any within five seconds', () => {
  expect(told([0, 999, -999, 1_000, 1_100, 0], 10_000)).toEqual([0, null, null, 1_000, null, 0]);
  expect(told([0, 9_000, 0, 9_000, 0, 9_000, 0, 9_000, 0, 9_000, 0, 9_000], 1_000)).toEqual([
    0,
    ...Array(4).fill(null),
    9_000,
    ...Array(4).fill(null),
    0,
    null,
  ]);
});

it.each([1e308, -1e308, 0, 5.4, 1.7e12])('whatever an agent says that its time is (%s), it is told a number that it takes', (at) => {
  const { skewMs } = skewToTell(null, at, 1_700_000_000_000, 0) ?? { skewMs: null };
  expect(clockSchema.parse(JSON.parse(JSON.stringify({ type: 'clock', skewMs })))).toEqual({ type: 'clock', skewMs });
  expect(Math.abs(skewMs ?? Infinity)).toBeLessThanOrEqual(clockSkewMsMax);
});
