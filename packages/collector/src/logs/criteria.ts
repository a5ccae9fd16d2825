/**
 * What is asked of a line, one criterion each, made once per question. The first is the one that blocks are searched for: in
 * all of a block's text at once, so that a line without it is never made into a string.
 */
import type { OpenBlock } from '@relight/shared/log-block';
import { compileGrep, isPlainText, type LineMatch } from './grep.ts';
import { detectLevel, levelRank, type LogLevel } from './level.ts';
import { needleOf, wordsOfExpression, wordsOfText } from './pruning.ts';
import type { LineSelection } from './selection.ts';
import { matchWord, wordInBytes } from './words.ts';

export interface Criterion {
  readonly matches: LineMatch;
  /** Indices of lines that may match, ascending; undefined: all. */
  readonly candidates?: (block: OpenBlock) => Iterable<number>;
  /** Tokens that every block with a match holds. */
  readonly tokens: readonly string[];
}

/** Throws `usage` when the expression is none. */
export function criteriaOf({ grep, words = [], level }: LineSelection): readonly Criterion[] {
  // The longest word is the rarest, more often than not.
  const found = words.toSorted((a, b) => b.length - a.length).map(wordCriterion);
  if (grep !== undefined) found.unshift(grepCriterion(grep));
  // A word is found by itself; most expressions only by their longest text.
  found.sort((a, b) => Number(a.candidates === undefined) - Number(b.candidates === undefined));
  if (level !== undefined) found.push(levelCriterion(level));
  return found;
}

function wordCriterion(word: string): Criterion {
  return { matches: matchWord(word), candidates: (block) => linesWithWord(block, word), tokens: wordsOfText(word) };
}

function grepCriterion(grep: string): Criterion {
  const needle = isPlainText(grep) ? grep : needleOf(grep);
  const matches = compileGrep(grep);
  const tokens = wordsOfExpression(grep);
  return needle === undefined ? { matches, tokens } : { matches, tokens, candidates: (block) => linesWithText(block, needle) };
}

function levelCriterion(least: LogLevel): Criterion {
  const rank = levelRank(least);
  return {
    tokens: [],
    matches: (line) => {
      const level = detectLevel(line);
      return level !== null && levelRank(level) >= rank;
    },
  };
}

function* linesWithText(block: OpenBlock, text: string): Generator<number> {
  const needle = Buffer.from(text);
  for (let at = block.text.indexOf(needle, block.start(block.firstLine)); at >= 0;) {
    const index = block.indexAt(at);
    yield index;
    if (index + 1 >= block.endLine) return;
    at = block.text.indexOf(needle, block.start(index + 1));
  }
}

function* linesWithWord(block: OpenBlock, word: string): Generator<number> {
  const from = block.start(block.firstLine);
  const text = block.text.toString('latin1', from);
  const expression = wordInBytes(word);
  for (let found = expression.exec(text); found !== null; found = expression.exec(text)) {
    const index = block.indexAt(from + found.index);
    yield index;
    if (index + 1 >= block.endLine) return;
    expression.lastIndex = block.start(index + 1) - from;
  }
}
