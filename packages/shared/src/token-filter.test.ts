import fc from 'fast-check';
import { expect, test } from 'vitest';
import { buildTokenFilter, filterBlockBytes, filterMayHold, tokensOf } from './token-filter.ts';

/** Log-like text: words, numbers, other scripts, and bytes that are no UTF-8. */
const piece = fc.oneof(
  { weight: 6, arbitrary: fc.stringMatching(/^[0-9A-Za-z_]{1,70}$/) },
  { weight: 3, arbitrary: fc.string({ unit: 'grapheme', maxLength: 8 }) },
  { weight: 3, arbitrary: fc.constantFrom(' ', '.', '=', '/', '\t', '\n', '"', '\u001b[31m', '1234', '12345', 'été', '世界') },
);
const text = fc.array(piece, { maxLength: 200 }).map((pieces) => pieces.join(''));

test('a filter never misses a token of its text', () => {
  fc.assert(
    fc.property(text, fc.uint8Array({ maxLength: 40 }), (words, noise) => {
      // What follows is bounded by a newline: the noise may end with a byte of a token.
      const filter = buildTokenFilter(Buffer.concat([noise, Buffer.from(`\n${words}\n`), noise]));
      expect(tokensOf(words).filter((token) => !filterMayHold(filter, token))).toEqual([]);
      expect(filter.length % filterBlockBytes).toBe(0);
    }),
    { numRuns: 300 },
  );
});

test('tokens are found in any case of their ASCII letters', () => {
  const filter = buildTokenFilter(Buffer.from('Traceback ValueError 0xDEADBEEF\n'));
  expect(['traceback', 'valueerror', '0xdeadbeef'].map((token) => filterMayHold(filter, token))).toEqual([true, true, true]);
  expect(tokensOf('TRACEBACK')).toEqual(['traceback']);
});

test('what no block may be pruned by is no token', () => {
  // One byte; digits that are everywhere; too long; letters of two cases outside of ASCII; what stands for a byte that is no UTF-8.
  expect(tokensOf(`a 2026 ${'x'.repeat(65)} É naïve f\ufffdo \ud800x`)).toEqual([]);
  expect(tokensOf(`ab 20261 ${'x'.repeat(64)} 世界 a2026 v1`)).toEqual(['ab', '20261', 'x'.repeat(64), '世界', 'a2026', 'v1']);
});

test.each([10, 300, 5_000, 60_000])(
  'of %i tokens in a block few others are taken for present, and a token takes less than two bytes',
  (count) => {
    const filter = buildTokenFilter(Buffer.from(Array.from({ length: count }, (_, index) => `request_${index * 7}`).join(' ')));
    const others = Array.from({ length: 4_000 }, (_, index) => `absent_${index}`);
    expect(others.filter((token) => filterMayHold(filter, token)).length / others.length).toBeLessThan(0.02);
    expect(filter.length).toBeLessThanOrEqual(Math.max(64, count * 2));
  },
);

test('more tokens than the largest filter takes: it says yes too often, but it stays that size', () => {
  const words = Array.from({ length: 140_000 }, (_, index) => index.toString(36).padStart(6, 'x'));
  const filter = buildTokenFilter(Buffer.from(words.join(' ')));
  expect(filter.length).toBe(120 * 1024);
  expect(words.filter((token) => !filterMayHold(filter, token))).toEqual([]);
});

test('a filter of a length that makes no sense may hold everything', () => {
  expect([new Uint8Array(0), new Uint8Array(33)].map((filter) => filterMayHold(filter, 'token'))).toEqual([true, true]);
});
