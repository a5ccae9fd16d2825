/** docs/reference/collector-configuration.md and the collector's reader say the same: examples load, fields are complete, defaults are the real ones. */
import { expect, it } from 'vitest';
import { parse as parseYaml, stringify } from 'yaml';
import { codeOf, isAgentExample, isOperatorExample, readPage, tableRows, yamlExamples } from '../../../test/support/docs.ts';
import { readConfig } from './config.ts';

const rows = tableRows(readPage('docs/reference/collector-configuration.md'), 'collector field');
const examples = yamlExamples().filter((example) => !isAgentExample(example) && !isOperatorExample(example));
const read = (document: unknown) => readConfig({ file: 'c.yaml', text: stringify(document) });

/** `alerts.sinks[].url` → a whole document with `value` there. */
function documentWith(path: string, value: unknown): object {
  const wrap = (inner: unknown, step: string): unknown => (step.endsWith('[]') ? { [step.slice(0, -2)]: [inner] } : { [step]: inner });
  return { version: 1, ...(path.split('.').reduceRight<unknown>(wrap, value) as object) };
}

/** The keys that may stand in the map at `path` ('' is the document), as the reader itself says; null: no map belongs there. */
function keysAt(path: string): readonly string[] | null {
  const stranger = 'no-such-field';
  const document = path === '' ? { version: 1, [stranger]: 1 } : documentWith(path, { [stranger]: 1 });
  try {
    read(document);
  } catch (error) {
    return /unknown key; allowed here: (.*)$/m.exec((error as Error).message)?.[1]?.split(', ') ?? null;
  }
  throw new Error(`${path}: a field that does not exist was taken`);
}

function fieldsBelow(path: string): readonly string[] {
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`);
  return (keysAt(path) ?? []).flatMap((key) => {
    if (keysAt(at(key)) !== null) return fieldsBelow(at(key));
    return keysAt(`${at(key)}[]`) === null ? [at(key)] : [at(key), ...fieldsBelow(`${at(key)}[]`)];
  });
}

it.each(examples)('$place is a file that the collector takes', ({ place, text }) => {
  expect(readConfig({ file: place, text }).dataDir).not.toBe('');
});

it('has one row for each field, and no other', () => {
  expect(rows.map(({ cells }) => codeOf(cells[0]) ?? '').toSorted()).toEqual(fieldsBelow('').toSorted());
});

const claims = rows.map(({ cells }) => {
  const field = codeOf(cells[0]) ?? '';
  return { field, given: cells[2] ?? '', inList: field.includes('[]') };
});
const optional = claims.filter(({ given }) => given !== 'required');

it.each(optional.filter(({ inList }) => !inList))('$field: $given changes nothing', ({ field, given }) => {
  expect(read(documentWith(field, parseYaml(codeOf(given) ?? '') as unknown))).toEqual(readConfig(null));
});

it.each(optional.filter(({ inList }) => inList))('$field: $given is as if it were not there', ({ field, given }) => {
  const [list = '', key = ''] = field.split('[].');
  const shown = examples.flatMap(({ text }) => (parseYaml(text) as Readonly<Record<string, readonly object[] | undefined>>)[list] ?? []);
  const item = shown.find((one) => key in one);
  expect(item).toBeDefined();
  const without = Object.fromEntries(Object.entries(item ?? {}).filter(([name]) => name !== key));
  const withDefault = { ...without, [key]: parseYaml(codeOf(given) ?? '') as unknown };
  expect(read({ version: 1, [list]: [withDefault] })).toEqual(read({ version: 1, [list]: [without] }));
});

it.each(claims.filter(({ given }) => given === 'required'))('$field is required', ({ field }) => {
  const parent = field.slice(0, Math.max(0, field.lastIndexOf('.')));
  expect(() => read(parent === '' ? { listen: '127.0.0.1:1' } : documentWith(parent, {}))).toThrow(`${field.split('.').at(-1)}: `);
});
