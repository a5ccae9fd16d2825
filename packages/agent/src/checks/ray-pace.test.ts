import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Asked, isRecentAnswer, nextAsk } from './ray-pace.ts';

const no = { ok: false, message: 'not yet' };
const pace = { intervalMs: 10_000, random: 0.5 };

/** When a head is asked, by a check that may ask every 25 ms. */
function askedAt(forMs: number, runningAt: (now: number) => readonly string[], random = 0.5): readonly number[] {
  const times: number[] = [];
  let asked: Asked | undefined;
  for (let now = 0; now < forMs; now += 25) {
    const running = runningAt(now);
    if (isRecentAnswer(asked, running, now)) continue;
    times.push(now);
    asked = nextAsk(asked, running, no, now, { ...pace, random });
  }
  return times;
}

it('asks soon, then less and less, up to the interval', () => {
  expect(askedAt(60_000, () => [])).toEqual([0, 250, 750, 1_750, 3_750, 7_750, 15_750, 25_750, 35_750, 45_750, 55_750]);
});

it('asks at once, and soon again, when a raylet has started', () => {
  const times = askedAt(12_000, (now) => (now < 9_000 ? [] : ['a']));
  expect(times.filter((at) => at > 8_000)).toEqual([9_000, 9_250, 9_750, 10_750]);
});

it('asks again whenever it is asked after a pass', () => {
  const passed = nextAsk(undefined, [], { ok: true, message: '' }, 0, pace);
  expect(isRecentAnswer(passed, [], 1)).toBe(false);
});

it('keeps to its bounds, whatever the luck', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), (random) => {
      const times = askedAt(100_000, () => [], random);
      const pauses = times.slice(1).map((at, i) => at - (times[i] ?? 0));
      expect(Math.min(...pauses)).toBeGreaterThanOrEqual(187.5);
      expect(Math.max(...pauses)).toBeLessThanOrEqual(10_025);
      expect(times.length).toBeLessThan(25);
    }),
  );
});
