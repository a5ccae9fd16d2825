/** The check against a head of our own making: what it asks, and what it makes of every kind of answer. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@relight/shared/clock';
import { afterEach, expect, it } from 'vitest';
import type { Engine } from '../engine/engine.ts';
import type { ProbeContext, ProbeResult } from './probe.ts';
import { rayNode, RayNodeMemory } from './ray-node.ts';

const ip = '10.9.8.7';
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function head(answer: RequestListener): Promise<{ readonly url: string; readonly asked: URL[] }> {
  const asked: URL[] = [];
  const server = createServer((request, response) => {
    asked.push(new URL(request.url ?? '', 'http://head'));
    answer(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

const rows = (...states: readonly string[]): string =>
  JSON.stringify({
    result: true,
    data: { result: { result: states.map((state, i) => ({ node_id: `${i}00`, node_ip: ip, state, state_message: null })) } },
  });

const context = (more: Partial<ProbeContext> = {}): ProbeContext => ({
  engine: {} as Engine,
  clock: systemClock,
  // No process has such a control group.
  containerId: 'f'.repeat(64),
  containerPid: process.pid,
  shell: null,
  vars: {},
  timeoutMs: 60_000,
  signal: new AbortController().signal,
  ray: new RayNodeMemory(systemClock),
  ...more,
});

const ask = (dashboard: string, more: Partial<ProbeContext> = {}, nodeIp: string | null = ip): Promise<ProbeResult> =>
  rayNode({ kind: 'ray-node', dashboard, nodeIp }, context(more));

it.each([
  [['ALIVE'], { ok: true }],
  [['DEAD', 'ALIVE', 'DEAD'], { ok: true }],
  [['DEAD'], { ok: false, message: `the head has ${ip} DEAD` }],
  [[], { ok: false, message: `the head has no node at ${ip}` }],
  [['ALIVE', 'ALIVE'], { ok: false, message: `two raylets at ${ip}: the head has 2 nodes ALIVE there (000, 100)` }],
])('judges %j', async (states, expected) => {
  const { url } = await head((_, response) => response.end(rows(...states)));
  const result = await ask(url);
  expect(result).toMatchObject(expected);
  expect(result.unknown).toBeUndefined();
});

it('asks for this address alone, at an address that variables give', async () => {
  const { url, asked } = await head((_, response) => response.end(rows('ALIVE')));
  await ask('${HEAD}/', { vars: { HEAD: url, ME: ip } }, '${ME}');
  expect(asked.map(({ pathname }) => pathname)).toEqual(['/api/v0/nodes']);
  expect(asked[0]?.searchParams.get('filter_values')).toBe(ip);
});

it.each<[string, RequestListener]>([
  ['a status that is no success', (_, response) => void response.writeHead(503).end('busy')],
  ['a page', (_, response) => void response.end('<html>')],
  ['an error of the API', (_, response) => void response.end('{"result": false, "msg": "Max number of in-progress requests"}')],
  ['a broken connection', (request) => void request.socket.destroy()],
  ['half an answer', (_, response) => void response.writeHead(200, { 'content-length': 500 }).write('{', () => response.destroy())],
  ['an endless answer', (_, response) => void response.on('drain', () => response.write('x'.repeat(65_536))).write('x'.repeat(1 << 20))],
  ['silence', () => {}],
])('makes nothing of %s', async (_, answer) => {
  const { url } = await head(answer);
  expect(await ask(url, { timeoutMs: 300 })).toMatchObject({ ok: false, unknown: true });
});

it('makes nothing of a head that is away', async () => {
  const { url } = await head(() => {});
  servers.splice(0).forEach((server) => server.close());
  const result = await ask(url);
  expect(result).toMatchObject({ ok: false, unknown: true });
  expect(result.message).toMatch(/^the head at 127\.0\.0\.1:\d+ does not tell: connection refused$/);
});

it('finds its own address as Ray does when none is given', async () => {
  const { url, asked } = await head((_, response) => response.end(rows()));
  await ask(url, {}, null);
  const found = asked[0]?.searchParams.get('filter_values') ?? '';
  expect(found).toMatch(/^[\d.]+$/);
  expect(found).not.toMatch(/^127\./);
});

it('spares the head while a node joins, and asks anew in every question without pace', async () => {
  const { url, asked } = await head((_, response) => response.end(rows()));
  const joining = { ray: new RayNodeMemory(systemClock), pace: { intervalMs: 600_000, random: 0.5 } };
  const answers = [await ask(url, joining), await ask(url, joining), await ask(url, joining)];
  expect(new Set(answers.map(({ message }) => message)).size).toBe(1);
  expect(asked).toHaveLength(1);
  await ask(url, { ray: joining.ray });
  expect(asked).toHaveLength(2);
});
