/** Somebody who has stolen the token of one host, and nothing else: what he can do to that host and to others, through the door of all agents. */
import { systemClock } from '@relight/shared/clock';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { refusalsMax } from '../access/refusal-book.ts';
import { createCollector, type Collector, type CollectorOptions } from '../app.ts';
import { waitFor } from '../../../../test/support/wait.ts';
import { readConfig } from '../config.ts';
import { openForReading, openForWriting } from '../store/database.ts';
import { eventReads } from '../store/events-store.ts';
import { tokenWrites } from '../store/token-store.ts';
import { AgentClient } from './agent-client.ts';

let dataDir: string;
let collector: Collector;
let url: string;
let operator: string;
let warnings: string[];
const clients: AgentClient[] = [];

async function start(more: Partial<CollectorOptions> = {}): Promise<void> {
  const config = readConfig({ file: 'c.yaml', text: 'version: 1\ntrusted_proxies: [127.0.0.1]\n' }, [{ listen: '127.0.0.1:0', dataDir }]);
  const logger = pino({ level: 'warn' }, { write: (line) => void warnings.push((JSON.parse(line) as { msg: string }).msg) });
  collector = await createCollector({ config, clock: systemClock, logger, version: 'test', ...more });
  ({ url } = await collector.listen());
  operator = tokenOf(null, 'operator');
}
function tokenOf(host: string | null, kind: 'agent' | 'operator' = 'agent'): string {
  const db = openForWriting(dataDir);
  const { token } = tokenWrites(db).createToken(kind, host, 1);
  db.close();
  return token;
}
/** As `relight audit` has them: address and reason. */
async function refusals(): Promise<string[]> {
  const headers = { authorization: `Bearer ${operator}` };
  const answer = await fetch(`${url}/api/v1/audit?outcome=refused&limit=500`, { headers });
  const { items } = (await answer.json()) as { items: { address: string; detail: { reason: string } }[] };
  return items.map(({ address, detail }) => `${address}: ${detail.reason}`);
}
function dial(token: string, address: string): AgentClient {
  const client = new AgentClient(url, token, undefined, { 'x-forwarded-for': address });
  clients.push(client);
  return client;
}
/** It comes from an address of its own, is let in, and is heard. */
async function welcome(host: string, token: string, address: string): Promise<AgentClient> {
  const client = dial(token, address);
  await client.hello({ host, agentId: `agent-of-${host}`, machineId: `machine-of-${host}` });
  return client;
}

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-stolen-'));
  warnings = [];
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate();
  await collector.close();
  rmSync(dataDir, { recursive: true });
});

it('connections that say no hello, from as many networks as he likes, take no place of others, nor keep the host itself out', async () => {
  await start({ admission: { perSecond: 1_000, handshakesMax: 30 } });
  const stolen = tokenOf('robbed');
  const silent: AgentClient[] = [];
  for (let index = 0; index < 60; index += 1) {
    const client = dial(stolen, `203.0.113.${index % 4}`);
    silent.push(client);
    expect(await client.upgrade()).toMatchObject({ status: 101 });
  }
  await waitFor(() => silent.filter(({ closed }) => closed === null).length === 20, { what: 'those too many to be ended' });
  expect(silent.findIndex(({ closed }) => closed === null)).toBe(40);
  await welcome('honest', tokenOf('honest'), '198.51.100.1');
  await welcome('robbed', stolen, '198.51.100.2');
  await waitFor(async () => (await refusals()).length > 0, { what: 'the audit log to say so' });
  for (const told of await refusals())
    expect(told).toMatch(/^203\.0\.113\.\d: more than 20 connections at once have not said hello with the token of robbed$/);
  expect((await refusals()).length).toBeLessThanOrEqual(40);
});

it('dialling too often is answered as what it is, written down, and told in the log, so often and no more', async () => {
  await start();
  const stolen = tokenOf('robbed');
  const answers = await Promise.all(Array.from({ length: 60 }, () => dial(stolen, '203.0.113.1').upgrade()));
  expect(answers.find(({ status }) => status !== 101)).toMatchObject({
    status: 503,
    retryAfter: expect.stringMatching(/^\d+$/),
    problem: {
      code: 'overloaded',
      detail: 'somebody comes too often with the token of robbed',
      advice: expect.stringContaining('revoke it'),
    },
  });
  const told = '203.0.113.1: somebody comes too often with the token of robbed';
  await waitFor(async () => (await refusals()).filter((one) => one === told).length === refusalsMax, { what: 'the audit log to say so' });
  await waitFor(() => warnings.length === refusalsMax, { what: 'the log to say so' });
  expect(warnings[0]).toContain('an agent at 203.0.113.1 was refused: somebody comes too often with the token of robbed');
});

