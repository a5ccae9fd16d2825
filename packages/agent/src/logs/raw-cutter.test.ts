import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lineBytesMax } from '@relight/shared/log-block';
import type { Cut, TimeOf } from './cut-line.ts';
import { RawCutter } from './raw-cutter.ts';

interface Line {
  readonly offset: number;
  readonly at: number;
  readonly text: string;
  readonly truncated: boolean;
  readonly collapsed: number;
}

/** What a cut holds, line by line. */
const linesOf = (cut: Cut): Line[] => {
  const { at, offset } = cut;
  const text = Buffer.from(cut.bytes).toString('latin1');
  if (cut.lines === undefined) return [{ offset, at, text, truncated: cut.truncated, collapsed: cut.collapsed ?? 0 }];
  const texts = text.split('\n');
  expect([texts.pop(), texts.length]).toEqual(['', cut.lines]);
  let start = offset;
  return texts.map((line) => {
    const whole = { offset: start, at, text: line, truncated: false, collapsed: 0 };
    start += line.length + 1;
    return whole;
  });
};

/** The same by hand: of every line the last thing drawn, cut at its limit, with the time of its end. */
function reference(text: string, timeOf: (offset: number) => number): Line[] {
  let offset = 0;
  return text.split('\n').flatMap((line, index, all) => {
    const start = offset;
    offset += line.length + 1;
    if (index === all.length - 1 && line === '') return [];
    const states = line.split('\r').filter((state) => state !== '');
    const shown = states.at(-1) ?? '';
    const end = index === all.length - 1 ? offset - 1 : offset;
    const truncated = shown.length > lineBytesMax;
    return [{ offset: start, at: timeOf(end), text: shown.slice(0, lineBytesMax), truncated, collapsed: Math.max(0, states.length - 1) }];
  });
}

const piece = fc.oneof(
  { weight: 8, arbitrary: fc.stringMatching(/^[ -~]{0,12}$/) },
  { weight: 5, arbitrary: fc.constant('\n') },
  { weight: 2, arbitrary: fc.constantFrom('\r', '\r\n', '\r 50%\r 60%', '\u0000', '\u00ff') },
  { weight: 1, arbitrary: fc.integer({ min: lineBytesMax - 2, max: lineBytesMax + 2 }).map((length) => 'x'.repeat(length)) },
);

test('every line as it stands, of what is overwritten the last state, whatever is read in one go', () => {
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join('')),
      fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { maxLength: 8 }),
      (text, chunks, marks) => {
        const bytes = Buffer.from(text, 'latin1');
        const ends = marks.map((_, index) => marks.slice(0, index + 1).reduce((sum, length) => sum + length, 0));
        const timeOf: TimeOf = (offset) => {
          const mark = ends.findIndex((upTo) => offset <= upTo);
          return { at: mark < 0 ? 1_000 : mark, approx: false, upTo: ends[mark] ?? Infinity };
        };
        const cutter = new RawCutter(0);
        const lines: Line[] = [];
        for (let from = 0, chunk = 0; from < bytes.length; chunk += 1) {
          const length = chunks[chunk % chunks.length] as number;
          lines.push(...cutter.push(bytes.subarray(from, from + length), timeOf).flatMap(linesOf));
          from += length;
        }
        lines.push(...cutter.finish(timeOf).flatMap(linesOf));
        expect(lines).toEqual(reference(text, (offset) => timeOf(offset).at));
        expect(cutter.position).toBe(bytes.length);
      },
    ),
    { numRuns: 200 },
  );
});
