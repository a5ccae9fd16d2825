import { expect, test } from 'vitest';
import { columnsOf } from './io.ts';

test('only a terminal that knows its size has columns', () => {
  expect(columnsOf({ isTTY: true, columns: 80 })).toBe(80);
  // `docker exec -t` before the size has come, a serial console, `script` in a pipe.
  expect(columnsOf({ isTTY: true, columns: 0 })).toBeNull();
  expect(columnsOf({ isTTY: true })).toBeNull();
  // A pipe has neither.
  expect(columnsOf({})).toBeNull();
});
