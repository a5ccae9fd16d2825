/** Outbox, files, shipper and uplink against a small collector on a real socket, which breaks the connection again and again. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { systemClock, type Clock } from '@relight/shared/clock';
import type { NewAgentEvent } from '@relight/shared/event';
import { decodeBlock } from '@relight/shared/log-block';
import type { SegmentKey } from '@relight/shared/log-stream';
import { agentMessageSchema, frameBytesMax, parseMessage, type CollectorMessage } from '@relight/shared/protocol';
import { ModelCollector } from '../../../../test/support/model-collector.ts';
import { selfPortrait } from '../../../../test/support/self-portrait.ts';
import { Incidents } from '../incidents/incidents.ts';
import { IncidentStore } from '../incidents/store.ts';
import { FollowingShipper, type FollowingShipperOptions } from '../logs/following-shipper.ts';
import { FileOutbox } from '../outbox/file-outbox.ts';
import { openWebSocket, type Closing } from './socket.ts';
import { Uplink, type UplinkOptions } from './uplink.ts';

const deadlineMs = 60_000;
const run: SegmentKey = { workload: 'worker', generation: 1, source: 'process', run: '1' };
const container: SegmentKey = { workload: 'worker', generation: 1, source: 'container', run: 'c' };
const logger = { info: () => undefined, warn: () => undefined, error: () => undefined } as unknown as UplinkOptions['logger'];

/** mulberry32: a fixed seed, so that a failure can be played again. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Answers as the model does; kills the connection before the commit, between commit and answer, or not. */
class Server {
  readonly model = new ModelCollector();
  readonly #server: WebSocketServer;
  readonly #random: () => number;
  readonly url: string;
  kill = 0;
  knowsIncidents = true;
  kills = 0;
  goodbyes: string[] = [];
  tokens = new Set<string>();

  private constructor(random: () => number, server: WebSocketServer) {
    this.#random = random;
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket, request) => {
      this.tokens.add(request.headers.authorization ?? '');
      socket.on('message', (data, isBinary) => this.#receive(socket, data as Buffer, isBinary));
    });
  }

  static async listen(random: () => number): Promise<Server> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: frameBytesMax, perMessageDeflate: false });
    await new Promise((resolve) => server.once('listening', resolve));
    return new Server(random, server);
  }

  close(): void {
    for (const client of this.#server.clients) client.terminate();
    this.#server.close();
  }

  #receive(socket: WebSocket, data: Buffer, isBinary: boolean): void {
    // What was read together with the frame at which the connection was killed still arrives here. It must not be committed:
    // events have no offsets by which a hole before them could be seen.
    if (socket.readyState !== socket.OPEN) return;
    if (this.#random() < this.kill) {
      this.kills += 1;
      socket.terminate();
      return;
    }
    const answer = isBinary ? this.model.takeBlock(decodeBlock(data)) : this.#text(data.toString('utf8'));
    if (answer === null) return;
    if (this.#random() < this.kill) {
      this.kills += 1;
      socket.terminate();
    } else {
      socket.send(JSON.stringify(answer));
    }
  }

  #text(text: string): CollectorMessage | null {
    const message = parseMessage(agentMessageSchema, text);
    if (message?.type === 'hello') {
      const welcome = this.model.welcome(message);
      return this.knowsIncidents ? welcome : ({ ...welcome, incidents: undefined } as CollectorMessage);
    }
    if (message?.type === 'events') return this.model.takeEvents(message.epoch, message.events);
    if (message?.type === 'incident') return this.model.takeIncident(message.incident);
    if (message?.type === 'incident-evidence') return this.model.takeEvidence(message);
    if (message?.type === 'gap') return this.model.takeGap(message);
    if (message?.type === 'goodbye') this.goodbyes.push(message.reason);
    return null;
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

interface Agent {
  readonly outbox: FileOutbox;
  readonly shipper: FollowingShipper;
  readonly incidents: Incidents;
  readonly store: IncidentStore;
  readonly uplink: Uplink;
}

let directory = '';
let server: Server;
let agent: Agent | null = null;
const random = seeded(20_260_101);

beforeEach(async () => {
  directory = fs.mkdtempSync(join(tmpdir(), 'relight-uplink-'));
  fs.writeFileSync(join(directory, 'token'), 'secret\n');
  fs.writeFileSync(join(directory, 'run'), '');
  fs.writeFileSync(join(directory, 'c.log'), '');
  server = await Server.listen(random);
});
afterEach(async () => {
  if (agent !== null) await leave(agent);
  agent = null;
  server.close();
  fs.rmSync(directory, { recursive: true });
});

