/** Values, texts and bytes that nobody means to send, out of ones that somebody does. */
import type { Randomness } from './randomness.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** Stands in a string for text that `toText` writes as it is: what JSON.stringify never writes. */
const raw = (text: string): string => `\u0001raw:${text}\u0001`;
const rawInText = /"\\u0001raw:([^"\\]*)\\u0001"/g;

/** JSON, or what looks like it. */
export const toText = (value: Json): string => JSON.stringify(value).replaceAll(rawInText, '$1');

const names = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'length', 'then', 'toJSON', '', '0', '-1', '$ref'];
const texts = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\r\nX-Injected: 1',
  '\u001b[2J\u001b[1;31m',
  '\ud800',
  '\udfff\ud800',
  '\u202egnp.exe',
  'ﷺ'.repeat(40),
  '👩‍👩‍👧‍👧',
  '../../../../etc/shadow',
  '..%2f..%2f',
  "'; DROP TABLE tokens; --",
  '" OR 1=1',
  '${jndi:ldap://127.0.0.1/a}',
  '{{7*7}}',
  '$(id)',
  '`id`',
  '<script>alert(1)</script>',
  'NaN',
  'null',
  'undefined',
  'true',
  '%',
  '%zz',
  '%00',
  '(a+)+$',
  '[',
  '(?<n>x)\\k<n>',
  '2026-13-45T99:99:99Z',
  '-271821-04-20T00:00:00.000Z',
  '999999999999999999999h',
  '1e999',
  ...names,
];
const numbers = [
  0,
  -1,
  1,
  0.5,
  -0.1,
  255,
  65_536,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 53 - 1,
  -(2 ** 53),
  8.64e15,
  8.64e15 + 1,
  -8.64e15 - 1,
  2 ** 63,
  -(2 ** 63),
  1e21,
  1e308,
  -1e308,
  5e-324,
];
const notations = ['-0', '1e400', '-1e400', '01', '.5', '1.', 'NaN', 'Infinity', '0x10', '1E+2', 'undefined', "'a'", 'truE', ''];
/** Longer ones are a cost without a new kind of answer. */
const longMax = 40_000;

export function nastyText(random: Randomness): string {
  if (random.chance(0.1))
    return random.pick(['a', 'ä', '\\', '"', '\u0000', '%', '/', '.']).repeat(1 + random.int(random.chance(0.1) ? longMax : 300));
  if (random.chance(0.2)) return random.bytes(random.int(30)).toString('latin1');
  return random.pick(texts);
}

export function nastyValue(random: Randomness): Json {
  switch (random.int(9)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
    case 3:
      return random.pick(numbers);
    case 4:
      return raw(random.pick(notations));
    case 5:
    case 6:
      return nastyText(random);
    case 7:
      return nested(random);
    default:
      return withName({}, random.pick(names), random.chance(0.5) ? { polluted: true } : nastyText(random));
  }
}

/** Deep enough for whoever goes down by calling itself. */
function nested(random: Randomness): Json {
  const depth = 1 + random.int(random.chance(0.05) ? 20_000 : 60);
  if (random.chance(0.5)) return raw(`${'['.repeat(depth)}${']'.repeat(depth)}`);
  let value: Json = 1;
  for (let level = Math.min(depth, 2_000); level > 0; level -= 1) value = { a: value };
  return value;
}

/** An own property also where the name is `__proto__`. */
function withName(record: { readonly [name: string]: Json }, name: string, value: Json): Json {
  const copy = { ...record };
  Object.defineProperty(copy, name, { value, enumerable: true, configurable: true, writable: true });
  return copy;
}

/** The value with one to four changes somewhere in it. */
export function mutated(random: Randomness, value: Json): Json {
  let changed = value;
  for (let changes = 1 + random.int(random.chance(0.3) ? 4 : 1); changes > 0; changes -= 1) changed = mutatedOnce(random, changed);
  return changed;
}

