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

/** A line, or the lines of a record. */
export interface Unit extends Range {
  /** Of a record that is longer than one may be. */
  readonly part?: 'first' | 'middle' | 'last';
}

/** Lines that are shown together, and which of them are wanted; everything else in it is context. */
export interface Window extends Range {
  readonly wanted: readonly Unit[];
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
  const units = unitsOf(lines, multiline);
  const found = units.filter((unit) => isWanted(lines, unit, inTime, criteria));
  const [first] = criteria;
  for (const unit of found) {
    // A record is asked about where a line of it answers the first criterion: blocks are searched for that one.
    const mine = { from: Math.max(unit.from, own.from), to: Math.min(unit.to, own.to) };
    if (!some(lines, mine, inTime, first)) continue;
    const from = Math.max(0, unit.from - before);
    const to = Math.min(lines.length, unit.to + after);
    const last = windows.at(-1);
    if (last !== undefined && from <= last.to) windows[windows.length - 1] = { from: last.from, to: Math.max(last.to, to), wanted: [] };
    else windows.push({ from, to, wanted: [] });
  }
  // Both are in order: where each window matches of many, a look at all for each of them would take minutes.
  let passed = 0;
  return windows.map((window) => {
    while ((found[passed]?.to ?? Infinity) <= window.from) passed += 1;
    return withWanted(window, found, passed);
  });
}

/** What else in a window is wanted, whoever has found it, and whole. `first`: no unit before it is in the window. */
function withWanted({ from, to }: Window, found: readonly Unit[], first: number): Window {
  let end = first;
  while ((found[end]?.from ?? Infinity) < to) end += 1;
  const wanted = found.slice(first, end);
  return { from: Math.min(from, wanted[0]?.from ?? from), to: Math.max(to, wanted.at(-1)?.to ?? to), wanted };
}

function unitsOf(lines: readonly string[], multiline: boolean): readonly Unit[] {
  if (!multiline) return lines.map((_, index) => ({ from: index, to: index + 1 }));
  const starts = recordStarts(lines);
  return starts.map(({ index: from, isCut }, i) => {
    const next = starts[i + 1];
    return { from, to: next?.index ?? lines.length, ...partOf(isCut, next?.isCut === true) };
  });
}

/**
 * Which part of its record `shown` is, where only some lines of a unit are shown: the others are shown elsewhere. `joins`: whether the
 * line beyond all that were looked at belongs to the one at that end.
 */
export function partShown({ from, to, part }: Unit, shown: Range, end: number, joins: (side: 'before' | 'after') => boolean): Unit['part'] {
  const goesOnBefore = part === 'middle' || part === 'last' || shown.from > from || (from === 0 && joins('before'));
  const goesOnAfter = part === 'first' || part === 'middle' || shown.to < to || (to === end && joins('after'));
  return partOf(goesOnBefore, goesOnAfter).part;
}

/** Whether the line right beyond `lines`, which are all that were looked at, is of one record with the line at that end. */
export function joinsRecord(lines: readonly string[], side: 'before' | 'after', beyond: string): boolean {
  const starts = recordStarts(side === 'before' ? [beyond, ...lines] : [...lines, beyond]);
  const met = starts.find(({ index }) => index === (side === 'before' ? 1 : lines.length));
  return met?.isCut !== false;
}

function partOf(goesOnBefore: boolean, goesOnAfter: boolean): Pick<Unit, 'part'> {
  if (goesOnBefore) return { part: goesOnAfter ? 'middle' : 'last' };
  return goesOnAfter ? { part: 'first' } : {};
}

/** Everything that is asked for stands somewhere in the record. */
function isWanted(
  lines: readonly string[],
  unit: Range,
  inTime: (index: number) => boolean,
  criteria: WindowQuestion['criteria'],
): boolean {
  return some(lines, unit, inTime, undefined) && criteria.every((criterion) => some(lines, unit, inTime, criterion));
}

function some(
  lines: readonly string[],
  { from, to }: Range,
  inTime: (index: number) => boolean,
  criterion: Pick<Criterion, 'matches'> | undefined,
): boolean {
  for (let index = from; index < to; index += 1) if (inTime(index) && criterion?.matches(lines[index] ?? '') !== false) return true;
  return false;
}
