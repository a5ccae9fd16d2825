import { expect, test } from 'vitest';
import { beatAt, onBeat } from './beat.ts';
import { ManualClock } from './manual-clock.ts';

test('the beat is at most a second sooner than asked for, and hardly later', () => {
  expect(beatAt(0, 1_000)).toBe(1_000);
  expect(beatAt(420, 1_000)).toBe(1_000);
  expect(beatAt(960, 1_000)).toBe(2_000);
  expect(beatAt(3_700, 10_000)).toBe(13_000);
  for (let now = 0; now < 3_000; now += 7) {
    const after = beatAt(now, 5_000) - now;
    expect(after).toBeGreaterThan(4_050);
    expect(after).toBeLessThanOrEqual(5_050);
  }
});

test('a timer that comes a bit early is not followed by another one at once', () => {
  expect(beatAt(1_998.7, 1_000)).toBe(3_000);
});

test('whoever is due at the same beat shares one timer, in the order in which they asked', () => {
  const clock = new ManualClock();
  const called: string[] = [];
  const repeat = (name: string, ms: number): void => {
    onBeat(clock, ms, () => {
      called.push(`${name} ${clock.monotonic()}`);
      repeat(name, ms);
    });
  };
  repeat('a', 1_000);
  clock.advance(300);
  repeat('b', 1_000);
  clock.advance(300);
  repeat('c', 2_000);
  expect(clock.pendingTimers).toBe(2);
  clock.advance(1_400);
  expect(called).toEqual(['a 1000', 'b 1000', 'c 2000', 'a 2000', 'b 2000']);
  clock.advance(2_000);
  expect(called.slice(5)).toEqual(['a 3000', 'b 3000', 'c 4000', 'a 4000', 'b 4000']);
  expect(clock.pendingTimers).toBe(2);
});

test('what is cancelled is not called, also when it is cancelled at its own beat; the last one takes the timer with it', () => {
  const clock = new ManualClock();
  const called: string[] = [];
  const first = onBeat(clock, 1_000, () => called.push('first'));
  const second = onBeat(clock, 1_000, () => {
    called.push('second');
    third.cancel();
  });
  const third = onBeat(clock, 1_000, () => called.push('third'));
  first.cancel();
  first.cancel();
  clock.advance(1_000);
  expect(called).toEqual(['second']);
  second.cancel();
  const alone = onBeat(clock, 1_000, () => called.push('alone'));
  expect(clock.pendingTimers).toBe(1);
  alone.cancel();
  expect(clock.pendingTimers).toBe(0);
  onBeat(clock, 1_000, () => called.push('later'));
  clock.advance(1_000);
  expect(called).toEqual(['second', 'later']);
});

test('one that throws takes none of the others with it', () => {
  const clock = new ManualClock();
  const called: string[] = [];
  onBeat(clock, 1_000, () => called.push('before'));
  onBeat(clock, 1_000, () => {
    throw new Error('a defect');
  });
  onBeat(clock, 1_000, () => called.push('behind'));
  expect(() => clock.advance(1_000)).toThrow('a defect');
  expect(called).toEqual(['before', 'behind']);
});
