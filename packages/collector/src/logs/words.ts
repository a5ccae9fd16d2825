/** Whole words in a line: case of ASCII letters does not matter, and neither side may go on with a letter, digit or underscore. */
import type { LineMatch } from './grep.ts';

export const wordLengthMax = 200;

/** What a word may be: anything that stands in one line and is more than blanks. */
export const isWord = (text: string): boolean => text.length <= wordLengthMax && !/[\r\n]/.test(text) && /\S/.test(text);

export function matchWord(word: string): LineMatch {
  const expression = new RegExp(pattern(word, String.raw`[0-9A-Za-z_\u0080-\uffff]`));
  return (line) => expression.test(line);
}

/** Finds the word in the bytes of many lines, read as Latin-1: one pass for a whole block. Made anew for each search: it has a place. */
export function wordInBytes(word: string): RegExp {
  return new RegExp(pattern(Buffer.from(word).toString('latin1'), String.raw`[0-9A-Za-z_\u0080-\u00ff]`), 'g');
}

function pattern(word: string, token: string): string {
  const letters = Array.from(word, (character) =>
    /[A-Za-z]/.test(character)
      ? `[${character.toLowerCase()}${character.toUpperCase()}]`
      : character.replace(/[$()*+./?[\\\]^{|}-]/, String.raw`\$&`),
  );
  const isToken = new RegExp(`^${token}`);
  const begin = isToken.test(word) ? `(?<!${token})` : '';
  const end = isToken.test(word.at(-1) ?? '') ? `(?!${token})` : '';
  return `${begin}${letters.join('')}${end}`;
}
