/** JSON schemas of the OpenAPI document in words for people. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly default?: unknown;
  readonly description?: string;
}

/** Longer lists of words stand once, with the resource that has them. */
const wordsMax = 20;

export function typeText(schema: Schema, whole = false): string {
  const { $ref, type, enum: words, anyOf, oneOf, items, additionalProperties, format, maxLength } = schema;
  if ($ref !== undefined) return reference($ref);
  if (words !== undefined) {
    if (words.length > wordsMax && !whole) return `one of ${words.length} words, see below`;
    return words.map((word) => `\`${String(word)}\``).join(', ');
  }
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  const some = anyOf ?? oneOf;
  if (some !== undefined) return some.map((one) => typeText(one, whole)).join(' or ');
  if (Array.isArray(type)) return type.map((one: string) => typeText({ ...schema, type: one }, whole)).join(' or ');
  if (type === 'array') return `list of ${items === undefined ? 'anything' : typeText(items, whole)}`;
  if (type === 'object')
    return typeof additionalProperties === 'object' && schema.properties === undefined
      ? `map of ${typeText(additionalProperties, whole)}`
      : 'map';
  if (type === 'integer' || type === 'number') return `number${rangeText(schema)}`;
  if (type === 'boolean') return 'true, false';
  if (type === 'null') return 'null';
  if (format === 'date-time') return 'time';
  if (type === 'string') return maxLength === undefined ? 'text' : `text, at most ${maxLength} characters`;
  return 'anything';
}

function rangeText({ minimum, maximum }: Schema): string {
  const from = minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? minimum : undefined;
  const to = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? maximum : undefined;
  if (from === undefined) return to === undefined ? '' : ` up to ${to}`;
  return to === undefined ? ` from ${from}` : `, ${from} to ${to}`;
}

function reference(ref: string): string {
  const name = ref.split('/').at(-1) ?? '';
  return `[${name}](#${name.toLowerCase()})`;
}

/** One row for each field, those of maps inside behind a dot: path, type, whether it may be absent, description. */
export function fieldRows(schema: Schema, whole = false, path = ''): string[][] {
  const { properties = {}, required = [] } = schema;
  return Object.entries(properties).flatMap(([name, value]) => {
    const at = `${path}${name}`;
    const notes = [value.description ?? '', value.default === undefined ? '' : `Default: \`${JSON.stringify(value.default)}\`.`];
    const own = [`\`${at}\``, typeText(value, whole), required.includes(name) ? '' : 'may be absent', notes.join(' ').trim()];
    return [own, ...insideRows(value, whole, at)];
  });
}

function insideRows(schema: Schema, whole: boolean, at: string): string[][] {
  const inner = (schema.anyOf ?? [schema]).find(({ type }) => type === 'object' || type === 'array');
  if (inner?.properties !== undefined) return fieldRows(inner, whole, `${at}.`);
  return inner?.items === undefined ? [] : insideRows(inner.items, whole, `${at}[]`);
}
