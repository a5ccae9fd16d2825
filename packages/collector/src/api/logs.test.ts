/** `GET logs` over HTTP: what it takes, in which forms it answers, and that nobody is worked for who has left. */
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ApiLogEntry, ApiLogLine } from '@relight/shared/api';
import { systemClock } from '@relight/shared/clock';
import { packBlock } from '@relight/shared/log-block';
import { epoch, FakeFleet, hostRecord } from '../../../../test/support/fleet-records.ts';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import { waitFor } from '../../../../test/support/wait.ts';
import { Bus } from '../bus.ts';
import type { LogRequest } from '../logs/answer.ts';
import { readingHere, type LogReading } from '../logs/reading.ts';
import { answersMax } from './answers.ts';
import { registerApi } from './register.ts';

let app: FastifyInstance;
let port: number;
let store: MemoryStore;
let asked: LogRequest[];
/** Set by a test: stands in the place of the answer. */
let instead: LogReading['read'] | null;

beforeEach(async () => {
  store = new MemoryStore();
  store.addToken('operator', 'operator');
  asked = [];
  instead = null;
  const here = readingHere(store);
  const logs: LogReading = {
    read(wanted, signal) {
      asked.push(wanted);
      return instead === null ? here.read(wanted, signal) : instead(wanted, signal);
    },
    close: () => here.close(),
  };
  const fleet = new FakeFleet();
  fleet.put(hostRecord('a', { labels: { pool: 'x' } }), hostRecord('b'));
  app = Fastify();
  registerApi(app, { store, bus: new Bus(), fleet, clock: systemClock, version: '0', logs });
  await app.listen({ port: 0, host: '127.0.0.1' });
  port = (app.server.address() as AddressInfo).port;
});
afterEach(() => app.close());

let at = 0;
const write = (host: string, ...texts: readonly string[]): Promise<void> => writeTo('process', host, ...texts);
async function writeTo(source: string, host: string, ...texts: readonly string[]): Promise<void> {
  const segment = { workload: 'w', generation: 1, source, run: '1' };
  const from = store.committedOffset(host, segment);
  let to = from;
  const lines = texts.map((text) => {
    const line = {
      offset: to,
      at: epoch + (at += 1),
      approx: false,
      stream: 'stdout' as const,
      bytes: Buffer.from(text),
      truncated: false,
    };
    to += line.bytes.length + 1;
    return line;
  });
  await store.commitBlock(host, host, packBlock(segment, from, to, lines), epoch + at);
}

