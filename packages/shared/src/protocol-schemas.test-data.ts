/**
 * What agents and collectors say to each other, as JSON Schema, and whether an older version and this one understand each other, whoever
 * of them is the agent. What a schema cannot say (refinements, the body of a block) is left to what was really said (test/releases).
 */
import * as z from 'zod';
import { agentCredentialSchema, joinRequestSchema } from './join.ts';
import { blockHeaderSchema } from './log-block-frame.ts';
import { agentMessageSchema, collectorMessageSchema } from './protocol.ts';

export interface JsonSchema {
  readonly [keyword: string]: unknown;
}
export type ProtocolSchemas = Readonly<Record<string, JsonSchema>>;

/** Of this version, as whoever receives it reads it. */
export function ownSchemas(): ProtocolSchemas {
  const messages = {
    'agent to collector': agentMessageSchema,
    'collector to agent': collectorMessageSchema,
    'head of a log block': blockHeaderSchema,
    'join and renew': joinRequestSchema,
    'answer to join and renew': agentCredentialSchema,
  };
  return Object.fromEntries(
    Object.entries(messages).map(([name, schema]) => [name, z.toJSONSchema(schema, { io: 'input' }) as JsonSchema]),
  );
}

/** What no receiver looks at. */
const notes = new Set(['$schema', 'title', 'description', 'default']);

/**
 * Why two versions that say and read this would not understand each other, each with its place; none: a newer one may leave out nothing,
 * and may add what an older one ignores: a field that may be missing, and a type of message.
 */
export function breaksBetween(older: ProtocolSchemas, newer: ProtocolSchemas): readonly string[] {
  return Object.entries(older).flatMap(([name, schema]) => {
    const other = newer[name];
    return other === undefined ? [`${name}: is said no more`] : breaksAt(name, schema, other, true);
  });
}

function breaksAt(at: string, older: JsonSchema, newer: JsonSchema, mayGrow = false): readonly string[] {
  const keywords = new Set([...Object.keys(older), ...Object.keys(newer)].filter((keyword) => !notes.has(keyword)));
  return [...keywords].flatMap((keyword) => {
    const [before, after] = [older[keyword], newer[keyword]];
    if (keyword === 'properties') return breaksOfFields(at, older, newer);
    if (keyword === 'required') return breaksOfRequired(at, older, newer);
    if (keyword === 'oneOf' && areSchemas(before) && areSchemas(after)) return breaksOfTypes(at, before, after, mayGrow);
    // `null` or an object.
    if (keyword === 'anyOf' && areSchemas(before) && areSchemas(after) && before.length === after.length)
      return before.flatMap((schema, index) => breaksAt(at, schema, after[index] ?? {}));
    if (isSchema(before) && isSchema(after)) return breaksAt(`${at} ${keyword}`, before, after);
    if (JSON.stringify(before) === JSON.stringify(after)) return [];
    return [`${at}: ${keyword} was ${JSON.stringify(before) ?? 'not there'} and is ${JSON.stringify(after) ?? 'not there'}`];
  });
}

function breaksOfFields(at: string, older: JsonSchema, newer: JsonSchema): readonly string[] {
  const [before, after] = [fieldsOf(older), fieldsOf(newer)];
  const known = Object.entries(before).flatMap(([name, schema]) => {
    const other = after[name];
    return other === undefined
      ? [`${at}.${name}: is there no more, and an older version says it`]
      : breaksAt(`${at}.${name}`, schema, other);
  });
  if (older['additionalProperties'] !== false) return known;
  const added = Object.keys(after).filter((name) => !Object.hasOwn(before, name));
  return [...known, ...added.map((name) => `${at}.${name}: an older version refuses what it does not know here`)];
}

function breaksOfRequired(at: string, older: JsonSchema, newer: JsonSchema): readonly string[] {
  const [before, after] = [older, newer].map((schema) => (schema['required'] ?? []) as readonly string[]);
  return [
    ...(after ?? [])
      .filter((name) => before?.includes(name) !== true)
      .map((name) => `${at}.${name}: is required, and an older version need not say it`),
    ...(before ?? [])
      .filter((name) => after?.includes(name) !== true && Object.hasOwn(fieldsOf(newer), name))
      .map((name) => `${at}.${name}: may be left out, and an older version requires it`),
  ];
}

/** Told apart by their `type`. */
function breaksOfTypes(at: string, older: readonly JsonSchema[], newer: readonly JsonSchema[], mayGrow: boolean): readonly string[] {
  const typeOf = (schema: JsonSchema): string => JSON.stringify(fieldsOf(schema)['type']?.['const'] ?? schema);
  const after = new Map(newer.map((schema) => [typeOf(schema), schema]));
  const before = new Map(older.map((schema) => [typeOf(schema), schema]));
  const known = [...before].flatMap(([type, schema]) => {
    const other = after.get(type);
    return other === undefined
      ? [`${at} ${type}: is there no more, and an older version says it`]
      : breaksAt(`${at} ${type}`, schema, other);
  });
  const added = [...after.keys()].filter((type) => !before.has(type) && !mayGrow);
  return [...known, ...added.map((type) => `${at} ${type}: an older version does not know it`)];
}

const areSchemas = (value: unknown): value is readonly JsonSchema[] => Array.isArray(value) && value.every(isSchema);
const isSchema = (value: unknown): value is JsonSchema => typeof value === 'object' && value !== null && !Array.isArray(value);
const fieldsOf = (schema: JsonSchema): Readonly<Record<string, JsonSchema>> => (schema['properties'] ?? {}) as Record<string, JsonSchema>;
