import { expect, test } from 'vitest';
import { linePrefixer } from './line-prefixer.ts';

test('each line has its lane in front, however it comes in pieces, and bytes that are no text stay as they are', () => {
  const written: Buffer[] = [];
  const lines = linePrefixer('lane | ', (bytes) => written.push(bytes));
  for (const piece of ['one\ntw', 'o', '\n\n', 'thr']) lines.push(Buffer.from(piece));
  lines.push(Buffer.of(0xff, 0xfe));
  expect(Buffer.concat(written).toString()).toBe('lane | one\nlane | two\nlane | \n');
  lines.end();
  lines.end();
  expect(Buffer.concat(written).subarray(-13)).toEqual(Buffer.from('lane | thr\xff\xfe\n', 'latin1'));
});
