import { expect, test } from 'vitest';
import { windowsOf } from './windows.ts';

test('of a block in which every other of many short lines is wanted each is found, in no more time than they are many', () => {
  const lines = Array.from({ length: 100_000 }, (_, index) => (index % 2 === 0 ? 'a' : 'b'));
  const criteria = [{ matches: (line: string) => line === 'a' }];
  const before = process.cpuUsage();
  const windows = windowsOf(lines, { from: 0, to: lines.length }, () => true, { criteria, multiline: true, before: 0, after: 0 });
  expect(process.cpuUsage(before).user).toBeLessThan(2_000_000);
  expect(windows).toHaveLength(50_000);
  expect(windows.at(-1)).toEqual({ from: 99_998, to: 99_999, wanted: [{ from: 99_998, to: 99_999 }] });
});
