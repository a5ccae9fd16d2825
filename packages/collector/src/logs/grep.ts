/**
 * What operators search for. RE2 syntax through re2js: matching is linear in the length of the line whatever the expression, so
 * nobody can stop the collector with `(a+)+$`. Look-around and back-references do not exist there and are refused by name.
 */
import { RelightError, errorMessage } from '@relight/shared/errors';
import { RE2JS } from 're2js';

export type LineMatch = (line: string) => boolean;

export const grepLengthMax = 1_000;
/** Matching costs at most line length × program size steps: this keeps the longest line (64 KiB) below a second. */
const programSizeMax = 1_000;

/** True when the expression is nothing but the text that it looks for. */
export const isPlainText = (text: string): boolean => /^[\w\s:=/,@%"'<>-]*$/.test(text);

/** Throws `usage` with what is wrong in the expression. */
export function compileGrep(text: string): LineMatch {
  if (text.length > grepLengthMax) throw new RelightError('usage', `grep: the expression has more than ${grepLengthMax} characters`);
  if (isPlainText(text)) return (line) => line.includes(text);
  let expression: RE2JS;
  try {
    expression = RE2JS.compile(text);
  } catch (cause) {
    throw new RelightError('usage', `grep: ${errorMessage(cause)} (RE2 syntax)`, { cause });
  }
  if (expression.programSize() > programSizeMax) throw new RelightError('usage', 'grep: the expression is too large; repeat less');
  return (line) => expression.test(line);
}
