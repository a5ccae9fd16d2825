import { expect, test } from 'vitest';
import { expectNoGrowth, growthPerInput, type Measure } from './growth.ts';

const mib = 1024 ** 2;
/** After each 75,000 inputs. */
const after = (rounds: number, bytes: (inputs: number) => number): Measure[] =>
  Array.from({ length: rounds }, (_, index) => ({ inputs: index * 75_000, bytes: bytes(index * 75_000) }));

test('a cache that fills and is full then is no growth; what is added to it with every input is', () => {
  const cache = (inputs: number): number => 40 * mib + Math.min(inputs * 200, 8 * mib);
  expect(growthPerInput(after(5, cache))).toBeLessThan(1);
  expect(growthPerInput(after(5, (inputs) => cache(inputs) + 50 * inputs))).toBeCloseTo(50, 0);
});

test('one measure that stands out decides nothing', () => {
  const measures = after(9, (inputs) => 40 * mib + (inputs === 450_000 ? 3 * mib : 0));
  expect(growthPerInput(measures)).toBe(0);
});

test('too few inputs tell nothing', () => {
  expect(growthPerInput(after(2, () => mib))).toBeNull();
  expect(growthPerInput([])).toBeNull();
});

/** MiB of heap that a collector held after each 75,937 inputs of a million in one go, caches filling. */
const real = [40.8, 41.6, 44, 46, 47.6].map((held, round) => ({ inputs: (round + 1) * 75_937, bytes: held * mib }));

test('what a sound collector held passes; with fifty bytes of every input it does not', () => {
  expect(expectNoGrowth(real)).toMatch(/^in the later half 2\d\.\d bytes/);
  expect(() => expectNoGrowth(real.map(({ inputs, bytes }) => ({ inputs, bytes: bytes + 50 * inputs })))).toThrow('more than 40');
  expect(expectNoGrowth(real.slice(0, 2))).toMatch(/^too few/);
});
