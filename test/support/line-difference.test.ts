import { expect, it } from 'vitest';
import { lineDifference, without } from './line-difference.ts';

const lines = (from: number, to: number): readonly string[] => Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}`);

it('is none', () => {
  expect(lineDifference(lines(1, 3), lines(1, 3))).toBeNull();
  expect(lineDifference([], [])).toBeNull();
});

it.each([
  [
    'an end',
    lines(1, 90),
    lines(1, 100),
    ['90 lines stored of 100', 'line 91: stored nothing, written "line 91"', 'missing: 10 ("line 91" to "line 100")'],
  ],
  [
    'one that came twice',
    [...lines(1, 5), 'line 5'],
    lines(1, 5),
    ['line 6: stored "line 5", written nothing', 'missing: 0;', 'doubled or never written: 1 ("line 5")'],
  ],
  ['an order', ['b', 'a'], ['a', 'b'], ['line 1: stored "b", written "a"', 'missing: 0;', 'never written: 0;', 'in another order']],
  ['a piece of a long line', ['x'.repeat(500)], ['x'.repeat(501)], ['x… (500)"', 'x… (501)"']],
])('tells %s', (_, stored, written, words) => {
  const told = lineDifference(stored, written) ?? '';
  for (const word of words) expect(told).toContain(word);
  expect(told.length).toBeLessThan(600);
});

it('counts equal lines', () => {
  expect(without(['a', 'a', 'b', 'a'], ['a', 'c'])).toEqual(['a', 'b', 'a']);
});
