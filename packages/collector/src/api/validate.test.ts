import * as z from 'zod';
import { expect, test } from 'vitest';
import { parseBody } from './validate.ts';

test('what is nested too deep to be written again is refused by its field', () => {
  const depth = 100_000;
  const name: unknown = JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);
  const parse = (): unknown => parseBody(z.strictObject({ name: z.string() }), { name });
  expect(parse).toThrow(expect.objectContaining({ code: 'usage', message: expect.stringMatching(/^name: /) as string }));
});
