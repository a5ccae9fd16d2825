/**
 * Which lines are shown for those that are wanted: their records, and so many lines around them. Pure: lines of one segment, one
 * behind the other, and what is asked of them.
 */
import type { Criterion } from './criteria.ts';
import { recordStarts } from './records.ts';

/** Lines [from, to). */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Lines that are shown together, and which of them are wanted; everything else in it is context. */
export interface Window extends Range {
  readonly wanted: readonly Range[];
}

export interface WindowQuestion {
  /** What must be true of a wanted line or record, each of some line in it. */
  readonly criteria: readonly Pick<Criterion, 'matches'>[];
  readonly multiline: boolean;
  readonly before: number;
  readonly after: number;
}

/**
 * `lines`: their texts. `own`: those that are asked about; the others only stand around them. `inTime`: whether a line may be
 * wanted at all.
 */
export function windowsOf(lines: readonly string[], own: Range, inTime: (index: number) => boolean, question: WindowQuestion): Window[] {
  const { criteria, multiline, before, after } = question;
  const windows: Window[] = [];
  for (const unit of unitsOf(lines, multiline)) {
    if (unit.to <= own.from || unit.from >= own.to || !isWanted(lines, unit, own, inTime, criteria)) continue;
    const from = Math.max(0, unit.from - before);
    const to = Math.min(lines.length, unit.to + after);
    const last = windows.at(-1);
    if (last !== undefined && from <= last.to) {
      windows[windows.length - 1] = { from: last.from, to: Math.max(last.to, to), wanted: [...last.wanted, unit] };
    } else windows.push({ from, to, wanted: [unit] });
  }
  return windows;
}

function unitsOf(lines: readonly string[], multiline: boolean): readonly Range[] {
  if (!multiline) return lines.map((_, index) => ({ from: index, to: index + 1 }));
  const starts = recordStarts(lines);
  return starts.map((from, index) => ({ from, to: starts[index + 1] ?? lines.length }));
}

/** A record is asked about by the piece that holds a line of the first kind: others find it by the same rule. */
function isWanted(
  lines: readonly string[],
  unit: Range,
  own: Range,
  inTime: (index: number) => boolean,
  [first, ...rest]: WindowQuestion['criteria'],
): boolean {
  const some = ({ from, to }: Range, matches: (line: string) => boolean): boolean => {
    for (let index = from; index < to; index += 1) if (inTime(index) && matches(lines[index] ?? '')) return true;
    return false;
  };
  const mine = { from: Math.max(unit.from, own.from), to: Math.min(unit.to, own.to) };
  return some(mine, first?.matches ?? (() => true)) && rest.every(({ matches }) => some(unit, matches));
}
