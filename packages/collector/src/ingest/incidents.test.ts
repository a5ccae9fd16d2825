/** Incidents from an agent's socket to the operator's API, over a real collector. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { ApiEvent, ApiIncident } from '@relight/shared/api';
import { systemClock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { exampleIncident, incidentStart } from '../../../../test/support/incidents.ts';
import { createCollector, type Collector, type CollectorOptions } from '../app.ts';
import { readConfig } from '../config.ts';
import { openForWriting } from '../store/database.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import { tokenWrites } from '../store/token-store.ts';
import { AgentClient } from './agent-client.ts';

let dataDir: string;
let collector: Collector;
let url: string;
let agentToken: string;
let operatorToken: string;
const clients: AgentClient[] = [];

async function start(more: Partial<CollectorOptions> = {}): Promise<void> {
  const config = readConfig(null, [{ listen: '127.0.0.1:0', dataDir }]);
  collector = await createCollector({ config, clock: systemClock, logger: pino({ level: 'silent' }), version: 'test', ...more });
  ({ url } = await collector.listen());
}

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-incidents-'));
  await start();
  const db = openForWriting(dataDir);
  agentToken = tokenWrites(db).createToken('agent', null, 1).token;
  operatorToken = tokenWrites(db).createToken('operator', null, 1).token;
  db.close();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate();
  await collector.close();
  rmSync(dataDir, { recursive: true });
});

async function connected(host = 'h1'): Promise<AgentClient> {
  const client = new AgentClient(url, agentToken);
  clients.push(client);
  const welcome = await client.hello({ host, agentId: `agent-of-${host}` });
  expect(welcome.incidents).toBe(true);
  return client;
}

async function ask(path: string): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${operatorToken}` } });
  return { status: response.status, text: await response.text() };
}
const api = async <T>(path: string): Promise<T> => JSON.parse((await ask(`/api/v1/${path}`)).text) as T;

const piece = (name: string, text: string): object => ({
  type: 'incident-evidence',
  incident: exampleIncident().id,
  item: { name, title: name, at: 1, bytes: text.length },
  body: zstdCompressSync(Buffer.from(text)).toString('base64'),
});

it('is acknowledged after the commit, listed, and shown with what its evidence says', async () => {
  const client = await connected();
  const incident = exampleIncident();
  client.send({ type: 'incident', incident });
  expect((await client.next('ack')).incident).toEqual({ id: incident.id, revision: 3 });
  client.send({ type: 'incident', incident: { ...incident, revision: 2 } });
  expect((await client.next('ack')).incident).toEqual({ id: incident.id, revision: 2 });
  client.send(piece('log:process', 'last words'));
  expect((await client.next('ack')).incident).toEqual({ id: incident.id, evidence: 'log:process' });

  const { items, next } = await api<{ items: ApiIncident[]; next: string | null }>(
    'incidents?host=h1&kind=process-oom&state=closed&severity=error',
  );
  expect(next).toBeNull();
  expect(items).toMatchObject([
    { id: incident.id, host: 'h1', workload: 'ray', openedAt: '2026-01-31T12:00:00.000Z', closedAt: '2026-01-31T12:00:01.200Z' },
  ]);
  expect(items[0]?.evidence[0]).not.toHaveProperty('text');
  const one = await api<ApiIncident>('incidents/20260131-12');
  expect(one.evidence).toMatchObject([{ name: 'log:process', text: 'last words' }]);
  expect(one.timeline).toHaveLength(4);
  const metrics = (await ask('/metrics')).text;
  for (const line of [
    'relight_incidents_closed_total{code="process-oom",level="container"} 1',
    'relight_recoveries_total{hand="no"} 1',
    'relight_incident_recovery_seconds_count 1',
    'relight_incident_detection_seconds_sum 0.5',
  ])
    expect(metrics).toContain(`${line}\n`);
});

it('pages; an abbreviation that fits two hosts asks for more', async () => {
  for (const host of ['h1', 'h2']) {
    const client = await connected(host);
    client.send({ type: 'incident', incident: exampleIncident() });
    await client.next('ack');
  }
  const first = await api<{ items: ApiIncident[]; next: string }>('incidents?limit=1');
  const second = await api<{ items: ApiIncident[]; next: string | null }>(`incidents?limit=1&after=${encodeURIComponent(first.next)}`);
  expect([...first.items, ...second.items].map(({ host }) => host).toSorted()).toEqual(['h1', 'h2']);
  expect(second.next).toBeNull();
  expect(await ask('/api/v1/incidents/20260131')).toMatchObject({ status: 409, text: expect.stringContaining('(h2)') as string });
  expect(await ask('/api/v1/incidents/20260131?host=h2')).toMatchObject({ status: 200 });
  expect(await ask('/api/v1/incidents?level=planet')).toMatchObject({ status: 400 });
});

it('one that its agent has forgotten is closed for everybody who watches, too', async () => {
  const client = await connected();
  const open = { closedAt: null, timeToRecoverMs: null, revision: 1 };
  const [left, next] = [
    exampleIncident(open),
    exampleIncident({ ...open, id: '20260131-120100-x7k2m9', openedAt: incidentStart + 60_000 }),
  ];
  const stream = await fetch(`${url}/api/v1/stream`, { headers: { authorization: `Bearer ${operatorToken}` } });
  const seen = (async (): Promise<string> => {
    let text = '';
    for await (const piece of stream.body ?? []) {
      text += Buffer.from(piece as Uint8Array).toString();
      const line = text.split('\n').find((one) => one.includes('incident.closed'));
      if (line !== undefined) return line;
    }
    return '';
  })();
  for (const incident of [left, next]) {
    client.send({ type: 'incident', incident });
    await client.next('ack');
  }
  expect(await seen).toContain(`incident ${left.id} is over, for its agent has begun ${next.id} without knowing of it: ${left.cause}`);
  expect(await ask('/metrics')).toMatchObject({ text: expect.stringMatching(/^relight_incidents_closed_total\{.*\} 1$/m) as string });
  const { items } = await api<{ items: ApiEvent[] }>('events?kind=incident.closed');
  expect(items).toMatchObject([{ host: 'h1', data: { incident: left.id, timeToRecoverMs: null } }]);
});

it('a store that fails is tried again, and events do not wait behind it', async () => {
  await collector.close();
  let failures = 0;
  const wrapStore = (store: SqliteStore): SqliteStore => ({
    ...store,
    async commitIncident(...args) {
      failures += 1;
      if (failures === 1) throw new RelightError('store-failed', 'database or disk is full');
      return store.commitIncident(...args);
    },
  });
  await start({ wrapStore });
  const client = await connected();
  client.send({ type: 'incident', incident: exampleIncident() });
  client.sendEvents(1, 1);
  expect((await client.next('ack')).events).toEqual({ epoch: 'epoch-1', seq: 1 });
  expect((await client.next('ack')).incident).toEqual({ id: exampleIncident().id, revision: 3 });
  expect(failures).toBe(2);
});

it('evidence that is no zstd, or unpacks to more than it may, harms nobody', async () => {
  const client = await connected();
  const evidence = ['bomb', 'noise'].map((name) => ({ name, title: name, at: 1, bytes: 5 }));
  client.send({ type: 'incident', incident: exampleIncident({ evidence }) });
  await client.next('ack');
  client.send(piece('bomb', 'x'.repeat(64 * 1024 * 1024)));
  await client.next('ack');
  client.send({ ...piece('noise', ''), body: Buffer.from('not zstd').toString('base64') });
  await client.next('ack');
  const { evidence: shown } = await api<ApiIncident>(`incidents/${exampleIncident().id}`);
  expect(shown.map(({ text }) => text)).toEqual([null, null]);
});

it('that is open ends with its host: nobody else could close it', async () => {
  const client = await connected();
  client.send({ type: 'incident', incident: exampleIncident({ closedAt: null, timeToRecoverMs: null }) });
  await client.next('ack');
  // A busy machine is no failure: more than the second that a poll has by itself.
  await vi.waitFor(async () => expect((await ask('/metrics')).text).toContain('relight_incidents_open{code="process-oom"} 1'), {
    timeout: 60_000,
    interval: 20,
  });
  client.socket.close(1000);
  const forget = (): Promise<number> =>
    fetch(`${url}/api/v1/hosts/h1`, { method: 'DELETE', headers: { authorization: `Bearer ${operatorToken}` } }).then(
      ({ status }) => status,
    );
  await vi.waitFor(async () => expect(await forget()).toBeLessThan(300), { timeout: 60_000, interval: 20 });
  expect((await ask('/metrics')).text).not.toContain('relight_incidents_open{');
  expect(await api<{ items: ApiIncident[] }>('incidents?host=h1')).toMatchObject({
    items: [{ id: exampleIncident().id, closedAt: expect.any(String) as string, timeToRecoverMs: null }],
  });
  await vi.waitFor(
    async () => expect((await ask('/api/v1/events?host=h1&kind=incident.closed')).text).toContain('its host is known no more'),
    {
      timeout: 60_000,
      interval: 20,
    },
  );
});