/** Half of the time what still has the right form, somewhere deep within: anything else is refused at the door. */
function mutatedOnce(random: Randomness, value: Json): Json {
  if (random.chance(0.5)) return leafMutated(random, value, random.int(Math.max(1, leaves(value))));
  if (Array.isArray(value)) return mutatedList(random, value as readonly Json[]);
  if (typeof value === 'object' && value !== null) return mutatedRecord(random, value as { readonly [name: string]: Json });
  if (typeof value === 'string' && random.chance(0.5)) return mutatedText(random, value);
  if (typeof value === 'number' && random.chance(0.5))
    return random.pick([value + 1, value - 1, -value, value * 1e6, value + 0.5, String(value)]);
  return nastyValue(random);
}

const leaves = (value: Json): number =>
  typeof value === 'object' && value !== null ? Object.values(value).reduce((sum: number, one) => sum + leaves(one), 0) : 1;

/** The leaf with this number is another one of its own type. */
function leafMutated(random: Randomness, value: Json, wanted: number): Json {
  if (typeof value === 'number') return random.pick(numbers);
  if (typeof value === 'string') return random.chance(0.5) ? nastyText(random) : mutatedText(random, value);
  if (typeof value === 'boolean') return !value;
  if (value === null) return random.pick(numbers);
  let left = wanted;
  for (const [name, one] of Object.entries(value)) {
    const here = leaves(one);
    if (left < here) {
      const other = leafMutated(random, one, left);
      return Array.isArray(value)
        ? (value as readonly Json[]).with(Number(name), other)
        : withName(value as { readonly [name: string]: Json }, name, other);
    }
    left -= here;
  }
  return value;
}

function mutatedList(random: Randomness, list: readonly Json[]): Json {
  const at = random.int(Math.max(1, list.length));
  const item = list[at];
  if (item === undefined) return random.chance(0.5) ? [nastyValue(random)] : nastyValue(random);
  switch (random.int(6)) {
    case 0:
      return list.toSpliced(at, 1);
    case 1:
      return list.toSpliced(at, 0, ...Array.from({ length: 1 + random.int(random.chance(0.1) ? 300 : 5) }, () => item));
    case 2:
      return random.chance(0.3) ? nastyValue(random) : list.toReversed();
    default:
      return list.with(at, mutatedOnce(random, item));
  }
}

function mutatedRecord(random: Randomness, record: { readonly [name: string]: Json }): Json {
  const keys = Object.keys(record);
  if (keys.length === 0 || random.chance(0.1))
    return withName(record, random.chance(0.5) ? random.pick(names) : nastyText(random), nastyValue(random));
  const name = random.pick(keys);
  const item = record[name] ?? null;
  switch (random.int(8)) {
    case 0: {
      const { [name]: _, ...rest } = record;
      return rest;
    }
    case 1:
      return withName(record, name, nastyValue(random));
    case 2: {
      const { [name]: _, ...rest } = record;
      return withName(rest, random.chance(0.5) ? `${name}s` : random.pick(names), item);
    }
    case 3:
      return random.chance(0.1) ? nastyValue(random) : withName(record, name, record[random.pick(keys)] ?? null);
    default:
      return withName(record, name, mutatedOnce(random, item));
  }
}

export function mutatedText(random: Randomness, text: string): string {
  const at = random.int(text.length + 1);
  switch (random.int(6)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text.slice(0, at) + nastyText(random) + text.slice(at);
    case 2:
      return text.slice(0, at) + text.slice(Math.min(text.length, at + 1 + random.int(8)));
    case 3:
      return text + text;
    case 4:
      return text.slice(0, at) + String.fromCharCode(random.int(0x180)) + text.slice(at + 1);
    default:
      return text.slice(at) + text.slice(0, at);
  }
}

export function mutatedBytes(random: Randomness, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const at = random.int(Math.max(1, copy.length));
  switch (random.int(5)) {
    case 0:
      return copy.subarray(0, at);
    case 1:
      return Buffer.concat([copy.subarray(0, at), random.bytes(1 + random.int(20)), copy.subarray(at)]);
    case 2:
      return Buffer.concat([copy, copy]);
    default:
      for (let flips = 1 + random.int(6); flips > 0 && copy.length > 0; flips -= 1) copy[random.int(copy.length)] = random.int(256);
      return copy;
  }
}