it('dialling from as many networks as he likes leaves others what there is for all, and lets the host in from where it was', async () => {
  await start({ admission: { perSecond: 200, handshakesMax: 1_000 } });
  const stolen = tokenOf('robbed');
  (await welcome('robbed', stolen, '198.51.100.2')).socket.terminate();
  const began = performance.now();
  const answers = await Promise.all(Array.from({ length: 250 }, (_, index) => dial(stolen, `203.0.113.${index}`).upgrade()));
  const mayBe = 100 + 10 * Math.ceil((performance.now() - began) / 1_000);
  const refused = answers.filter(({ status }) => status !== 101);
  expect(answers.length - refused.length).toBeLessThanOrEqual(mayBe);
  expect(refused[0]).toMatchObject({ status: 503, retryAfter: expect.stringMatching(/^\d+$/) });
  await welcome('honest', tokenOf('honest'), '198.51.100.1');
  await welcome('robbed', stolen, '198.51.100.2');
});

describe('what no pace holds back', () => {
  it.each(['ping', 'pong'] as const)(
    '%ss without end end the connection, which is told; as many as an agent may send do not',
    async (frame) => {
      await start();
      const stolen = tokenOf('robbed');
      const honest = await welcome('honest', tokenOf('honest'), '198.51.100.1');
      const thief = dial(stolen, '203.0.113.1');
      await thief.upgrade();
      for (let sent = 0; sent < 1_000; sent += 1) thief.socket[frame]();
      await thief.end();
      await waitFor(async () => (await refusals()).length > 0, { what: 'the audit log to say so' });
      expect(await refusals()).toEqual(['203.0.113.1: its agent sent more than 100 pings and pongs within a second']);
      // It is in the store before this process hears that it is.
      await waitFor(() => warnings.length > 0, { what: 'the log to say so' });
      expect(warnings).toEqual([expect.stringContaining('more than 100 pings and pongs')]);
      for (let sent = 0; sent < 40; sent += 1) honest.socket[frame]();
      honest.sendEvents(1, 1);
      expect(await honest.next('ack')).toMatchObject({ events: { seq: 1 } });
    },
  );

  it('who was let in and does that is told of in the events of the host', async () => {
    await start();
    const hostile = await welcome('robbed', tokenOf('robbed'), '198.51.100.1');
    for (let sent = 0; sent < 1_000; sent += 1) hostile.socket.pong();
    await hostile.end();
    const told = (): string[] => {
      const db = openForReading(dataDir);
      const events = eventReads(db).events({ limit: 10, host: 'robbed', kinds: ['agent.disconnected'] });
      db.close();
      return events.map(({ message }) => message);
    };
    await waitFor(() => told().length > 0, { what: 'the event' });
    expect(told()).toEqual([expect.stringContaining('its agent sent more than 100 pings and pongs within a second')]);
  });

  it('nor does it help him not to hear that his connection was ended', async () => {
    await start();
    const thief = dial(tokenOf('robbed'), '203.0.113.1');
    await thief.upgrade();
    thief.socket.pause();
    thief.socket.send('nonsense');
    for (let sent = 0; sent < 1_000; sent += 1) thief.socket.send('{"type":"never heard of"}');
    await waitFor(async () => (await refusals()).length > 1, { what: 'the audit log to say so' });
    expect((await refusals()).toSorted()).toEqual([
      '203.0.113.1: its agent sent more than 100 frames after its connection was ended within a second',
      expect.stringContaining('no hello that can be read'),
    ]);
  });

  it('a message in a thousand pieces is taken, one without end is not', async () => {
    await start();
    const client = await welcome('robbed', tokenOf('robbed'), '198.51.100.1');
    const event = { seq: 1, at: 1, kind: 'host.notice', severity: 'info', message: 'm' };
    const text = JSON.stringify({ type: 'events', epoch: 'epoch-1', events: [event] });
    for (let index = 0; index < 1_000; index += 1) client.socket.send(text.charAt(index), { fin: false });
    client.socket.send(text.slice(1_000));
    expect(await client.next('ack')).toMatchObject({ events: { seq: 1 } });
    for (let index = 0; index < 1_100; index += 1) client.socket.send('', { fin: false });
    expect(await client.end()).toMatchObject({ code: 1008 });
  });
});
