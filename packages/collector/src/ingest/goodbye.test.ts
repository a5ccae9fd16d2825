import { expect, it } from 'vitest';
import { goodbyeIn } from './goodbye.ts';

it.each([
  ['{"type":"goodbye","reason":"stopped"}', 'stopped'],
  ['{"type":"goodbye","reason":"rebooting","later":1}', 'rebooting'],
  ['{"type":"goodbye","reason":"of a later version"}', 'stopped'],
  ['{"type":"never heard of"}', null],
  ['{"type":"goodbye', null],
  [`{"type":"goodbye","reason":"stopped","more":"${'x'.repeat(200)}"}`, null],
])('%s', (text, reason) => {
  expect(goodbyeIn(Buffer.from(text))).toBe(reason);
});
