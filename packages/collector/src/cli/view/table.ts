/** Columns for people. Pure. */
import { stripVTControlCharacters } from 'node:util';

export interface Cell {
  /** What is shown, without colour. */
  readonly text: string;
  readonly paint?: (text: string) => string;
  /** In the last column: what does not fit there stands below its row, all of it, instead of being cut. */
  readonly whole?: boolean;
}

export interface TableOptions {
  readonly headers: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  readonly paintHeader: (text: string) => string;
  /** Lines are cut to this width, or broken at it, in the last column; null: never. */
  readonly columns: number | null;
}

const separator = '  ';
const belowIndent = '    ';

/** Lines without trailing blanks, the header first. */
export const table = (options: TableOptions): string[] => tableRows(options).flat();

/** The lines of each row, the header first. */
export function tableRows({ headers, rows, paintHeader, columns }: TableOptions): string[][] {
  const widths = headers.map((header, i) => Math.max(displayWidth(header), ...rows.map((row) => displayWidth(row[i]?.text ?? ''))));
  const last = headers.length - 1;
  const used = widths.slice(0, last).reduce((sum, width) => sum + width + separator.length, 0);
  const room = columns === null ? null : Math.max(12, columns - used);
  const line = (cells: readonly Cell[]): string =>
    cells
      .map(({ text, paint = String }, i) => {
        const shown = i === last && room !== null ? cut(text, room) : text;
        const padding = i === last ? '' : ' '.repeat(Math.max(0, (widths[i] ?? 0) - displayWidth(shown)));
        return paint(shown) + padding;
      })
      .join(separator)
      .trimEnd();
  const linesOf = (cells: readonly Cell[]): string[] => {
    const { text = '', paint = String, whole = false } = cells[last] ?? {};
    if (!whole || columns === null || room === null || displayWidth(text) <= room) return [line(cells)];
    const below = wrap(belowIndent + text, columns).map(paint);
    return [line(cells.slice(0, last)), ...below];
  };
  return [[line(headers.map((text) => ({ text, paint: paintHeader })))], ...rows.map(linesOf)];
}

/** Broken at blanks into lines of at most `width`, all with the indent of the first; a word that is longer has a line of its own. */
export function wrap(text: string, width: number): string[] {
  const indent = /^ */.exec(text)?.[0] ?? '';
  const lines: string[] = [];
  for (const word of text.trim().split(' ')) {
    const before = lines.at(-1);
    if (before === undefined || displayWidth(before) + 1 + displayWidth(word) > width) lines.push(indent + word);
    else lines[lines.length - 1] = `${before} ${word}`;
  }
  return lines;
}

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

/** At most `width` columns; what is missing is shown by an ellipsis. */
export function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let shown = '';
  for (const character of text) {
    if (displayWidth(shown + character) > width - 1) break;
    shown += character;
  }
  return `${shown}…`;
}
