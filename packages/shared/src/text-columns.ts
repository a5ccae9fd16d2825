/** Text in the columns of a terminal. Pure. */
import { stripVTControlCharacters } from 'node:util';

/** Columns that the text takes on a terminal: wide East Asian characters and emoji take two, combining marks none. */
export function displayWidth(text: string): number {
  const plain = stripVTControlCharacters(text);
  // oxlint-disable-next-line eslint/no-control-regex -- ASCII is what is being asked.
  if (/^[\u0000-\u007f]*$/.test(plain)) return plain.length;
  let width = 0;
  for (const character of plain) {
    if (/\p{Mark}|\u200d|\ufe0f/u.test(character)) continue;
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(
      character,
    )
      ? 2
      : 1;
  }
  return width;
}

/**
 * Broken at blanks into lines of at most `width`, those after the first with `indent`: as a rule, that of the first. A word that is longer
 * has a line of its own: an address or a path that is broken cannot be copied.
 */
export function wrap(text: string, width: number, indent = /^ */.exec(text)?.[0] ?? ''): string[] {
  const lines: string[] = [];
  for (const [, blanks = '', word = ''] of text.matchAll(/( *)([^ ]+)/g)) {
    const before = lines.at(-1);
    if (before === undefined) lines.push(blanks + word);
    else if (displayWidth(before) + blanks.length + displayWidth(word) > width) lines.push(indent + word);
    else lines[lines.length - 1] = before + blanks + word;
  }
  return lines;
}

/** What a line begins with that is no sentence: its indent, and a bullet, an arrow, a number, or a label with two blanks behind it. */
const lead = /^ *(?:[-→>] |\d+\. |\S+ {2,})?/;

/** Lines of prose as a terminal has room for them: longer ones go on below where their sentence began. `columns` null: no terminal. */
export function fold(text: string, columns: number | null): string {
  if (columns === null) return text;
  return text
    .split('\n')
    .flatMap((line) => {
      if (displayWidth(line) <= columns) return [line];
      const hanging = displayWidth(lead.exec(line)?.[0] ?? '');
      // Where that leaves too little room, it stands at the left.
      return wrap(line, columns, ' '.repeat(hanging <= columns / 2 ? hanging : 0));
    })
    .join('\n');
}

/** What a terminal has that does not say (a serial line). */
const usualColumns = 80;

/** Null: it is none. */
export function columnsOf({ isTTY, columns }: { readonly isTTY?: boolean; readonly columns?: number }): number | null {
  if (isTTY !== true) return null;
  return columns !== undefined && columns > 0 ? columns : usualColumns;
}
