/** Whole words in a line: case of ASCII letters does not matter, and neither side may go on with a letter, digit or underscore. */
import type { LineMatch } from './grep.ts';

const wordLengthMax = 200;
const tokenClass = String.raw`[0-9A-Za-z_\u0080-\uffff]`;

export const isWord = (text: string): boolean => text.length > 0 && text.length <= wordLengthMax && !/[\r\n]/.test(text) && /\S/.test(text);

/** The words in a line, all of them, wherever they stand. */
export function matchWords(words: readonly string[]): LineMatch {
  const expressions = words.map((word) => new RegExp(wordPattern(word)));
  return (line) => expressions.every((expression) => expression.test(line));
}

function wordPattern(word: string): string {
  const letters = [...word].map((character) =>
    /[A-Za-z]/.test(character)
      ? `[${character.toLowerCase()}${character.toUpperCase()}]`
      : character.replace(/[$()*+./?[\\\]^{|}-]/, String.raw`\$&`),
  );
  const token = new RegExp(`^${tokenClass}`);
  const begin = token.test(word) ? `(?<!${tokenClass})` : '';
  const end = token.test(word.at(-1) ?? '') ? `(?!${tokenClass})` : '';
  return `${begin}${letters.join('')}${end}`;
}