function startAgent(shipperClock: Clock = systemClock, uplinkClock: Clock = systemClock): Agent {
  const rateLimit: FollowingShipperOptions['rateLimit'] = () => null;
  const outbox = FileOutbox.open({ directory: join(directory, 'outbox'), newEpoch: randomUUID, clock: systemClock, logger });
  const shipper = new FollowingShipper({ directory: join(directory, 'logs'), clock: shipperClock, logger, delivering: true, rateLimit });
  shipper.follow({ key: run, path: join(directory, 'run'), format: 'raw' });
  shipper.follow({ key: container, path: join(directory, 'c.log'), format: 'json-file' });
  const store = new IncidentStore({ stateDir: directory, host: 'h', warn: assert.fail });
  const incidents = new Incidents({
    clock: systemClock,
    store,
    workloads: () => ['worker'],
    random,
    delivering: true,
    history: outbox,
    gather: () => undefined,
  });
  const uplink = new Uplink({
    spec: { url: server.url, tokenFile: join(directory, 'token'), caFile: null, fingerprint: null, joinedFile: null },
    clock: uplinkClock,
    random: () => random() / 100, // the back-off of a test: never more than 0.3 s
    logger,
    outbox,
    logs: shipper,
    incidents,
    ...selfPortrait(),
    onAction: () => Promise.resolve({ ok: true, message: '' }),
  });
  uplink.start();
  return { outbox, shipper, incidents, store, uplink };
}

async function leave({ incidents, outbox, shipper, uplink }: Agent): Promise<void> {
  await uplink.stop('stopped');
  incidents.stop();
  shipper.close();
  outbox.close();
}

test('connections that break at random, and a restart of the agent: every event and every line once and in order', async () => {
  server.kill = 0.3;
  agent = startAgent();
  let written = 0;
  for (let round = 0; round < 40; round += 1) {
    if (round === 20) {
      await leave(agent);
      agent = startAgent();
    }
    const { outbox } = agent;
    for (let count = 0; count < 25; count += 1, written += 1) {
      fs.appendFileSync(join(directory, 'run'), `run ${written}\n`);
      const entry = { log: `container ${written}\n`, stream: 'stdout', time: new Date().toISOString() };
      fs.appendFileSync(join(directory, 'c.log'), `${JSON.stringify(entry)}\n`);
      outbox.append({ at: Date.now(), kind: 'host.notice', severity: 'info', message: `event ${written}`, data: {} });
    }
    const goal = written / 2;
    await until(() => server.model.events.length >= goal, 'half of the events have arrived');
  }
  server.kill = 0;
  const numbers = Array.from({ length: written }, (_, index) => index);
  const { model } = server;
  await until(
    () => model.events.length >= written && model.texts(run).length >= written && model.texts(container).length >= written,
    'all is there',
  );
  expect(model.events.map(({ message }) => message)).toEqual(numbers.map((number) => `event ${number}`));
  expect(model.texts(run)).toEqual(numbers.map((number) => `run ${number}`));
  expect(model.texts(container)).toEqual(numbers.map((number) => `container ${number}`));
  expect(model.gaps).toEqual([]);
  expect(server.kills).toBeGreaterThan(0);
  expect([...server.tokens]).toEqual(['Bearer secret']);
}, 300_000);

