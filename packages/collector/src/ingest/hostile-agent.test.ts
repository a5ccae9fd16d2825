/** An agent of a host that somebody else has taken over: what it can do to others, through the same door as every agent. */
import { systemClock, type Clock } from '@relight/shared/clock';
import { packBlock } from '@relight/shared/log-block';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCollector, type Collector, type CollectorOptions } from '../app.ts';
import { waitFor } from '../../../../test/support/wait.ts';
import { readConfig } from '../config.ts';
import { openForReading, openForWriting } from '../store/database.ts';
import { eventReads } from '../store/events-store.ts';
import { hostReads } from '../store/hosts-store.ts';
import { openLogReader } from '../store/logs/reader.ts';
import { tokenWrites } from '../store/token-store.ts';
import { AgentClient } from './agent-client.ts';

let dataDir: string;
let collector: Collector;
let url: string;
let warnings: string[];
const clients: AgentClient[] = [];
/** How far the collector's monotonic clock is ahead: an allowance is filled up by time, and how long a slow disk takes must not be what fills it. */
let aheadMs: number;
const clock: Clock = { ...systemClock, monotonic: () => systemClock.monotonic() + aheadMs };

function tokenOf(host: string): string {
  const db = openForWriting(dataDir);
  const { token } = tokenWrites(db).createToken('agent', host, 1);
  db.close();
  return token;
}
async function start(more: Partial<CollectorOptions> = {}): Promise<(host: string) => Promise<AgentClient>> {
  const config = readConfig(null, [{ listen: '127.0.0.1:0', dataDir }]);
  const logger = pino({ level: 'warn' }, { write: (line) => void warnings.push((JSON.parse(line) as { msg: string }).msg) });
  collector = await createCollector({ config, clock, logger, version: 'test', ...more });
  ({ url } = await collector.listen());
  return async (host) => {
    const client = new AgentClient(url, tokenOf(host));
    clients.push(client);
    await client.hello({ host, agentId: `agent-of-${host}`, machineId: `machine-of-${host}` });
    return client;
  };
}
function stored(host: string, kind: 'check.failed' | 'host.notice' | 'agent.connected' | 'agent.disconnected') {
  const db = openForReading(dataDir);
  try {
    return eventReads(db).events({ limit: 1_000, host, kinds: [kind] });
  } finally {
    db.close();
  }
}
function hostRecord(host: string) {
  const db = openForReading(dataDir);
  try {
    return hostReads(db)
      .hosts()
      .find(({ name }) => name === host);
  } finally {
    db.close();
  }
}
const storedEvents = (host: string) => stored(host, 'check.failed');
const storedNotices = () => stored('hostile', 'host.notice');
const failed = (seq: number, more: object = {}) => ({
  seq,
  at: 1_000,
  kind: 'check.failed',
  severity: 'info',
  message: `m${seq}`,
  ...more,
});

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-hostile-'));
  warnings = [];
  aheadMs = 0;
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate();
  await collector.close();
  rmSync(dataDir, { recursive: true });
});

it('facts that are nested too deeply are left out, and keep nobody waiting', async () => {
  const dial = await start();
  const [hostile, honest] = [await dial('hostile'), await dial('honest')];
  for (const [index, levels] of [33, 1_000, 1_800, 2_400, 3_000].entries()) {
    const data = `{"x":${'['.repeat(levels)}${']'.repeat(levels)}}`;
    const event = JSON.stringify(failed(index + 1)).replace('}', `,"data":${data}}`);
    hostile.socket.send(`{"type":"events","epoch":"epoch-1","events":[${event}]}`);
    honest.sendEvents(index + 1, index + 1);
    expect(await hostile.next('ack')).toMatchObject({ events: { seq: index + 1 } });
    expect(await honest.next('ack')).toMatchObject({ events: { seq: index + 1 } });
  }
  expect(storedEvents('hostile').map(({ data }) => data)).toEqual(Array.from({ length: 5 }, () => ({ leftOut: 'more than 32 levels' })));
});

it('names are as long as names are, and words for people are cut', async () => {
  const dial = await start();
  const long = 'x'.repeat(5_000);
  const segment = { workload: 'w', generation: 1, source: 'process', run: '1' };
  const gap = { type: 'gap', segment, from: 0, to: 1, reason: 'r', at: 1 };
  const event = { type: 'events', epoch: 'e', events: [failed(1)] };
  for (const message of [
    { ...event, events: [failed(1, { workload: long })] },
    { ...event, epoch: long },
    { ...gap, segment: { ...segment, workload: long } },
    { ...gap, segment: { ...segment, run: long } },
    { ...gap, segment: { ...segment, source: `file:${long}` } },
  ]) {
    const hostile = await dial('hostile');
    hostile.send(message);
    expect(await hostile.end()).toMatchObject({ code: 4400 });
  }
  const hostile = await dial('hostile');
  hostile.send({ ...gap, reason: long });
  await hostile.next('ack');
  const logs = openLogReader(dataDir);
  const [piece] = logs.logPieces({}, { limit: 1 });
  logs.close();
  expect(piece).toMatchObject({ kind: 'gap', gap: { reason: 'x'.repeat(1_000) } });
  expect(hostile.closed).toBeNull();
});

