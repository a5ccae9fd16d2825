import { RelightError } from '@relight/shared/errors';
import { expect, test } from 'vitest';
import { onDisk } from './disk-trouble.ts';

test.each([
  ['ENOSPC', 'disk-full', false],
  ['EDQUOT', 'disk-full', false],
  ['EROFS', 'read-only-filesystem', false],
  ['EIO', 'read-only-filesystem', false],
  ['EACCES', 'internal', true],
])('%s is %s', (errno, code, recoverable) => {
  const refuse = (): never => {
    throw Object.assign(new Error(`${errno}: words, mkdir '/state/runs'`), { code: errno });
  };
  expect(() => onDisk(refuse)).toThrow(RelightError);
  expect(() => onDisk(refuse)).toThrow(expect.objectContaining({ code, recoverable, message: `${errno}: words, mkdir '/state/runs'` }));
});

test('what the disk takes is returned', () => {
  expect(onDisk(() => 7)).toBe(7);
});
