import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitShellList } from './shell-list.ts';

const split = (text: string): readonly (readonly [string, string])[] | null =>
  splitShellList(text)?.map((part) => [part.text, part.operator] as const) ?? null;

describe('splitShellList', () => {
  it.each<[string, readonly (readonly [string, string])[] | null]>([
    [
      'a && b || c; d',
      [
        ['a', '&&'],
        ['b', '||'],
        ['c', ';'],
        ['d', ''],
      ],
    ],
    [
      'a | b |& c & d',
      [
        ['a', '|'],
        ['b', '|&'],
        ['c', '&'],
        ['d', ''],
      ],
    ],
    [
      'a 2>&1 >&2 &> f; b',
      [
        ['a 2>&1 >&2 &> f', ';'],
        ['b', ''],
      ],
    ],
    [
      `echo 'a; b' "c && d" e\\;f; g`,
      [
        [`echo 'a; b' "c && d" e\\;f`, ';'],
        ['g', ''],
      ],
    ],
    ['echo $(a; b) `c; d` ${x:-;}', [['echo $(a; b) `c; d` ${x:-;}', '']]],
    [
      'echo "$(echo ")"; x)"; y',
      [
        ['echo "$(echo ")"; x)"', ';'],
        ['y', ''],
      ],
    ],
    [
      '(a; b) && { c; d; }',
      [
        ['(a; b)', '&&'],
        ['{ c; d; }', ''],
      ],
    ],
    [
      'for x in 1 2; do a; b; done; c',
      [
        ['for x in 1 2; do a; b; done', ';'],
        ['c', ''],
      ],
    ],
    [
      'if a; then b; else c; fi && d',
      [
        ['if a; then b; else c; fi', '&&'],
        ['d', ''],
      ],
    ],
    ['while a; do if b; then c; fi; done', [['while a; do if b; then c; fi; done', '']]],
    [
      'echo for done; b',
      [
        ['echo for done', ';'],
        ['b', ''],
      ],
    ],
    [
      'a # b; c\nd',
      [
        ['a # b; c', ';'],
        ['d', ''],
      ],
    ],
    [
      'a#b; c',
      [
        ['a#b', ';'],
        ['c', ''],
      ],
    ],
    ['cat <<EOF\na; b\nEOF', null],
    [
      'cat <<< "a; b"; c',
      [
        ['cat <<< "a; b"', ';'],
        ['c', ''],
      ],
    ],
    ["echo 'open", null],
    ['echo "open', null],
    ['echo $(open', null],
    ['', []],
    [' ; ', []],
  ])('%s', (text, expected) => {
    expect(split(text)).toEqual(expected);
  });

  const word = fc.constantFrom(
    'true',
    'false',
    ':',
    "echo 'a; b'",
    'echo "x && y"',
    '(false; true)',
    'for i in 1; do false; done',
    'echo $(echo "a|b")',
  );
  const operator = fc.constantFrom(' && ', ' || ', '; ', '\n', '&&', '||', ' | ');

  it('cuts nothing away, and cuts only where a shell does', () => {
    const list = fc.tuple(word, fc.array(fc.tuple(operator, word), { maxLength: 6 }));
    fc.assert(
      fc.property(list, ([first, rest]) => {
        const text = first + rest.map(([between, next]) => between + next).join('');
        const parts = splitShellList(text) ?? [];
        expect(parts.map((part) => part.text)).toEqual([first, ...rest.map(([, next]) => next)]);
        for (const part of parts) expect(text.slice(part.start, part.end)).toBe(part.text);
        expect(parts.slice(0, -1).map((part) => part.operator)).toEqual(rest.map(([between]) => (between === '\n' ? ';' : between.trim())));
      }),
    );
  });

  it('a list without its "|| true" ends as bash says, but for that', () => {
    const list = fc.tuple(word, fc.array(fc.tuple(operator, word), { maxLength: 3 }));
    fc.assert(
      fc.property(list, ([first, rest]) => {
        const text = first + rest.map(([between, next]) => between + next).join('');
        const whole = splitShellList(`${text} || true`) ?? [];
        const kept = `${text} || true`.slice(0, whole.at(-2)?.end);
        expect(kept).toBe(text);
        const status = (command: string): number | null => spawnSync('bash', ['-c', command], { stdio: 'ignore' }).status;
        expect(status(`${text} || true`)).toBe(0);
        expect(status(kept)).toBe(status(text));
      }),
      { numRuns: 20 },
    );
  });
});
