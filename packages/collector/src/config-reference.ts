/** What the reference of the collector's configuration says of each field, read off the schema (docs/reference/collector-configuration.md). */
import * as z from 'zod';
import { collectorSchema } from './config.ts';

export interface CollectorField {
  /** `alerts.sinks[].url` */
  readonly path: string;
  /** What may stand there: form, allowed values. */
  readonly value: string;
  /** The default as YAML, or null: required. */
  readonly given: string | null;
  readonly text: string;
}

export const collectorFields = (): readonly CollectorField[] =>
  fields(collectorSchema, '').map(({ path, schema }) => ({
    path,
    value: formOf(schema),
    given: givenOf(schema),
    text: descriptionOf(schema),
  }));

interface Found {
  readonly path: string;
  readonly schema: z.ZodType;
}

function fields(schema: z.ZodObject, path: string): readonly Found[] {
  return Object.entries(schema.shape).flatMap(([key, value]) => {
    const at = path === '' ? key : `${path}.${key}`;
    const whole = value as z.ZodType;
    const inner = core(whole);
    if (inner instanceof z.ZodObject) return fields(inner, at);
    const own: Found = { path: at, schema: whole };
    const item = inner instanceof z.ZodArray ? core(inner.element as z.ZodType) : null;
    return item instanceof z.ZodObject ? [own, ...fields(item, `${at}[]`)] : [own];
  });
}

/** Without default and `optional`. */
function core(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional)
    return core(schema.unwrap() as z.ZodType);
  return schema;
}

const formAt = (schema: z.ZodType): string | undefined => schema.meta()?.['form'] as string | undefined;

function formOf(schema: z.ZodType): string {
  const inner = core(schema);
  if (inner instanceof z.ZodArray) {
    const item = formAt(core(inner.element as z.ZodType));
    return item === undefined ? 'list' : `list of ${item}`;
  }
  if (inner instanceof z.ZodEnum) return inner.options.join(', ');
  if (inner instanceof z.ZodLiteral) return [...inner.values].join(', ');
  return formAt(inner) ?? 'text';
}

const descriptionOf = (schema: z.ZodType): string => schema.description ?? core(schema).description ?? '';

function givenOf(schema: z.ZodType): string | null {
  if (!(schema instanceof z.ZodDefault)) return null;
  return written(schema.def.defaultValue, formAt(core(schema)));
}

/** As it would stand in the file; the test of the page loads it. */
function written(value: unknown, form: string | undefined): string {
  if (form === 'duration') return durationText(value as number);
  if (form === 'size') return sizeText(value as number);
  if (form === 'count in duration') {
    const { count, withinMs } = value as { readonly count: number; readonly withinMs: number };
    return `${count} in ${durationText(withinMs)}`;
  }
  if (form === 'HOST:PORT') {
    const { host, port } = value as { readonly host: string; readonly port: number };
    return `${host}:${port}`;
  }
  if (form === 'label selector') return JSON.stringify((value as { readonly text: string }).text);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

const inUnits = (value: number, units: readonly (readonly [string, number])[]): string => {
  const [unit, size] = units.find(([, of]) => value % of === 0) ?? ['', 1];
  return `${value / size}${unit}`;
};
const durationText = (ms: number): string =>
  inUnits(ms, [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
    ['ms', 1],
  ]);
const sizeText = (bytes: number): string =>
  inUnits(bytes, [
    ['gb', 1024 ** 3],
    ['mb', 1024 ** 2],
    ['kb', 1024],
    ['b', 1],
  ]);
