import fc from 'fast-check';
import { expect, test } from 'vitest';
import { safeJson, sanitize } from './sanitize.ts';

// oxlint-disable-next-line eslint/no-control-regex -- control characters are what this is about.
const harmful = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

/** Pieces of which attacks are made, and what people write. */
const piece = fc.oneof(
  fc.constantFrom(
    '\u001b[31m',
    '\u001b[2J',
    '\u001b]0;title\u0007',
    '\u001b]52;c;cm0gLXJm\u001b\\',
    '\u001bP+q544e\u001b\\',
    '\u001b[6n',
    '\u009b2J',
    '\u009d0;x\u009c',
    '\u001b[',
    '\u001b',
    '\u200e',
    '\u200f',
    '\u061c',
    '\u2028',
    '\u2029',
    '\u202a',
    '\u202e',
    '\u2066',
    '\u2069',
    '\r',
    '\n',
    '\u0000',
    '\u007f',
    '\t',
    'm',
    '0;',
    '日本',
    'é',
    '👩\u200d💻',
  ),
  fc.string(),
  fc.string({ unit: 'binary' }),
);
const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));

test('whatever the text: nothing is left that a terminal obeys', () => {
  fc.assert(
    fc.property(text, (any) => {
      const shown = sanitize(any);
      expect(shown).not.toMatch(harmful);
      expect(sanitize(shown), 'once is enough').toBe(shown);
    }),
    { numRuns: 2_000 },
  );
});

test('text without control characters stays as it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (any) => {
      fc.pre(!harmful.test(any));
      expect(sanitize(any)).toBe(any);
    }),
  );
  expect(sanitize('a\tb 日本 👩\u200d💻')).toBe('a\tb 日本 👩\u200d💻');
});

test('JSON is the same document, without anything that a terminal obeys', () => {
  fc.assert(
    fc.property(text, (any) => {
      const json = safeJson({ line: any });
      expect(json).not.toMatch(harmful);
      expect(JSON.parse(json)).toEqual({ line: any });
    }),
    { numRuns: 2_000 },
  );
});
