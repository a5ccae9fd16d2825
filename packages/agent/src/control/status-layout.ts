/**
 * Rows for people. Where there is no terminal (`columns` null) each row is one line, as long as it is: a fact each, for grep. On one, what
 * has no room in its line stands below it, whole. Pure.
 */
import { wrap } from '@relight/shared/text-columns';

type Columns = number | null;

/** One line, or as many as it needs; those after the first with `indent`. */
export function lineOf(text: string, columns: Columns, indent: string): string[] {
  const line = printable(text);
  return columns === null || line === '' ? [line] : wrap(line, columns, indent);
}

/** Name and text; a row without a name goes on with the one before. */
export function facts(rows: readonly (readonly string[])[], columns: Columns): string[] {
  const indent = ' '.repeat((widthsOf(rows)[0] ?? 0) + separator.length);
  return aligned(rows).flatMap((line) => lineOf(line, columns, indent));
}

/** The last columns go below each row, by their names, as many as it takes for the rest to fit; not what is in `nothing`. */
export function tableOf(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  nothing: ReadonlySet<string>,
  columns: Columns,
): string[] {
  const [header = '', ...lines] = aligned([headers, ...rows]);
  if (columns === null || [header, ...lines].every((line) => line.length <= columns)) return [header, ...lines].map(printable);
  const widths = widthsOf([headers, ...rows]);
  let beside = headers.length - 1;
  while (beside > 1 && widthOf(widths.slice(0, beside)) > columns) beside -= 1;
  const names = headers.slice(beside).map((name) => name.toLowerCase());
  const nameWidth = Math.max(...names.map((name) => name.length));
  const below = (row: readonly string[]): string[] =>
    names.flatMap((name, i) => {
      const text = row[beside + i] ?? '';
      if (nothing.has(text)) return [];
      const lead = `    ${name.padEnd(nameWidth)}${separator}`;
      return lineOf(lead + text, columns, ' '.repeat(lead.length));
    });
  const [shownHeader = '', ...shown] = aligned([headers, ...rows].map((row) => row.slice(0, beside))).map(printable);
  return [shownHeader, ...shown.flatMap((line, i) => [line, ...below(rows[i] ?? [])])];
}

const separator = '  ';

/** The last column is as long as it is. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = widthsOf(rows);
  return rows.map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join(separator));
}

const widthsOf = (rows: readonly (readonly string[])[]): number[] =>
  rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];

const widthOf = (widths: readonly number[]): number => widths.reduce((sum, width) => sum + width, separator.length * (widths.length - 1));

/** Reasons quote what programs wrote: nothing of that may drive the terminal or break the line. */
const printable = (line: string): string => line.replaceAll(/\p{Cc}+/gu, ' ').trimEnd();
