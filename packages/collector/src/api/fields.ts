/** The parts of which request schemas are made. Each validates and documents itself (openapi.json is made from them). */
import { workloadLengthMax } from '@relight/shared/event';
import { hostLabelsSchema, labelLengthMax, labelsMax } from '@relight/shared/protocol';
import { parseSelector, type Selector } from '@relight/shared/selector';
import { parseDurationMs } from '@relight/shared/units';
import * as z from 'zod';
import { decodeCursor, type LogCursor } from '../logs/cursor.ts';

/** How text becomes a value; `undefined` from `read` is a refusal with `form` as the reason. */
function text<T>(read: (value: string) => T | undefined, form: string, description: string): z.ZodType<T, string> {
  return z
    .string()
    .transform((value, context) => {
      const result = read(value);
      if (result !== undefined) return result;
      context.addIssue({ code: 'custom', message: `must be ${form}`, input: value });
      return z.NEVER;
    })
    .meta({ description });
}

/** A moment: epoch milliseconds, or so long before the request. */
export type When = { readonly at: number } | { readonly agoMs: number };
export const resolveWhen = (when: When | undefined, now: number): number | undefined =>
  when === undefined ? undefined : 'at' in when ? when.at : now - when.agoMs;

function readWhen(value: string): When | undefined {
  const agoMs = parseDurationMs(value);
  if (agoMs !== undefined) return { agoMs };
  if (!/^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?$/.test(value)) return undefined;
  // Without a zone a date-time would be read in the zone of this process.
  const zoned = /T/.test(value) && !/(?:Z|[+-]\d\d:?\d\d)$/.test(value) ? `${value}Z` : value;
  const at = Date.parse(zoned);
  return Number.isNaN(at) ? undefined : { at };
}

const whenForm = 'an ISO-8601 time such as 2026-01-01T00:00:00Z or how long ago, such as 10m';
export const since = text<When>(readWhen, whenForm, 'From then on: an ISO-8601 time or how long ago (10m).').optional();
export const until = text<When>(readWhen, whenForm, 'Up to then: an ISO-8601 time or how long ago (10m).').optional();

export const duration = text<number>(
  (value) => ((parseDurationMs(value) ?? 0) > 0 ? parseDurationMs(value) : undefined),
  'a duration such as 25m',
  'A duration with its unit, such as 500ms, 90s, 25m or 2h.',
);
export const selector = text<Selector>(
  parseSelector,
  'a label selector such as pool=v5e,zone!=us-west4-a,slice',
  'Label selector of the host; all terms must hold.',
);
export const logCursor = text<LogCursor>(decodeCursor, 'the `next` of an earlier answer', 'Opaque: `next` of an earlier answer.');

/** No host and no workload has a longer name. What is asked for is told to agents, who take no message of any length. */
const name = (lengthMax: number): z.ZodString => z.string().max(lengthMax, `must be at most ${lengthMax} characters`);
export const hostName = name(253);
export const workloadName = name(workloadLengthMax);

export const limit = z.coerce.number().int().min(1).max(1000).default(100).meta({ description: 'Items of a page.' });
export const after = z.string().optional().meta({ description: '`next` of the page before.' });
export const host = z.string().optional().meta({ description: 'Only this host.' });
export const workload = z.string().optional().meta({ description: 'Only this workload.' });
export const flag = z.stringbool({ truthy: ['true', '1', ''], falsy: ['false', '0'] }).default(false);
export const labels = hostLabelsSchema()
  .default({})
  .meta({ description: `At most ${labelsMax}; names, too, of at most ${labelLengthMax} characters.` });

/** One page of items already in order: what stands behind `after`, and the cursor of the next page. */
export function page<T>(
  items: Iterable<T>,
  limit: number,
  cursorOf: (item: T) => string,
): { readonly items: T[]; readonly next: string | null } {
  const chosen: T[] = [];
  for (const item of items) {
    const last = chosen.at(-1);
    if (chosen.length === limit && last !== undefined) return { items: chosen, next: cursorOf(last) };
    chosen.push(item);
  }
  return { items: chosen, next: null };
}