const get = (query: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${port}/api/v1/logs?${query}`, { headers: { authorization: 'Bearer operator' } });
async function lines(query: string): Promise<(ApiLogLine & Pick<ApiLogEntry, 'next'>)[]> {
  const response = await get(query);
  const text = await response.text();
  expect({ status: response.status, text: response.status === 200 ? '' : text }).toEqual({ status: 200, text: '' });
  return text
    .split('\n')
    .filter((one) => one !== '')
    .map((one) => JSON.parse(one) as ApiLogLine & Pick<ApiLogEntry, 'next'>);
}
const texts = async (query: string): Promise<string[]> => (await lines(query)).map(({ line }) => line);

test('words, levels, order, context and records', async () => {
  await write('a', 'INFO start', 'ERROR lost worker-7', '  detail', 'INFO goes on');
  await write('b', 'WARNING worker-7 is slow', 'INFO worker-70 is not');
  expect(await texts('word=WORKER-7')).toEqual(['ERROR lost worker-7', 'WARNING worker-7 is slow']);
  expect(await texts('word=worker&word=slow')).toEqual(['WARNING worker-7 is slow']);
  expect(await texts('level=warning&order=newest')).toEqual(['WARNING worker-7 is slow', 'ERROR lost worker-7']);
  expect(await texts('level=warning&order=newest&limit=1')).toEqual(['WARNING worker-7 is slow']);
  expect(await texts('label=pool%3Dx&level=error&multiline=true')).toEqual(['ERROR lost worker-7\n  detail']);
  const around = await lines('grep=lost&linesBefore=1&linesAfter=1');
  expect(around.map(({ line, context, apart, level }) => ({ line, context, apart, level }))).toEqual([
    { line: 'INFO start', context: true, apart: true, level: 'info' },
    { line: 'ERROR lost worker-7', context: undefined, apart: undefined, level: 'error' },
    { line: '  detail', context: true, apart: undefined, level: undefined },
  ]);
});

test('what is stored under the name of a source that only a later version knows can be asked for by it', async () => {
  await write('a', 'of the process');
  await writeTo('profiler', 'a', 'of the profiler');
  expect((await lines('')).map(({ source }) => source)).toEqual(['process', 'profiler']);
  expect(await texts('source=profiler')).toEqual(['of the profiler']);
  expect((await get('source=Profiler!')).status).toBe(400);
});

test('the newest first, page by page, whatever comes meanwhile', async () => {
  await write('a', 'a1', 'a2', 'a3');
  await write('b', 'b1', 'b2');
  const found: string[] = [];
  for (let next: string | undefined = ''; next !== undefined;) {
    const page: Awaited<ReturnType<typeof lines>> = await lines(`order=newest&limit=2${next === '' ? '' : `&after=${next}`}`);
    found.push(...page.map(({ line }) => line));
    next = page.at(-1)?.next;
    await write('b', 'later');
  }
  expect(found).toEqual(['b2', 'b1', 'a3', 'a2', 'a1']);
});

test('as text for people, and nothing in it that a terminal obeys', async () => {
  await write('a', 'clear\u001b[2J\u009b2J');
  const response = await get('format=text');
  expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  expect(await response.text()).toMatch(/^2026-01-01T00:00:00\.\d{3}Z a\/w process \| clear\\x1b\[2J\\x9b2J\n$/);
});

test.each([
  ['level=loud', /level/],
  ['order=sideways', /order/],
  ['linesBefore=101', /linesBefore/],
  ['word=%20', /word/],
  ['grep=(', /grep/],
  ['order=newest&after=3', /after: is from an answer with order=oldest/],
  ['after=n3', /after: is from an answer with order=newest/],
  ['order=newest&after=n3&linesAfter=1', /after/],
  ['format=xml', /format/],
  ['wrod=x', /word/],
])('%s is refused by name, before anything is read', async (query, name) => {
  const response = await get(query);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ code: 'usage', detail: expect.stringMatching(name) as string });
  expect(asked).toEqual([]);
});

test('whoever leaves is not worked for any longer', async () => {
  let signal: AbortSignal | undefined;
  let ended = false;
  instead = async function* endless(_wanted, given) {
    signal = given;
    try {
      for (;;) {
        yield Buffer.alloc(64 * 1024, 'x');
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      ended = true;
    }
  };
  const call = request({ host: '127.0.0.1', port, path: '/api/v1/logs', headers: { authorization: 'Bearer operator' } });
  call.on('error', () => undefined);
  call.on('response', (response) => response.once('data', () => call.destroy()));
  call.end();
  await waitFor(() => ended, { what: 'the work to end' });
  expect(signal?.aborted).toBe(true);
});

test('an answer that fails on its way is cut off, one that fails at once is a problem', async () => {
  instead = async function* failing() {
    yield Buffer.from('{}\n');
    throw new Error('the disk is gone');
  };
  await expect(get('').then((response) => response.text())).rejects.toThrow(/terminated|closed|reset/);
  // oxlint-disable-next-line eslint/require-yield -- it fails before.
  instead = async function* failing() {
    throw new Error('the disk is gone');
  };
  expect((await get('')).status).toBe(500);
});

test('so many questions are answered at a time and no more; whoever leaves makes room', async () => {
  let working = 0;
  // oxlint-disable-next-line eslint/require-yield -- it finds nothing for as long as somebody waits.
  instead = async function* endless(_wanted, signal) {
    working += 1;
    await new Promise((resolve) => signal?.addEventListener('abort', resolve));
    working -= 1;
  };
  const readers = Array.from({ length: answersMax }, () => {
    const call = request({ host: '127.0.0.1', port, path: '/api/v1/logs', headers: { authorization: 'Bearer operator' }, agent: false });
    return call.on('error', () => undefined).end();
  });
  await waitFor(() => working === answersMax, { what: 'all of them to be answered' });
  const refused = await get('');
  expect({ status: refused.status, retry: refused.headers.get('retry-after') }).toEqual({ status: 503, retry: '1' });
  expect(await refused.json()).toMatchObject({ code: 'overloaded', advice: expect.stringMatching(/one after the other/) as string });
  readers[0]?.destroy();
  await waitFor(() => working === answersMax - 1, { what: 'the work for it to end' });
  instead = null;
  expect((await get('')).status).toBe(200);
  for (const reader of readers) reader.destroy();
  await waitFor(() => working === 0, { what: 'all work to end' });
});

test('rare lines are looked for long: the answer begins before the first is found', async () => {
  const found = Promise.withResolvers<void>();
  instead = async function* late() {
    await found.promise;
    yield Buffer.from('{}\n');
  };
  const response = await get('');
  expect(response.status).toBe(200);
  found.resolve();
  expect(await response.text()).toBe('{}\n');
});