test('incidents over connections that break and a restart of the agent: each document in its last revision, each piece once, events meanwhile', async () => {
  server.kill = 0.3;
  agent = startAgent();
  const told: string[] = [];
  const tell = (now: Agent, kind: NewAgentEvent['kind'], data: Record<string, unknown> = {}): void => {
    const { event, follow } = now.incidents.take({ at: Date.now(), kind, severity: 'error', workload: 'worker', message: kind, data });
    for (const one of [event, ...follow]) {
      now.outbox.append(one);
      told.push(one.kind);
    }
    now.incidents.written();
  };
  for (let round = 0; round < 20; round += 1) {
    tell(agent, 'container.died', { exitCode: round, code: 'container-exited' });
    const id = agent.incidents.lastOf('worker') ?? '';
    const text = `${round} ${'x'.repeat(1_000 * round)}`;
    agent.store.addEvidence(id, { name: `log:${round}`, title: 'last lines', at: Date.now() }, text);
    agent.incidents.evidenceFound(id);
    // Half of them are still open when the agent goes.
    if (round % 5 === 4) {
      await leave(agent);
      agent = startAgent();
    }
    tell(agent, 'workload.ready');
    const goal = told.length / 2;
    await until(() => server.model.events.length >= goal, 'half of the events have arrived');
  }
  server.kill = 0;
  const { model } = server;
  const closed = (): boolean => [...model.incidents.values()].filter(({ closedAt }) => closedAt !== null).length === 20;
  await until(() => closed() && model.evidence.size === 20 && model.events.length >= told.length, 'everything is there');
  const incidents = [...model.incidents.values()].toSorted((a, b) => (a.exitCode ?? 0) - (b.exitCode ?? 0));
  expect(incidents.map(({ exitCode }) => exitCode)).toEqual(Array.from({ length: 20 }, (_, index) => index));
  for (const { id, exitCode, evidence } of incidents) {
    expect(evidence).toMatchObject([{ name: `log:${exitCode}` }]);
    const body = model.evidence.get(`${id} log:${exitCode}`) ?? Buffer.of();
    expect(zstdDecompressSync(body).toString()).toBe(`${exitCode} ${'x'.repeat(1_000 * (exitCode ?? 0))}`);
  }
  expect(model.events.map(({ kind }) => kind)).toEqual(told);
  expect(server.kills).toBeGreaterThan(0);
}, 300_000);

test('a collector that does not know of incidents is sent none', async () => {
  server.knowsIncidents = false;
  agent = startAgent();
  const { event, follow } = agent.incidents.take({
    at: 1,
    kind: 'container.died',
    severity: 'error',
    workload: 'worker',
    message: '',
    data: {},
  });
  for (const one of [event, ...follow]) agent.outbox.append(one);
  agent.incidents.written();
  await until(() => server.model.events.length === 2, 'the events');
  await leave(agent);
  agent = null;
  expect(server.model.incidents.size).toBe(0);
}, 300_000);

test('inotify wakes the shipper: a line arrives without a poll', async () => {
  // Polls come at a beat, up to a second away: no timer is left but those within which a block is sent to whoever watches.
  const withoutPolls: Clock = {
    ...systemClock,
    after: (ms, fn) => (ms > 250 ? { cancel: () => undefined } : systemClock.after(ms, fn)),
  };
  agent = startAgent(withoutPolls);
  await until(() => agent?.uplink.state().connected === true, 'connected');
  agent.shipper.watch([{}]);
  for (let index = 0; index < 20; index += 1) {
    fs.appendFileSync(join(directory, 'run'), `line ${index}\n`);
    await until(() => server.model.texts(run).length > index, 'the line');
  }
  expect(server.model.texts(run)).toHaveLength(20);
}, 300_000);

test('goodbye comes after everything that was there', async () => {
  // Two seconds, after which it does not wait for an event any more, may be less than a busy disk needs to take it.
  const patient: Clock = { ...systemClock, after: (ms, fn) => systemClock.after(ms < 2_000 ? ms : 30 * ms, fn) };
  agent = startAgent(systemClock, patient);
  await until(() => agent?.uplink.state().connected === true, 'connected');
  fs.appendFileSync(join(directory, 'run'), 'last line\n');
  agent.outbox.append({ at: Date.now(), kind: 'agent.stopped', severity: 'info', message: 'stopping', data: {} });
  await leave(agent);
  agent = null;
  await until(() => server.goodbyes.length > 0, 'goodbye');
  expect(server.model.events.map(({ message }) => message)).toEqual(['stopping']);
  expect(server.model.texts(run)).toEqual(['last line']);
}, 300_000);

test('a port where nobody listens: the reason is known', async () => {
  server.close();
  agent = startAgent();
  await until(() => agent?.uplink.state().lastError !== null, 'the error is known');
  expect(agent.uplink.state().lastError).toContain('ECONNREFUSED');
}, 300_000);

test('a refused upgrade tells its status and when to come back', async () => {
  const refusing = createServer();
  refusing.on('upgrade', (_request, socket) =>
    socket.end('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n'),
  );
  await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(refusing.address() as AddressInfo).port}`;
  const closing = await new Promise<Closing>((closed) => {
    const ignore = (): void => undefined;
    openWebSocket(
      { url, tokenFile: null, caFile: null, fingerprint: null, joinedFile: null },
      { opened: ignore, text: ignore, alive: ignore, closed },
    );
  });
  refusing.close();
  expect(closing).toMatchObject({ status: 503, retryAfterMs: 7_000, reason: 'HTTP 503 Service Unavailable' });
}, 300_000);
