import { RE2JS } from 're2js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildTokenFilter, filterMayHold } from '@relight/shared/token-filter';
import { needleOf, wordsOfExpression, wordsOfText } from './pruning.ts';
import { matchWord } from './words.ts';

describe('words that an expression requires', () => {
  test.each([
    ['a word between separators', 'raylet: worker died', ['worker']],
    ['nothing at open ends', 'error', []],
    ['anchors are ends', '^worker died$', ['worker', 'died']],
    ['behind something optional nothing is certain', 'x* worker-pool y', ['worker', 'pool']],
    ['repeated at least once', '(?: oom-killer )+', ['oom', 'killer']],
    ['repeated perhaps never', '(?: oom-killer )*', []],
    ['alternatives', ' alpha | beta ', []],
    ['alternatives in a group', ' alpha (?:one|two) beta ', ['alpha', 'beta']],
    ['any case', '(?i) ERROR: ', ['error']],
    ['any case, but ſ is an s', '(?i) task: ', []],
    ['case given back', '(?i) error (?-i:task) ', ['error', 'task']],
    ['escapes', String.raw`\[worker\] pid=\d+ \x41bc\x20`, ['worker', 'pid', 'abc']],
    ['quoted', String.raw`\Q[worker] a+b\E`, ['worker']],
    ['classes', '[[:alpha:]] worker []x] ', ['worker']],
    ['a word boundary lets letters outside of ASCII stand beside', String.raw`\bworker\b`, []],
    ['a named group', '(?P<name> worker )', ['worker']],
    ['a quantifier behind flags is that of what stands before them', 'a(?i){0,2} worker ', []],
    ['what is unknown', String.raw`\012 worker `, []],
  ])('%s: %s', (_name, expression, words) => {
    RE2JS.compile(expression);
    expect(wordsOfExpression(expression)).toEqual(words);
  });

  test.each([
    ['step=[0-9]+ loss is', ' loss is'],
    ['(?i)abc 123.4', ' 123'],
    ['(?i)abc 123!4', ' 123!4'],
    ['ab', undefined],
    ['a|bcd', undefined],
    ['NCCL (WARN|ERROR)', 'NCCL '],
  ])('a text that every match holds: %s', (expression, needle) => expect(needleOf(expression)).toBe(needle));
});

/** Of few letters, so that much matches, and of those that have betrayed others. */
const letter = fc.constantFrom('a', 'b', 'k', 'K', 's', 'S', 'ſ', '\u212a', 'é', 'É', '1', '2', '_', ' ', ' ', '-', '.', '[', '日');
const text = (max: number): fc.Arbitrary<string> => fc.array(letter, { maxLength: max }).map((letters) => letters.join(''));

/** An expression and a text that it was made to match: most often it does. */
interface Pair {
  readonly source: string;
  readonly sample: string;
}
const pair = (source: string, sample: string): Pair => ({ source, sample });
const otherCase = (text: string): string => (text === text.toUpperCase() ? text.toLowerCase() : text.toUpperCase());
const { expression } = fc.letrec<{ expression: Pair; piece: Pair; atom: Pair }>((tie) => ({
  atom: fc.oneof(
    { weight: 8, arbitrary: text(5).map((literal) => pair(RE2JS.quote(literal), literal)) },
    fc.constantFrom(
      pair('.', 'x'),
      pair('^', ''),
      pair('$', ''),
      pair(String.raw`\b`, ''),
      pair(String.raw`\B`, ''),
      pair(String.raw`\d`, '2'),
      pair(String.raw`\W`, '-'),
      pair('[ab]', 'b'),
      pair('[^]a]', 'k'),
      pair('[[:alpha:]s]', 's'),
      pair(String.raw`\x61`, 'a'),
      pair(String.raw`\pL`, 'é'),
      pair(String.raw`\A`, ''),
      pair(String.raw`\z`, ''),
    ),
    text(4).map((quoted) => pair(`\\Q${quoted}\\E`, quoted)),
  ),
  piece: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 5, arbitrary: tie('atom') },
    fc
      .tuple(fc.constantFrom('(', '(?:', '(?i:', '(?-i:', '(?i)', '(?P<n>'), tie('expression'))
      .map(([open, { source, sample }]) =>
        pair(`${open}${source}${open.endsWith(')') ? '' : ')'}`, open.startsWith('(?i') ? otherCase(sample) : sample),
      ),
    fc
      .tuple(tie('atom'), fc.constantFrom('*', '+', '?', '{0,2}', '{1}', '{2,}', '*?', '+?'), fc.boolean())
      .map(([{ source, sample }, quantifier, none]) =>
        pair(source + quantifier, /^(?:[*?]|\{0)/.test(quantifier) && none ? '' : quantifier === '{2,}' ? sample + sample : sample),
      ),
  ),
  expression: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    {
      weight: 5,
      arbitrary: fc
        .array(tie('piece'), { minLength: 1, maxLength: 4 })
        .map((pieces) => pair(pieces.map(({ source }) => source).join(''), pieces.map(({ sample }) => sample).join(''))),
    },
    fc.tuple(tie('expression'), tie('expression')).map(([one, other]) => pair(`${one.source}|${other.source}`, other.sample)),
  ),
}));

test('pruning never loses a match, whatever the expression and the line', () => {
  let matched = 0;
  let pruned = 0;
  fc.assert(
    fc.property(expression, text(3), text(3), ({ source, sample }, before, after) => {
      let compiled: RE2JS;
      try {
        compiled = RE2JS.compile(source);
      } catch {
        return; // two groups of one name, a quantifier of an anchor …
      }
      const words = wordsOfExpression(source);
      const needle = needleOf(source);
      for (const line of [before + sample + after, sample, before, otherCase(sample)]) {
        if (!compiled.test(line)) continue;
        matched += 1;
        if (words.length > 0) pruned += 1;
        const filter = buildTokenFilter(Buffer.from(`${line}\n`));
        for (const word of words) expect(filterMayHold(filter, word), `${source} on ${line}: ${word}`).toBe(true);
        expect(line).toContain(needle ?? '');
      }
    }),
    { numRuns: 5_000 },
  );
  // Otherwise the property says nothing.
  expect(matched).toBeGreaterThan(2_000);
  expect(pruned).toBeGreaterThan(200);
});

describe('whole words', () => {
  test('in any case of ASCII, never inside of others', () => {
    const oom = matchWord('OOM');
    expect(['oom', 'an OoM.', '(oom)', 'x/oom-killer'].map(oom)).toEqual([true, true, true, true]);
    expect(['room', 'oom1', '_oom', 'éoom', 'oom日'].map(oom)).toEqual([false, false, false, false, false]);
    expect(matchWord('req-12')('died: req-12')).toBe(true);
    expect(matchWord('req-12')('died: req-123')).toBe(false);
    expect(matchWord('[x]')('a[x]b')).toBe(true);
    expect(matchWord('s')('ſ')).toBe(false);
  });

  test('a line with a word has its tokens in the filter', () => {
    let found = 0;
    fc.assert(
      fc.property(text(6), text(4), text(3), (before, word, after) => {
        const line = `${before} ${word} ${after}`;
        if (word === '' || !matchWord(word)(line)) return;
        found += 1;
        const filter = buildTokenFilter(Buffer.from(line));
        for (const token of wordsOfText(word)) expect(filterMayHold(filter, token), `${word} in ${line}`).toBe(true);
      }),
      { numRuns: 3_000 },
    );
    expect(found).toBeGreaterThan(1_000);
  });
});