describe('more events than a host may send', () => {
  it('wait for their turn, lose nothing, and are told of once; others are taken at once', async () => {
    const dial = await start({ allowance: { burstBytes: 2_000, bytesPerSecond: 100 } });
    const [hostile, honest] = [await dial('hostile'), await dial('honest')];
    hostile.send({ type: 'events', epoch: 'epoch-1', events: [failed(1, { message: 'x'.repeat(4_000) })] });
    await hostile.next('ack');
    hostile.send({ type: 'events', epoch: 'epoch-1', events: [failed(2)] });
    hostile.send({ type: 'events', epoch: 'epoch-1', events: [failed(3)] });
    honest.sendEvents(1, 1);
    await honest.next('ack');
    await waitFor(() => warnings.length > 0, { what: 'it to be told to wait' });
    expect(storedEvents('hostile').map(({ message }) => message.slice(0, 2))).toEqual(['xx']);
    aheadMs += 60_000;
    expect(await hostile.next('ack')).toMatchObject({ events: { seq: 2 } });
    expect(await hostile.next('ack')).toMatchObject({ events: { seq: 3 } });
    expect(storedEvents('hostile').map(({ message }) => message.slice(0, 2))).toEqual(['xx', 'm2', 'm3']);
    expect(warnings).toEqual([expect.stringContaining('hostile sends more events')]);
    const [notice] = await waitFor(() => storedNotices().length > 0 && storedNotices(), { what: 'the notice' });
    expect(notice).toMatchObject({ severity: 'warning', data: { condition: 'over-allowance', state: 'raised' } });
  });

  it('and so do further segments of logs; those that have begun go on', async () => {
    const dial = await start({ allowance: { burstBytes: 5_000, bytesPerSecond: 100 } });
    const hostile = await dial('hostile');
    const line = (run: string, offset: number) =>
      packBlock({ workload: 'w', generation: 1, source: 'process', run }, offset, offset + 2, [
        { offset, at: 1_000, approx: false, stream: 'stdout', bytes: Buffer.from('x'), truncated: false },
      ]);
    const acked = async () => (await hostile.next('ack')).segments.map(({ segment, offset }) => `${segment.run} ${offset}`);
    hostile.sendBlock(line('1', 0));
    expect(await acked()).toEqual(['1 2']);
    hostile.sendBlock(line('2', 0));
    expect(await acked()).toEqual(['2 2']);
    hostile.sendBlock(line('1', 2));
    expect(await acked()).toEqual(['1 4']);
    expect(warnings).toEqual([]);
    hostile.sendBlock(line('3', 0));
    await waitFor(() => warnings.length > 0, { what: 'it to be told to wait' });
    aheadMs += 60_000;
    expect(await acked()).toEqual(['3 2']);
    expect(warnings).toEqual([expect.stringContaining('hostile sends more')]);
  });
});

describe('more messages than a host may send', () => {
  const heartbeat = (index: number) => ({
    type: 'heartbeat',
    at: Date.now(),
    engine: 'up',
    workloads: [],
    conditions: [{ name: 'n', subject: '', severity: 'info', since: 1, reason: `heartbeat ${index}`, advice: 'x'.repeat(2_000) }],
  });
  const nonsense = (index: number) => ({ type: 'never heard of', index, list: 'x'.repeat(2_000) });

  it.each([
    ['heartbeats', heartbeat],
    ['what nobody understands', nonsense],
  ])('%s are not read at once; others are', async (_, message) => {
    // Of 200 messages some ten are handled at once, and the next one in an hour.
    const dial = await start({ pace: { burstBytes: 200_000, bytesPerSecond: 5, waitMax: Infinity } });
    const [hostile, honest] = [await dial('hostile'), await dial('honest')];
    for (let index = 0; index < 200; index += 1) hostile.send(message(index));
    hostile.sendEvents(1, 1);
    honest.sendEvents(1, 1);
    expect(await honest.next('ack')).toMatchObject({ events: { seq: 1 } });
    honest.send(heartbeat(0));
    honest.sendEvents(2, 2);
    expect(await honest.next('ack')).toMatchObject({ events: { seq: 2 } });
    expect(hostile.closed).toBeNull();
    expect(storedNotices()).toEqual([]);
    // Coming again is no way around it.
    const again = await dial('hostile');
    again.sendEvents(1, 1);
    honest.sendEvents(3, 3);
    expect(await honest.next('ack')).toMatchObject({ events: { seq: 3 } });
    expect(storedNotices()).toEqual([]);
  });

  it('they wait for their turn, and lose nothing', async () => {
    const dial = await start({ pace: { burstBytes: 200_000, bytesPerSecond: 1_000_000, waitMax: 4_000 } });
    const hostile = await dial('hostile');
    const began = performance.now();
    for (let index = 0; index < 100; index += 1) hostile.send(heartbeat(index));
    hostile.sendEvents(1, 1);
    hostile.send({ type: 'goodbye', reason: 'stopped' });
    hostile.socket.close(1000);
    await waitFor(() => hostRecord('hostile')?.state === 'stopped', { what: 'the goodbye to be read' });
    // 100 heartbeats of 18 KB, less what is read at once.
    expect(performance.now() - began).toBeGreaterThan(1_400);
    expect(hostRecord('hostile')).toMatchObject({ conditions: [{ reason: 'heartbeat 99' }] });
    expect(storedNotices().map(({ message }) => message)).toContain('notice 1');
  });
});

