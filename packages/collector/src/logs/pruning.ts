/**
 * What of a question can be asked before anything is decompressed: words that a block must hold, for its token filter, and a text
 * that a line must hold. Both may say too little; neither may ever say too much, or a matching line would be lost.
 */
import { tokensOf } from '@relight/shared/token-filter';
import { requiredLiterals, type Literal } from './literals.ts';

/** As in the token filter: ASCII letters, digits, underscore, and whatever is not ASCII. */
const isTokenCharacter = (text: string): boolean => /^[0-9A-Za-z_\u0080-\u{10ffff}]$/u.test(text);

/**
 * ſ and K (Kelvin) are an s and a k in other cases; what folds outside ASCII is a science of its own; and U+FFFD may stand for any
 * byte that is not UTF-8.
 */
function isUncertain({ text, fold }: Literal['characters'][number]): boolean {
  return text === '\ufffd' || (fold && /^[ks\u0080-\u{10ffff}]$/iu.test(text));
}

/** The words that every line matching the expression has as a whole, fit for `LogFilter.words`. */
export function wordsOfExpression(expression: string): readonly string[] {
  return [...new Set(requiredLiterals(expression).flatMap(boundedRuns).flatMap(tokensOf))];
}

/** The words that every line holding this text as a whole word has. */
export const wordsOfText = (text: string): readonly string[] => [...new Set(tokensOf(text))];

/** Runs of token characters that end where the literal knows that they end. */
function boundedRuns({ characters, atStart, atEnd }: Literal): string[] {
  const runs: string[] = [];
  let run = '';
  let certain = atStart;
  for (const character of characters) {
    if (isTokenCharacter(character.text)) {
      if (isUncertain(character)) certain = false;
      run += character.text;
      continue;
    }
    if (certain && run !== '') runs.push(run);
    run = '';
    certain = true;
  }
  if (certain && atEnd && run !== '') runs.push(run);
  return runs;
}

/** Shorter ones stand in every second line: looking for them costs more than it saves. */
const needleLengthMin = 3;

/** A text that every matching line holds, letter for letter: the longest that is certain. */
export function needleOf(expression: string): string | undefined {
  let best = '';
  for (const { characters } of requiredLiterals(expression)) {
    let run = '';
    for (const character of characters) {
      run = isUncertain(character) || (character.fold && /[A-Za-z]/.test(character.text)) ? '' : run + character.text;
      if (run.length > best.length) best = run;
    }
  }
  return best.length >= needleLengthMin ? best : undefined;
}
