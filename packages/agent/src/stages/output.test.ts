/** What of a command's output goes into messages. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lastLine, lastLines } from './output.ts';

test('the last lines that say something, on one line', () => {
  expect(lastLines('a\n\n b \nc\n', 2)).toBe('b | c');
  expect(lastLine('a\n')).toBe('a');
  expect(lastLines('', 3)).toBe('');
});

test('of a long line its end, never from the middle of a word: it could be half a secret', () => {
  const word = fc.stringMatching(/^[a-z0-9]{1,80}$/);
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 60 }), (words) => {
      const cut = lastLine(words.join(' '));
      expect(cut.length).toBeLessThanOrEqual(600);
      const kept = cut.split(' ');
      expect(kept).toEqual(words.slice(-kept.length));
      // No more is left out than the word in which the end begins.
      expect(cut.length).toBeGreaterThanOrEqual(Math.min(words.join(' ').length, 600 - 80));
    }),
  );
  expect(lastLine(`token=${'x'.repeat(601)}`)).toBe('…');
});
