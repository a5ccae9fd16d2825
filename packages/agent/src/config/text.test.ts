import { RelightError } from '@relight/shared/errors';
import { quoteShellWords } from '@relight/shared/shell-quote';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { interpolate, templateNames } from './interpolate.ts';
import { splitShellWords } from './shell-words.ts';

describe('interpolation', () => {
  it('knows ${NAME} and $$, and leaves every other $ alone', () => {
    expect(interpolate('${A}:${B_1} $$ $${A} $A $', { A: 'x', B_1: '$$' })).toBe('x:$$ $ ${A} $A $');
  });

  it.each(['${C}', '${toString}', '${', '${A-b}'])('refuses %s', (template) => {
    expect(() => interpolate(template, { A: 'secret' })).toThrow(RelightError);
  });

  it('never shows a value in its error', () => {
    expect(() => interpolate('${A}${C}', { A: 'secret' })).toThrow(/^"\$\{A\}\$\{C\}" names no variable that has a value: \$\{C\}$/);
  });

  it('lists the names that it will ask for', () => {
    expect(templateNames('${A} $${B} ${C}')).toEqual({ names: ['A', 'C'], fault: null });
    expect(templateNames('${A').fault).toBe('has "${" without "}"');
  });
});

describe('shell words', () => {
  it.each<[string, readonly string[] | undefined]>([
    ['', []],
    ['  a  b ', ['a', 'b']],
    [`a 'b c' "d e" f\\ g ''`, ['a', 'b c', 'd e', 'f g', '']],
    [`"a\\"b\\$c\\d" 'e\\f'`, ['a"b$c\\d', 'e\\f']],
    [`x"y"'z'`, ['xyz']],
    [`'a`, undefined],
    ['"a', undefined],
  ])('%j', (text, words) => {
    expect(splitShellWords(text)).toEqual(words);
  });

  it('reads back what it quotes', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (words) => {
        expect(splitShellWords(quoteShellWords(words))).toEqual(words);
      }),
    );
  });
});
