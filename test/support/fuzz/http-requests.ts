/** Requests of every route that the collector documents, as they should be, and then otherwise. */
import { mutated, mutatedText, nastyText, nastyValue, toText, type Json } from './mutate.ts';
import type { Randomness } from './randomness.ts';

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query';
  readonly schema: { readonly enum?: readonly string[]; readonly type?: string };
}

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly Parameter[];
  readonly takesBody: boolean;
}

export interface OpenApi {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<
        Record<string, { readonly description?: string; readonly parameters?: readonly Parameter[]; readonly requestBody?: unknown }>
      >
    >
  >;
}

export interface HttpInput {
  readonly method: string;
  /** Of printable ASCII. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
}

/** What stands beside the documented ones. */
const others: readonly Operation[] = [
  ...['/healthz', '/readyz', '/metrics', '/api/v1/openapi.json', '/', '/api/v1', '/agent/v1', '/favicon.ico', '/api/v2/hosts'].map(
    (path) => ({
      method: 'GET',
      path,
      parameters: [],
      takesBody: false,
    }),
  ),
  ...['/agent/v1/join', '/agent/v1/renew'].map((path) => ({ method: 'POST', path, parameters: [], takesBody: true })),
];

export function operationsOf({ paths }: OpenApi): readonly Operation[] {
  const documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [], requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      parameters,
      takesBody: requestBody !== undefined,
    })),
  );
  if (documented.length < 15) throw new Error(`only ${documented.length} operations are documented: is this the collector's document?`);
  return [...documented, ...others];
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY'];
const contentTypes = [
  'application/json',
  'application/json; charset=utf-8',
  'application/json; charset=utf-16',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/xml',
  '',
  ';',
];

/** Sensible values, by the names that parameters and fields have. */
const values: Readonly<Record<string, readonly string[]>> = {
  host: ['fuzz-0', 'fuzz-1', 'fuzz-2'],
  name: ['fuzz-0', 'fuzz-1', 'fuzz-expected'],
  workload: ['trainer', 'ray-worker', '-'],
  id: ['20260131-120000-fuzz1', '1', '5f2c'],
  label: ['pool=fuzz', 'pool!=x,slice', 'slice=s0'],
  source: ['container', 'process', 'file:raylet.out'],
  since: ['10m', '2026-01-01T00:00:00Z', '2026-01-01'],
  until: ['0s', '1m', '2030-01-01T00:00:00Z'],
  grep: ['ERROR', 'step [0-9]+', '(?i)loss=0\\.[0-9]'],
  word: ['ERROR', 'loss'],
  after: ['0', '12', '0s_3.7', 'n120_-3.7', 'fuzz-0'],
  limit: ['1', '20', '1000'],
  tail: ['0', '5', '100000'],
};

const bodies: Readonly<Record<string, (random: Randomness) => Json>> = {
  '/api/v1/hosts': (random) => ({ name: random.pick(['fuzz-0', 'fuzz-expected']), labels: { pool: 'fuzz' }, within: '25m' }),
  '/api/v1/tokens': (random) => ({ kind: random.pick(['agent', 'operator', 'join']), name: 'of the fuzz', validFor: '1h' }),
  '/agent/v1/join': (random) => agentBody(random),
  '/agent/v1/renew': (random) => agentBody(random),
};
const action = (random: Randomness): Json => ({ action: random.pick(['restart', 'pause', 'resume']), reason: 'a reason' });
const agentBody = (random: Randomness): Json => ({
  agentId: `agent-joined-${random.int(3)}`,
  machineId: 'machine-j',
  host: `fuzz-j${random.int(3)}`,
});

export function httpInput(random: Randomness, operations: readonly Operation[], authorization: string | null): HttpInput {
  const operation = random.pick(operations);
  const method = random.chance(0.1) ? random.pick(methods) : operation.method;
  const path = pathOf(random, operation);
  const body = bodyOf(random, operation);
  const headers: Record<string, string> = {};
  if (authorization !== null) headers['authorization'] = authorization;
  if (body !== null) headers['content-type'] = random.chance(0.9) ? 'application/json' : random.pick(contentTypes);
  if (random.chance(0.1)) Object.assign(headers, oddHeader(random));
  return { method, path, headers, body };
}

function pathOf(random: Randomness, { path, parameters }: Operation): string {
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encode(random, valueOf(random, { name, in: 'path', schema: {} })));
  const query = parameters
    .filter((parameter) => parameter.in === 'query' && random.chance(0.35))
    .flatMap((parameter) =>
      Array.from({ length: random.chance(0.05) ? 3 : 1 }, () => `${parameter.name}=${encode(random, valueOf(random, parameter))}`),
    );
  if (random.chance(0.06)) query.push(`${encode(random, nastyText(random))}=${encode(random, nastyText(random))}`);
  const whole = query.length === 0 ? filled : `${filled}?${query.join('&')}`;
  return printable(random.chance(0.05) ? mutatedText(random, whole) : whole);
}

function valueOf(random: Randomness, { name, schema }: Parameter): string {
  const sensible = schema.enum ?? values[name] ?? (schema.type === 'boolean' ? ['true', 'false'] : ['1', '0', 'true', 'x']);
  if (random.chance(0.55)) return random.pick(sensible);
  return random.chance(0.5) ? mutatedText(random, random.pick(sensible)) : nastyText(random).slice(0, random.chance(0.02) ? 20_000 : 300);
}

/** Mostly as it should be. */
function encode(random: Randomness, text: string): string {
  if (random.chance(0.1)) return text;
  return encodeURIComponent(text.toWellFormed());
}

/** Other bytes are for raw connections: no client of HTTP sends them. */
function printable(path: string): string {
  const text = path.replaceAll(/[^\u0021-\u007e]/g, '%ff').slice(0, 20_000);
  return text.startsWith('/') ? text : `/${text}`;
}

function bodyOf(random: Randomness, { path, takesBody, method }: Operation): Buffer | null {
  if (!takesBody && !(method === 'GET' ? random.chance(0.02) : random.chance(0.3))) return null;
  const good = (bodies[path] ?? action)(random);
  const said = random.chance(0.3) ? good : random.chance(0.9) ? mutated(random, good) : nastyValue(random);
  const text = toText(said);
  if (random.chance(0.1)) return Buffer.from(mutatedText(random, text));
  if (random.chance(0.03)) return random.bytes(random.int(200));
  return Buffer.from(random.chance(0.005) ? ' '.repeat(100_000) : text);
}

function oddHeader(random: Randomness): Record<string, string> {
  const value = nastyText(random)
    .replaceAll(/[^\u0020-\u007e]/g, '?')
    .slice(0, 18_000);
  return random.pick<Record<string, string>>([
    { authorization: `Bearer ${value}` },
    { authorization: value },
    { authorization: 'Basic cm9vdDpyb290' },
    { 'x-forwarded-proto': value, 'x-http-method-override': 'DELETE' },
    { accept: value },
    { 'accept-encoding': 'gzip, br, zstd' },
    { 'last-event-id': value },
    { range: 'bytes=0-10' },
    { expect: '100-continue' },
    { host: value.slice(0, 100) || 'x' },
    { cookie: value },
    { 'content-type': random.pick(contentTypes) },
    { [`x-${'a'.repeat(random.int(200))}`]: value },
  ]);
}
