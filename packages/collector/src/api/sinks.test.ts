/** POST /sinks/test: each test is a message to people, so it is limited, and who is too early learns when to ask again. */
import { ManualClock } from '@relight/shared/manual-clock';
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { epoch, FakeFleet } from '../../../../test/support/fleet-records.ts';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import { waitFor } from '../../../../test/support/wait.ts';
import type { SinkReport } from '../alerts/sinks/sink-book.ts';
import { Bus } from '../bus.ts';
import { registerApi } from './register.ts';

let app: FastifyInstance;
let clock: ManualClock;
let posted: number[];
/** Absent: answered at once. */
let answer: (() => Promise<void>) | undefined;

const report = (name: string): SinkReport => ({
  name,
  type: 'webhook',
  state: 'ok',
  failingSince: null,
  reason: null,
  deliveredAt: null,
  waiting: 0,
  waitingSince: null,
});

beforeEach(async () => {
  const store = new MemoryStore();
  store.addToken('operator', 'operator');
  clock = new ManualClock(epoch);
  posted = [];
  answer = undefined;
  const sinks = {
    sinks: () => [report('http://one.example/'), report('http://two.example/')],
    async test(places: readonly number[]) {
      posted.push(...places);
      await answer?.();
      return places.map(() => ({ delivered: true, reason: null, tookMs: 1 }));
    },
  };
  app = Fastify();
  registerApi(app, { store, bus: new Bus(), fleet: new FakeFleet(), clock, version: '1.2.3', sinks });
  await app.ready();
});
afterEach(() => app.close());

const ask = (sink?: string): Promise<LightMyRequestResponse> =>
  app.inject({
    method: 'POST',
    url: '/api/v1/sinks/test',
    headers: { authorization: 'Bearer operator' },
    payload: sink === undefined ? {} : { sink },
  });

test('six a minute for each sink, then 429 with the seconds until the next one; another sink is another count', async () => {
  for (let i = 0; i < 6; i += 1) {
    expect((await ask('1')).statusCode).toBe(200);
    clock.advance(1_000);
  }
  const refused = await ask('1');
  expect([refused.statusCode, refused.headers['retry-after']]).toEqual([429, '54']);
  expect(refused.json()).toMatchObject({ code: 'too-many-requests', advice: 'Nothing was posted. Ask again in 54 s.' });
  expect(posted).toEqual([0, 0, 0, 0, 0, 0]);
  expect((await ask('2')).statusCode).toBe(200);
  clock.advance(53_999);
  expect((await ask('1')).headers['retry-after']).toBe('1');
  clock.advance(1);
  expect((await ask('1')).statusCode).toBe(200);
  expect(posted).toEqual([0, 0, 0, 0, 0, 0, 1, 0]);
});

test('one at a time for each sink', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  answer = () => promise;
  const first = ask('1');
  await waitFor(() => posted.length > 0, { what: 'the first one to be posted' });
  expect(posted).toEqual([0]);
  const second = await ask('1');
  expect([second.statusCode, second.headers['retry-after']]).toEqual([429, '10']);
  expect(posted).toEqual([0]);
  resolve();
  expect((await first).statusCode).toBe(200);
  expect((await ask('1')).statusCode).toBe(200);
});

test('of all sinks each has its own answer: one that may not be tested keeps no other from it, and where none may, nothing is posted', async () => {
  for (let i = 0; i < 5; i += 1) expect((await ask('1')).statusCode).toBe(200);
  const { promise, resolve } = Promise.withResolvers<void>();
  answer = () => promise;
  const running = ask('1');
  await waitFor(() => posted.length === 6, { what: 'the sixth to be posted' });
  answer = undefined;
  const all = await ask();
  expect(all.statusCode).toBe(200);
  const reason = 'nothing was posted: a sink is tested by one at a time, and at most 6 times a minute; ask again in 60 s';
  expect(all.json<{ items: unknown }>().items).toEqual([
    { position: 1, name: 'http://one.example/', type: 'webhook', delivered: false, reason, tookMs: 0, retryAfterS: 60 },
    { position: 2, name: 'http://two.example/', type: 'webhook', delivered: true, reason: null, tookMs: 1, retryAfterS: null },
  ]);
  expect(posted).toEqual([0, 0, 0, 0, 0, 0, 1]);
  resolve();
  expect((await running).statusCode).toBe(200);
  for (let i = 0; i < 5; i += 1) expect((await ask()).statusCode).toBe(200);
  clock.advance(1_000);
  const none = await ask();
  expect([none.statusCode, none.headers['retry-after'], posted.length]).toEqual([429, '59', 12]);
});

test('a test that fails is over as well', async () => {
  answer = () => Promise.reject(new Error('the store is closed'));
  expect((await ask('1')).statusCode).toBe(500);
  answer = undefined;
  expect((await ask('1')).statusCode).toBe(200);
});
