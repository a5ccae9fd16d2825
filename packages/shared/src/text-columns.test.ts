import { expect, test } from 'vitest';
import { columnsOf, displayWidth, fold, wrap } from './text-columns.ts';

test('lines are broken at blanks, those after the first below where the sentence began; a long word has a line of its own', () => {
  const step = '  - correct what check calls an error, and look again';
  expect(fold(step, 30)).toBe('  - correct what check calls\n    an error, and look again');
  expect(fold('engine        there is no Docker Engine at all', 36)).toBe('engine        there is no Docker\n              Engine at all');
  expect(fold('            → Install one with apt', 28)).toBe('            → Install one\n              with apt');
  expect(fold('            → Install one with apt', 26)).toBe('            → Install one\nwith apt');
  expect(fold('short\n\n1. a question that is\n   an answer', 12)).toBe('short\n\n1. a\n   question\n   that is\n   an answer');
  expect(fold('see https://collector.example:7460/a/long/path now', 20)).toBe('see\nhttps://collector.example:7460/a/long/path\nnow');
  expect(fold('a label with two  blanks', 80)).toBe('a label with two  blanks');
  const line = 'word '.repeat(100).trim();
  expect(fold(line, null)).toBe(line);
  for (const part of fold(line, 80).split('\n')) expect(displayWidth(part)).toBeLessThanOrEqual(80);
  expect(wrap('日本 日本 日本', 9)).toEqual(['日本 日本', '日本']);
});

test('a terminal that does not say how wide it is has 80 columns; what is none has no end', () => {
  expect(columnsOf({ isTTY: true, columns: 132 })).toBe(132);
  expect(columnsOf({ isTTY: true, columns: 0 })).toBe(80);
  expect(columnsOf({ columns: 132 })).toBeNull();
});
