/** Requests against their schemas. What is wrong is said by name: the field, its value, what is allowed, the nearest right name. */
import { RelightError } from '@relight/shared/errors';
import { suggest } from '@relight/shared/suggest';
import * as z from 'zod';

export type Fields = z.ZodObject<Record<string, z.ZodType>>;

/** Query text: what the schema has as a list may be repeated or comma-separated, everything else is given once. */
export function parseQuery<T extends Fields>(schema: T, raw: unknown): z.output<T> {
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(raw as Record<string, string | string[]>)) {
    const field = schema.shape[name];
    if (field !== undefined && isList(field))
      values[name] = [value]
        .flat()
        .flatMap((part) => part.split(','))
        .filter((part) => part !== '');
    else if (Array.isArray(value)) throw new RelightError('usage', `${name}: is given ${value.length} times; give it once`);
    else values[name] = value;
  }
  return parse(schema, values, 'parameter');
}

export function parseBody<T extends Fields>(schema: T, raw: unknown): z.output<T> {
  if (raw === undefined || raw === null) return parse(schema, {}, 'field');
  return parse(schema, raw, 'field');
}

export const parseParams = <T extends Fields>(schema: T, raw: unknown): z.output<T> => parse(schema, raw, 'path segment');

function isList(field: z.ZodType): boolean {
  if (field instanceof z.ZodOptional || field instanceof z.ZodDefault) return isList(field.unwrap() as z.ZodType);
  return field instanceof z.ZodArray;
}

function parse<T extends Fields>(schema: T, raw: unknown, what: string): z.output<T> {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const texts = parsed.error.issues.map((issue) => issueText(issue, given(raw, issue.path), Object.keys(schema.shape), what));
  throw new RelightError('usage', texts.join('; '));
}

/** What the client wrote there, before any conversion. */
function given(raw: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value === null || typeof value !== 'object' ? undefined : Reflect.get(value, key)), raw);
}

function issueText(issue: z.core.$ZodIssue, value: unknown, names: readonly string[], what: string): string {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${key}: there is no such ${what}${nearest(key, names)}; allowed: ${names.join(', ')}`).join('; ');
  }
  const where = issue.path.join('.') || 'the body';
  if (value === undefined) return `${where}: is missing`;
  const shown = shownOf(value);
  if (issue.code !== 'invalid_value') return `${where}: ${shown}: ${issue.message}`;
  const allowed = issue.values.map(String);
  return `${where}: ${shown} is not one of ${allowed.join(', ')}${typeof value === 'string' ? nearest(value, allowed) : ''}`;
}

/** Text that is nested some thousands deep can be read, but not written again. */
function shownOf(value: unknown): string {
  try {
    return JSON.stringify(value).slice(0, 100);
  } catch {
    return 'what stands there';
  }
}

function nearest(word: string, names: readonly string[]): string {
  const near = suggest(word, names);
  return near === undefined ? '' : `; did you mean ${near}?`;
}