it.each([
  ['and waits for the end', false],
  ['and has left', true],
])('who says goodbye behind what is read later %s is not dead when the collector stops meanwhile', async (_, leaves) => {
  const dial = await start({ pace: { burstBytes: 200_000, bytesPerSecond: 5, waitMax: Infinity } });
  const [slow, honest] = [await dial('slow'), await dial('honest')];
  for (let seq = 1; seq <= 50; seq += 1) slow.sendEvents(seq, seq);
  slow.send({ type: 'goodbye', reason: 'stopped' });
  if (leaves) slow.socket.close(1000);
  // Where its leaving is read along with the rest, it is answered before anything is stored: then no acknowledgement comes any more.
  await slow.next('ack').catch((error: unknown) => {
    if (!leaves || !String(error).includes('closed with 1000')) throw error;
  });
  honest.sendEvents(1, 1);
  await honest.next('ack');
  expect(hostRecord('slow')?.state).toBe('connected');
  await collector.close();
  expect(hostRecord('slow')?.state).toBe('stopped');
  expect(hostRecord('honest')?.state).toBe('connected');
  await start();
});

it('goodbyes without end are one, and nobody waits behind them', async () => {
  const dial = await start();
  const hostile = await dial('hostile');
  for (let i = 0; i < 20_000; i += 1) hostile.socket.send('{"type":"goodbye","reason":"stopped"}');
  await dial('honest');
  await waitFor(() => stored('honest', 'agent.connected').length === 1, { what: 'the news of the honest host' });
  expect(await hostile.end()).toEqual({ code: 1000, reason: 'goodbye' });
  expect(stored('hostile', 'agent.disconnected')).toHaveLength(1);
});

it('who does not read his answers is sent away before they fill the memory', async () => {
  const dial = await start();
  const hostile = await dial('hostile');
  const segment = { workload: 'w', generation: 1, source: `file:${'x'.repeat(1_000)}`, run: '1' };
  const block = packBlock(segment, 0, 2, [
    { offset: 0, at: 1_000, approx: false, stream: 'stdout', bytes: Buffer.from('x'), truncated: false },
  ]);
  hostile.sendBlock(block);
  await hostile.next('ack');
  hostile.socket.pause();
  // Each is there already, so that it costs nothing, and is answered with a kilobyte; more of them than fit into 8 MiB and what the kernel takes.
  const gone = () => hostRecord('hostile')?.state === 'disconnected';
  for (let i = 0; i < 100 && !gone(); i += 1) {
    for (let j = 0; j < 500; j += 1) hostile.sendBlock(block);
    await waitFor(() => hostile.socket.bufferedAmount === 0 || gone(), { what: 'the blocks to be taken' });
  }
  await waitFor(gone, { what: 'the connection to end' });
  expect(hostRecord('hostile')?.reason).toBe('its agent did not read what it was sent, until 8.0 MiB waited');
  expect(warnings).toEqual([expect.stringMatching(/^the connection of hostile at 127\.0\.0\.1 was ended: its agent did not read/)]);
  await dial('honest');
});

it('who dials without end is let in so often and no more, and keeps nobody out', async () => {
  const dial = await start({ admission: { perSecond: 40, handshakesMax: 100 } });
  const token = tokenOf('hostile');
  const answers = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const client = new AgentClient(url, token);
      clients.push(client);
      return client.upgrade();
    }),
  );
  expect(answers.filter(({ status }) => status === 101).length).toBeLessThan(40);
  expect(answers.find(({ status }) => status !== 101)).toMatchObject({ status: 503, retryAfter: expect.stringMatching(/^\d+$/) });
  await dial('honest');
});
