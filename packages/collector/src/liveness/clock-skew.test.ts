import type { HostCondition } from '@relight/shared/status';
import { expect, test } from 'vitest';
import { clockSkew } from './clock-skew.ts';

function fold(skews: readonly number[]): (string | undefined)[] {
  let held: HostCondition | undefined;
  let former: number | null = null;
  return skews.map((skew, at) => {
    held = clockSkew(held, [skew, former], at);
    former = skew;
    return held === undefined ? undefined : `${held.since}: ${held.reason}`;
  });
}

test('raised above 5 s, twice in a row; over below 4 s', () => {
  expect(fold([6_000, 6_000, 4_500, 5_500, 3_900, 4_500])).toEqual([
    undefined,
    "1: its clock is 6.0 s ahead of the collector's",
    "1: its clock is 4.5 s ahead of the collector's",
    "1: its clock is 5.5 s ahead of the collector's",
    undefined,
    undefined,
  ]);
});

test('one late message is no clock', () => {
  expect(fold([0, -20_000, 0, -20_000, 20_000])).toEqual([undefined, undefined, undefined, undefined, undefined]);
  expect(fold([-7_000, -7_000])[1]).toContain('7.0 s behind');
});
