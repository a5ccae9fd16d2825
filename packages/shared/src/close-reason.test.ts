import fc from 'fast-check';
import { expect, test } from 'vitest';
import { closeReason, closeReasonBytesMax } from './close-reason.ts';

test('what fits is left as it is; of the rest, as many whole characters as fit', () => {
  expect(closeReason('goodbye')).toBe('goodbye');
  expect(closeReason('x'.repeat(200))).toBe('x'.repeat(123));
  expect(closeReason('✖'.repeat(41))).toBe('✖'.repeat(41));
  expect(closeReason('✖'.repeat(42))).toBe('✖'.repeat(41));
  expect(closeReason(`x${'✖'.repeat(41)}`)).toBe(`x${'✖'.repeat(40)}`);
  expect(closeReason('😀'.repeat(120))).toBe('😀'.repeat(30));
});

test('no text is too long for a close frame', () => {
  const text = fc.array(fc.constantFrom('x', 'ä', '→', '😀', '\ud800'), { maxLength: 130 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, (reason) => {
      const said = closeReason(reason);
      expect(Buffer.byteLength(said)).toBeLessThanOrEqual(closeReasonBytesMax);
      expect(Buffer.byteLength(said)).toBeGreaterThanOrEqual(Math.min(Buffer.byteLength(reason), closeReasonBytesMax - 3));
    }),
  );
});
