import Fastify, { type FastifyInstance, type InjectOptions } from 'fastify';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ApiProblem } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { packBlock } from '@relight/shared/log-block';
import { ManualClock } from '@relight/shared/manual-clock';
import { epoch, FakeFleet, hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import { Bus } from '../bus.ts';
import { sendFrameworkProblem } from './problem.ts';
import { registerApi } from './register.ts';

const minute = 60_000;
let app: FastifyInstance;
let store: MemoryStore;
let fleet: FakeFleet;
let clock: ManualClock;

beforeEach(async () => {
  store = new MemoryStore();
  fleet = new FakeFleet();
  clock = new ManualClock(epoch);
  store.addToken('operator', 'operator');
  store.addToken('agent', 'agent');
  app = Fastify({ bodyLimit: 10_000, frameworkErrors: sendFrameworkProblem });
  const metrics = [{ name: 'relight_ingest_lines_total', help: 'Lines.', type: 'counter' as const, samples: [{ value: 7 }] }];
  registerApi(app, { store, bus: new Bus(), fleet, clock, version: '1.2.3', metrics: () => metrics });
  app.get('/healthz', () => ({ ok: true }));
  await app.ready();
});
afterEach(() => app.close());

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

async function call(method: 'GET' | 'POST' | 'DELETE', url: string, payload?: unknown, more: InjectOptions = {}): Promise<Reply> {
  const body = payload === undefined ? {} : { payload: payload as object };
  const response = await app.inject({ method, url, headers: { authorization: 'Bearer operator' }, ...body, ...more });
  const type = response.headers['content-type']?.toString() ?? '';
  const json = type.includes('json') && !type.includes('ndjson') ? response.json<Record<string, unknown>>() : {};
  return { status: response.statusCode, type, text: response.payload, json };
}
const get = (path: string): Promise<Reply> => call('GET', `/api/v1/${path}`);
const names = (reply: Reply): unknown[] => (reply.json['items'] as { name: string }[]).map((item) => item.name);

describe('who may ask', () => {
  test.each([
    ['/api/v1/hosts', {}, 401, 'unauthorized'],
    ['/api/v1/hosts', { authorization: 'Bearer nobody' }, 401, 'unauthorized'],
    ['/api/v1/hosts', { authorization: 'Basic b3BlcmF0b3I=' }, 401, 'unauthorized'],
    ['/api/v1/hosts', { authorization: 'Bearer agent' }, 403, 'forbidden'],
    ['/api/v1/hosts?access_token=operator', {}, 401, 'unauthorized'],
    ['/metrics', {}, 401, 'unauthorized'],
    ['/nothing', {}, 401, 'unauthorized'],
  ])('%s with %o: %i', async (url, headers, status, code) => {
    const response = await app.inject({ url, headers });
    expect(response.statusCode).toBe(status);
    expect(response.headers['content-type']).toBe('application/problem+json');
    expect(response.json()).toMatchObject({ code, status });
  });

  test.each(['/api/v1/hosts/%', '/%E0%A4', '/metrics%ZZ'])('a malformed URL is a problem as well: %s', async (url) => {
    const response = await app.inject({ url, headers: { authorization: 'Bearer operator' } });
    expect(response.headers['content-type']).toBe('application/problem+json');
    expect(response.json()).toMatchObject({ status: 400, code: 'usage', detail: expect.stringContaining('not a valid url') });
  });

  test('everybody may ask for health, with query or without', async () => {
    expect((await app.inject({ url: '/healthz?x=1' })).statusCode).toBe(200);
  });
});

describe('roles', () => {
  const as = (role: string) => ({ headers: { authorization: `Bearer ${role}` } });

  beforeEach(() => {
    store.addToken('view', 'operator', 'view');
    store.addToken('operate', 'operator', 'operate');
    fleet.put(hostRecord('tpu-0', { workloads: [workloadStatus('w')] }));
  });

  test.each([
    ['view', 'GET', '/api/v1/hosts', undefined, 200],
    ['view', 'GET', '/metrics', undefined, 200],
    ['view', 'POST', '/api/v1/workloads/tpu-0/w/actions', { action: 'restart' }, 403],
    ['view', 'POST', '/api/v1/hosts', { name: 'new' }, 403],
    ['operate', 'POST', '/api/v1/workloads/tpu-0/w/actions', { action: 'restart' }, 200],
    ['operate', 'DELETE', '/api/v1/hosts/tpu-0', undefined, 403],
    ['operate', 'GET', '/api/v1/audit', undefined, 403],
    ['operator', 'DELETE', '/api/v1/hosts/tpu-0', undefined, 204],
    ['operator', 'GET', '/api/v1/audit', undefined, 200],
  ] as const)('%s: %s %s %o: %i', async (role, method, url, body, status) => {
    expect((await call(method, url, body, as(role))).status).toBe(status);
  });

  test('what is done, has failed and was refused is written down, reading is not', async () => {
    await call('POST', '/api/v1/workloads/tpu-0/w/actions', { action: 'pause', reason: 'driver' }, as('operate'));
    await call('DELETE', '/api/v1/hosts/tpu-0', undefined, as('view'));
    await call('DELETE', '/api/v1/hosts/none', undefined);
    await call('GET', '/api/v1/hosts', undefined, as('view'));
    const { json } = await call('GET', '/api/v1/audit');
    expect(json['items']).toMatchObject([
      {
        actor: 'operator',
        role: 'admin',
        action: 'host.forget',
        target: 'none',
        outcome: 'failed',
        detail: { reason: 'there is no host none' },
      },
      { actor: 'view', role: 'view', action: 'DELETE /api/v1/hosts/tpu-0', outcome: 'refused', detail: { reason: 'needs the role admin' } },
      {
        actor: 'operate',
        action: 'workload.pause',
        target: 'tpu-0/w',
        outcome: 'done',
        address: '127.0.0.1',
        detail: { reason: 'driver' },
      },
    ]);
  });

  test('who fails all the time is not listened to for a minute, but for a token that is valid', async () => {
    const fail = () => call('GET', '/api/v1/hosts', undefined, as('nobody'));
    for (let i = 0; i < 30; i += 1) expect((await fail()).status).toBe(401);
    expect(await fail()).toMatchObject({ status: 429, json: { code: 'too-many-failures' } });
    expect((await call('GET', '/api/v1/hosts', undefined, as('view'))).status).toBe(200);
    clock.advance(60_000);
    expect((await fail()).status).toBe(401);
  });
});

describe('what is wrong is said by name', () => {
  const manyLabels = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`l${index}`, '']));
  const longLabel = 'x'.repeat(257);
  test.each([
    ['GET', '/api/v1/nowhere', undefined, 404, 'not-found', /GET \/api\/v1\/nowhere does not exist/],
    ['GET', '/api/v1/hosts?lable=x', undefined, 400, 'usage', /lable: there is no such parameter; did you mean label\?; allowed: host/],
    ['GET', '/api/v1/hosts?limit=0', undefined, 400, 'usage', /limit: "?0"?: .*1/],
    ['GET', '/api/v1/hosts?limit=many', undefined, 400, 'usage', /limit: "many"/],
    ['GET', '/api/v1/hosts?limit=1&limit=2', undefined, 400, 'usage', /limit: is given 2 times/],
    ['GET', '/api/v1/hosts?state=ded', undefined, 400, 'usage', /state.*"ded" is not one of .*did you mean dead\?/],
    ['GET', '/api/v1/events?since=yesterday', undefined, 400, 'usage', /since: "yesterday": must be an ISO-8601 time/],
    ['GET', '/api/v1/events?kind=container.dead', undefined, 400, 'usage', /did you mean container\.died\?/],
    ['GET', '/api/v1/logs?grep=(', undefined, 400, 'usage', /grep: .*\(RE2 syntax\)/],
    ['GET', '/api/v1/logs?source=sdtout', undefined, 400, 'usage', /source: "sdtout"/],
    ['GET', `/api/v1/logs?workload=${'w'.repeat(513)}`, undefined, 400, 'usage', /workload: "w.*must be at most 512 characters/],
    ['GET', `/api/v1/logs/tail?workload=${'w'.repeat(513)}`, undefined, 400, 'usage', /workload: "w.*must be at most 512 characters/],
    ['GET', `/api/v1/logs/tail?host=a&host=${'h'.repeat(254)}`, undefined, 400, 'usage', /host\.1: "h.*must be at most 253 characters/],
    ['GET', `/api/v1/logs?workload=${'w'.repeat(512)}&host=${'h'.repeat(253)}&tail=1&after=3`, undefined, 400, 'usage', /tail or after/],
    ['GET', '/api/v1/logs?tail=1&after=3', undefined, 400, 'usage', /tail or after/],
    ['GET', '/api/v1/logs/tail?after=x', undefined, 400, 'usage', /after: "x"/],
    ['GET', '/api/v1/hosts/tpu-1', undefined, 404, 'not-found', /no host tpu-1; did you mean tpu-0\?/],
    ['GET', '/api/v1/incidents/x', undefined, 404, 'not-found', /no incident x/],
    ['POST', '/api/v1/hosts', {}, 400, 'usage', /name: is missing/],
    ['POST', '/api/v1/hosts', undefined, 400, 'usage', /name: is missing/],
    ['POST', '/api/v1/hosts', { name: 'a b' }, 400, 'usage', /name: "a b": must be a host name/],
    ['POST', '/api/v1/hosts', { name: 'a', labels: manyLabels }, 400, 'usage', /^labels: .*: must be at most 64 labels$/],
    ['POST', '/api/v1/hosts', { name: 'a', labels: { l: longLabel } }, 400, 'usage', /^labels\.l: "x+: must be at most 256 characters$/],
    [
      'POST',
      '/api/v1/hosts',
      { name: 'a', labels: { [longLabel]: '' } },
      400,
      'usage',
      /^labels\.x+: "": the name of a label must be at most 256/,
    ],
    ['POST', '/api/v1/hosts', { name: 'a', within: '5' }, 400, 'usage', /within: "5": must be a duration/],
    ['POST', '/api/v1/hosts', { name: 'a', wihtin: '5m' }, 400, 'usage', /wihtin: there is no such field; did you mean within\?/],
    ['POST', '/api/v1/hosts', 'x'.repeat(11_000), 413, 'too-large', /large/],
    ['POST', '/api/v1/workloads/tpu-0/wx/actions', { action: 'restart' }, 404, 'not-found', /did you mean w\?/],
    [
      'POST',
      '/api/v1/workloads/tpu-0/w/actions',
      { action: 'reboot' },
      400,
      'usage',
      /action: "reboot" is not one of restart, pause, resume/,
    ],
    ['POST', '/api/v1/workloads/tpu-0/w/actions', { action: 'pause', level: 'process' }, 400, 'usage', /level: is only for restart/],
    ['POST', '/api/v1/workloads/tpu-0/w/actions', { action: 'restart', for: '2h' }, 400, 'usage', /for: is only for pause/],
    ['DELETE', '/api/v1/hosts/none', undefined, 404, 'not-found', /no host none/],
  ] as const)('%s %s %o', async (method, url, body, status, code, detail) => {
    fleet.put(hostRecord('tpu-0', { workloads: [workloadStatus('w')] }));
    const more = typeof body === 'string' ? { headers: { authorization: 'Bearer operator', 'content-type': 'application/json' } } : {};
    const reply = await call(method, url, body, more);
    const problem = reply.json as unknown as ApiProblem;
    expect(problem.detail).toMatch(detail);
    expect([reply.status, problem.status, problem.code]).toEqual([status, status, code]);
    expect(problem.advice).not.toBe('');
    expect(reply.type).toBe('application/problem+json');
  });

  test('a body that is not JSON, and one of another type', async () => {
    const send = (payload: string, type: string): Promise<Reply> =>
      call('POST', '/api/v1/hosts', payload, { headers: { authorization: 'Bearer operator', 'content-type': type } });
    expect((await send('{', 'application/json')).json).toMatchObject({ status: 400, code: 'usage' });
    expect((await send('<x/>', 'application/xml')).json).toMatchObject({ status: 415, code: 'usage' });
  });

  test('a defect is a problem too', async () => {
    fleet.answer = () => Promise.reject(new Error('boom'));
    fleet.put(hostRecord('a'));
    const reply = await call('POST', '/api/v1/hosts/a/actions', { action: 'restart' });
    expect(reply.json).toMatchObject({ status: 500, code: 'internal', detail: 'boom' });
  });
});

describe('hosts and workloads', () => {
  beforeEach(() => {
    for (const [index, name] of ['c', 'a', 'b', 'a-1'].entries()) {
      const workloads = [workloadStatus('y', { phase: index === 0 ? 'held' : 'ready' }), workloadStatus('x')];
      fleet.put(hostRecord(name, { labels: { pool: index < 2 ? 'v5e' : 'v4' }, workloads }));
    }
  });

  test('are listed by name, in pages, filtered', async () => {
    expect(names(await get('hosts'))).toEqual(['a', 'a-1', 'b', 'c']);
    const first = await get('hosts?limit=3');
    expect(names(first)).toEqual(['a', 'a-1', 'b']);
    const second = await get(`hosts?limit=3&after=${String(first.json['next'])}`);
    expect([names(second), second.json['next']]).toEqual([['c'], null]);
    expect(names(await get('hosts?label=pool%3Dv5e'))).toEqual(['a', 'c']);
    expect(names(await get('hosts?host=a,b&host=c'))).toEqual(['a', 'b', 'c']);
    expect(names(await get('hosts?state=dead'))).toEqual([]);
    expect(names(await get('workloads?phase=held'))).toEqual(['y']);
  });

  test('pages of workloads hold each once', async () => {
    const seen: string[] = [];
    for (let after: string | null = ''; after !== null;) {
      const reply: Reply = await get(`workloads?limit=3${after === '' ? '' : `&after=${encodeURIComponent(after)}`}`);
      seen.push(...(reply.json['items'] as { host: string; name: string }[]).map((one) => `${one.host}/${one.name}`));
      after = reply.json['next'] as string | null;
    }
    expect(seen).toEqual(['a/x', 'a/y', 'a-1/x', 'a-1/y', 'b/x', 'b/y', 'c/x', 'c/y']);
  });

  test('one host as the contract has it', async () => {
    const reply = await get('hosts/a');
    expect(Object.keys(reply.json)).toEqual(
      expect.arrayContaining(
        'name id state stateSince reason labels bootId agentVersion lastSeenAt clockSkewMs metrics facts engine conditions workloads'.split(
          ' ',
        ),
      ),
    );
    expect(reply.json).toMatchObject({
      id: 'agent-a',
      lastSeenAt: '2026-01-01T00:00:00.000Z',
      workloads: [{ host: 'a', name: 'y' }, { name: 'x' }],
    });
  });

  test('expecting, forgetting', async () => {
    const created = await call('POST', '/api/v1/hosts', { name: 'new', labels: { pool: 'v5e' }, within: '10m' });
    expect([created.status, created.json['state']]).toEqual([201, 'expected']);
    expect(fleet.host('new')?.expectedBy).toBe(epoch + 10 * minute);
    expect((await call('POST', '/api/v1/hosts', { name: 'new', withinMs: 1000 })).status).toBe(200);
    expect((await call('DELETE', '/api/v1/hosts/new')).status).toBe(204);
    fleet.forgetting = () => Promise.reject(new RelightError('conflict', 'a is connected'));
    expect((await call('DELETE', '/api/v1/hosts/a')).json).toMatchObject({ status: 409, code: 'conflict', detail: 'a is connected' });
  });

  test('actions reach the agent, and its answer comes back', async () => {
    const pause = await call('POST', '/api/v1/workloads/a/x/actions', { action: 'pause', for: '2h', reason: 'disk' });
    expect([pause.status, pause.json]).toEqual([200, { ok: true, message: 'done' }]);
    await call('POST', '/api/v1/workloads/a/-/actions', { action: 'restart', level: 'container' });
    await call('POST', '/api/v1/hosts/b/actions', { action: 'resume' });
    expect(fleet.actions).toEqual([
      { host: 'a', action: { action: 'pause', workload: 'x', reason: 'disk', forMs: 120 * minute } },
      { host: 'a', action: { action: 'restart', level: 'container' } },
      { host: 'b', action: { action: 'resume' } },
    ]);
    fleet.answer = () => Promise.resolve({ ok: false, message: 'it is paused' });
    expect((await call('POST', '/api/v1/hosts/b/actions', { action: 'restart' })).json).toMatchObject({
      code: 'conflict',
      detail: 'it is paused',
    });
    fleet.answer = () => Promise.reject(new RelightError('action-refused', 'no'));
    expect((await call('POST', '/api/v1/hosts/b/actions', { action: 'restart' })).status).toBe(409);
    fleet.answer = () => Promise.reject(new RelightError('stage-timeout', 'no answer'));
    expect((await call('POST', '/api/v1/hosts/b/actions', { action: 'restart' })).status).toBe(504);
  });
});

describe('history', () => {
  test('events: newest first or in order, in pages, filtered', async () => {
    for (let i = 0; i < 5; i += 1) {
      const severity = i % 2 === 0 ? 'info' : 'error';
      const event = {
        at: epoch + i * minute,
        host: 'a',
        workload: 'w',
        generation: 1,
        kind: 'process.exited',
        severity,
        message: `${i}`,
        data: {},
      } as const;
      await store.commitOwnEvent(event);
    }
    clock.advance(5 * minute);
    const messages = async (query: string): Promise<string> =>
      ((await get(`events?${query}`)).json['items'] as { message: string }[]).map((event) => event.message).join('');
    expect(await messages('')).toBe('43210');
    expect(await messages('order=asc')).toBe('01234');
    expect(await messages('severity=error')).toBe('31');
    expect(await messages('kind=process.exited,host.dead&host=a&workload=w')).toBe('43210');
    expect(await messages('host=b')).toBe('');
    expect(await messages('since=2m')).toBe('43');
    expect(await messages('since=2026-01-01T00:01:00Z&until=2026-01-01T00:02')).toBe('21');
    const first = await get('events?limit=2');
    const second = await get(`events?limit=3&after=${String(first.json['next'])}`);
    expect([(second.json['items'] as unknown[]).length, second.json['next']]).toEqual([3, null]);
    expect((first.json['items'] as unknown[])[0]).toEqual({
      id: '5',
      at: '2026-01-01T00:04:00.000Z',
      receivedAt: '2026-01-01T00:04:00.000Z',
      host: 'a',
      workload: 'w',
      generation: 1,
      kind: 'process.exited',
      severity: 'info',
      message: '4',
      data: {},
    });
  });

  test('alerts, without the memory of their rules; incidents are none yet', async () => {
    const alert = {
      rule: 'HostDead',
      severity: 'critical',
      host: 'a',
      workload: null,
      startsAt: epoch,
      summary: 's',
      labels: {},
      data: { secret: 1 },
    } as const;
    await store.putAlerts([{ ...alert, id: '1', state: 'resolved', endsAt: epoch + 1 }], [], 0);
    await store.putAlerts([{ ...alert, id: '2', state: 'firing', endsAt: null }], [], 0);
    const ids = async (query: string): Promise<string[]> =>
      ((await get(`alerts?${query}`)).json['items'] as { id: string }[]).map(({ id }) => id);
    expect(await ids('')).toEqual(['2', '1']);
    expect(await ids('state=firing&rule=HostDead&severity=critical&host=a')).toEqual(['2']);
    expect(await ids('severity=warning')).toEqual([]);
    expect(await ids('limit=1')).toEqual(['2']);
    expect(await ids('limit=1&after=2')).toEqual(['1']);
    const one = ((await get('alerts')).json['items'] as object[])[0];
    expect(one).not.toHaveProperty('data');
    expect(one).toMatchObject({ startsAt: '2026-01-01T00:00:00.000Z', endsAt: null });
    expect((await get('incidents?limit=5')).json).toEqual({ items: [], next: null });
  });
});

test('logs: one JSON object a line, in pages', async () => {
  const segment = { workload: 'w', generation: 1, source: 'process', run: 'r1' };
  const lines = ['one', 'two', 'three'].map((text, i) => {
    const offset = ['', 'one\n', 'one\ntwo\n'][i]?.length ?? 0;
    return { offset, at: epoch + i, approx: i === 0, stream: 'stderr' as const, bytes: Buffer.from(text), truncated: false };
  });
  await store.commitBlock('agent', 'a', packBlock(segment, 0, 14, lines), epoch + 5);
  const read = async (query: string): Promise<Record<string, unknown>[]> => {
    const reply = await get(`logs?${query}`);
    expect([reply.status, reply.type]).toEqual([200, 'application/x-ndjson']);
    return reply.text
      .split('\n')
      .filter((text) => text !== '')
      .map((text) => JSON.parse(text) as Record<string, unknown>);
  };
  const whole = await read('');
  expect(whole.map((entry) => entry['line'])).toEqual(['one', 'two', 'three']);
  expect(whole[0]).toEqual({
    at: '2026-01-01T00:00:00.000Z',
    atApprox: true,
    receivedAt: '2026-01-01T00:00:00.005Z',
    host: 'a',
    workload: 'w',
    generation: 1,
    source: 'process',
    stream: 'stderr',
    run: 'r1',
    offset: 0,
    line: 'one',
  });
  const first = await read('limit=2');
  expect(first.map((entry) => entry['line'])).toEqual(['one', 'two']);
  const rest = await read(`limit=2&after=${String(first[1]?.['next'])}`);
  expect(rest.map((entry) => [entry['line'], entry['next']])).toEqual([['three', undefined]]);
  expect((await read('tail=1')).map((entry) => entry['line'])).toEqual(['three']);
  expect((await read('grep=^t&host=a&host=b')).map((entry) => entry['line'])).toEqual(['two', 'three']);
  expect(await read('host=b')).toEqual([]);
});

test('metrics in the text format', async () => {
  fleet.put(
    hostRecord('a"\\', { workloads: [workloadStatus('w', { restarts: { process: 3, container: 1, host: 0 } })] }),
    hostRecord('b', {
      state: 'dead',
      conditions: [{ name: 'disk-low', subject: '/', severity: 'error', since: 0, reason: '', advice: '' }],
    }),
  );
  const reply = await call('GET', '/metrics');
  expect(reply.type).toBe('text/plain; version=0.0.4; charset=utf-8');
  for (const line of [
    'relight_hosts{state="dead"} 1',
    'relight_hosts{state="suspect"} 0',
    'relight_host_condition{host="b",condition="disk-low",subject="/",severity="error"} 1',
    'relight_workloads{phase="ready"} 1',
    String.raw`relight_workload_ready{host="a\"\\",workload="w"} 1`,
    String.raw`relight_workload_restarts_total{host="a\"\\",workload="w",level="process"} 3`,
    'relight_alerts{rule="HostDead",severity="critical"} 0',
    'relight_ingest_lines_total 7',
    'relight_build_info{version="1.2.3"} 1',
  ]) {
    expect(reply.text.split('\n')).toContain(line);
  }
  const samples = reply.text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  for (const line of samples) expect(line).toMatch(/^[a-z_]+(\{([a-z]+="([^"\\\n]|\\.)*",?)+\})? [\d.e+-]+$/);
});

test.each([
  ['connected', 1],
  ['suspect', 1],
  ['disconnected', 1],
  ['unknown', 1],
  ['stopped', 0],
  ['dead', 0],
  ['rebooting', 0],
] as const)('what was ready when its host was last heard is %s: %d', async (state, ready) => {
  fleet.put(hostRecord('a', { state, workloads: [workloadStatus('w'), workloadStatus('v', { phase: 'back-off' })] }));
  const { text } = await call('GET', '/metrics');
  for (const line of [`relight_workload_ready{host="a",workload="w"} ${ready}`, 'relight_workload_ready{host="a",workload="v"} 0'])
    expect(text.split('\n')).toContain(line);
  expect(text).toContain('relight_workloads{phase="ready"} 1');
});

test('the page of a large fleet does not hold up who asks for something else meanwhile', async () => {
  fleet.put(...Array.from({ length: 300 }, (_, index) => hostRecord(`h${index}`, { workloads: [workloadStatus('w')] })));
  // Each look at the clock is 5 ms later: the page is a second of work.
  let elapsed = 0;
  clock.monotonic = () => (elapsed += 5);
  const order: string[] = [];
  const [page] = await Promise.all([
    call('GET', '/metrics').finally(() => order.push('metrics')),
    get('hosts?limit=1').finally(() => order.push('hosts')),
  ]);
  expect(page.text.split('\n').filter((line) => line.startsWith('relight_workload_ready{'))).toHaveLength(300);
  expect(order).toEqual(['hosts', 'metrics']);
});

test('openapi.json describes every route, with what validates it', async () => {
  const reply = await get('openapi.json');
  const { paths, components } = reply.json as {
    paths: Record<string, Record<string, { parameters: object[]; requestBody?: unknown }>>;
    components: { schemas: object };
  };
  expect(Object.keys(paths).toSorted()).toEqual(
    [
      'alerts',
      'audit',
      'events',
      'hosts',
      'hosts/{name}',
      'hosts/{name}/actions',
      'incidents',
      'incidents/{id}',
      'logs',
      'logs/tail',
      'stream',
      'workloads',
      'workloads/{host}/{workload}/actions',
    ].map((path) => `/api/v1/${path}`),
  );
  expect(paths['/api/v1/events']?.['get']?.parameters).toContainEqual({
    name: 'limit',
    in: 'query',
    required: false,
    description: 'Items of a page.',
    schema: { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
  });
  expect(Object.keys(components.schemas).toSorted()).toEqual([
    'Alert',
    'AuditEntry',
    'Event',
    'Host',
    'Incident',
    'LogEntry',
    'Problem',
    'Workload',
  ]);
  const references = [...reply.text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map((match) => match[1]);
  expect(references.length).toBeGreaterThan(0);
  for (const name of references) expect(components.schemas).toHaveProperty(name ?? '');
});
