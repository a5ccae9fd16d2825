/** Columns for people. Pure. */
import { displayWidth, wrap } from '@relight/shared/text-columns';

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
