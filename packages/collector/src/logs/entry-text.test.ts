import { expect, test } from 'vitest';
import { apiLine } from '../cli/samples.test-data.ts';
import { entryText } from './entry-text.ts';

test('text for people says what a line lacks: its end, or the other parts of its record', () => {
  expect(entryText(apiLine(0, { line: 'long', truncated: true }))).toMatch(/ \| long \[cut\]\n$/);
  expect(entryText(apiLine(0, { line: 'a\n  b', lines: 2, part: 'first' }))).toMatch(/ \| a\n    b \[first part of a long entry\]\n$/);
  expect(entryText(apiLine(0, { line: 'c' }))).toMatch(/ \| c\n$/);
});
