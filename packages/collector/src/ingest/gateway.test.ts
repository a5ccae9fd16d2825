import { systemClock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { packBlock } from '@relight/shared/log-block';
import { encodePreflight, preflightHeader, type Preflight } from '@relight/shared/preflight';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createCollector, type Collector, type CollectorOptions } from '../app.ts';
import { readConfig } from '../config.ts';
import { openForReading, openForWriting } from '../store/database.ts';
import { eventReads } from '../store/events-store.ts';
import { hostReads } from '../store/hosts-store.ts';
import { openLogReader } from '../store/logs/reader.ts';
import type { StoredLogPiece } from '../store/store.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import { tokenWrites } from '../store/token-store.ts';
import { AgentClient } from './agent-client.ts';

const segment = { workload: 'w', generation: 1, source: 'process', run: 'r1' };
const block = (from: number, text: string) =>
  packBlock(segment, from, from + text.length + 1, [
    { offset: from, at: 1_000, approx: false, stream: 'stdout', bytes: Buffer.from(text), truncated: false },
  ]);

/** As a heartbeat has it. */
const workload = {
  name: 'w',
  phase: 'ready',
  phaseSince: 1,
  reason: 'r',
  stage: null,
  stageSince: null,
  attempt: 0,
  nextAttemptAt: null,
  generation: 1,
  containerId: null,
  image: 'i',
  readyAt: 1,
  lastIncidentId: null,
  metrics: null,
  restarts: { process: 0, container: 0, host: 0 },
};

let dataDir: string;
let collector: Collector;
let url: string;
let token: string;
let operator: string;
const clients: AgentClient[] = [];

async function start(more: Partial<CollectorOptions> = {}): Promise<void> {
  const config = readConfig(null, [{ listen: '127.0.0.1:0', dataDir }]);
  const logger = pino({ level: 'silent' });
  collector = await createCollector({ config, clock: systemClock, logger, version: 'test', ...more });
  ({ url } = await collector.listen());
}
function newToken(kind: 'agent' | 'operator', host: string | null = null): { id: string; token: string } {
  const db = openForWriting(dataDir);
  try {
    return tokenWrites(db).createToken(kind, host, 1);
  } finally {
    db.close();
  }
}
function dial(withToken = token, protocols?: readonly string[]): AgentClient {
  const client = new AgentClient(url, withToken, protocols);
  clients.push(client);
  return client;
}
function read<T>(use: (db: ReturnType<typeof openForReading>) => T): T {
  const db = openForReading(dataDir);
  try {
    return use(db);
  } finally {
    db.close();
  }
}
function storedPieces(): readonly StoredLogPiece[] {
  const logs = openLogReader(dataDir);
  try {
    return logs.logPieces({}, { limit: 10 });
  } finally {
    logs.close();
  }
}
const storedHost = (name: string) =>
  read((db) =>
    hostReads(db)
      .hosts()
      .find((host) => host.name === name),
  );
const storedEvents = () => read((db) => eventReads(db).events({ limit: 1_000 }));
const notices = () => storedEvents().filter(({ kind, message }) => kind === 'host.notice' && message.startsWith('notice '));
const until = (check: () => void) => vi.waitFor(check, { timeout: 60_000, interval: 20 });

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-ingest-'));
  await start();
  token = newToken('agent').token;
  operator = newToken('operator').token;
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate();
  await collector.close();
  rmSync(dataDir, { recursive: true });
});

describe('admission', () => {
  it('lets in agents only, with the right subprotocol', async () => {
    expect(await dial('rla_wrong').upgrade()).toMatchObject({ status: 401 });
    expect(await dial(operator).upgrade()).toMatchObject({
      status: 403,
      problem: {
        type: 'urn:relight:error:forbidden',
        status: 403,
        detail: 'this is an operator token',
        advice:
          'Where the host has joined: relight-collector token create --kind join, and on the host relight-agent join. With a token_file: write a token of --kind agent into it.',
      },
    });
    expect(await dial(token, ['relight.v9']).upgrade()).toMatchObject({ status: 400 });
    expect(await dial(token, ['other', 'relight.v1']).upgrade()).toMatchObject({ status: 101 });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await fetch(`${url}/readyz`, { headers: { authorization: `Bearer ${operator}` } })).status).toBe(200);
  });

  it('tells an agent that only asks what its hello would be told, and does nothing about it', async () => {
    const own = { agentId: 'agent-0001', machineId: 'machine-1', host: 'h1', bootId: 'boot-1' };
    const ask = (agent: Preflight) => {
      const client = new AgentClient(url, token, undefined, { [preflightHeader]: encodePreflight(agent) });
      clients.push(client);
      return client.upgrade();
    };
    const running = dial();
    await running.hello(own);
    expect(await ask(own)).toMatchObject({ status: 101 });
    expect(await ask({ ...own, machineId: 'machine-2' })).toMatchObject({
      status: 403,
      problem: { detail: 'another machine uses this agent id' },
    });
    // Another boot of what is connected is another machine; the same one was renamed.
    expect(await ask({ ...own, host: 'h2', bootId: 'boot-2' })).toMatchObject({
      status: 403,
      problem: { detail: expect.stringContaining('same machine id (/etc/machine-id) as h1') as string },
    });
    expect(await ask({ ...own, host: 'h2' })).toMatchObject({ status: 101 });
    // It would take the name over: asking does not.
    expect(await ask({ ...own, agentId: 'agent-0002', machineId: 'machine-2' })).toMatchObject({ status: 101 });
    running.sendEvents(1, 1);
    expect(await running.next('ack')).toMatchObject({ events: { seq: 1 } });
    expect(running.closed).toBeNull();
  });

  it('tells an agent that only asks that its token was given to another machine', async () => {
    const grant = { agentId: 'agent-0001', machineId: 'machine-1', host: 'h1', bootId: 'boot-1' };
    const db = openForWriting(dataDir);
    const { token: given } = tokenWrites(db).createToken('agent', 'h1', 1);
    db.prepare('UPDATE tokens SET agent_id = ?, machine_id = ? WHERE host = ?').run(grant.agentId, grant.machineId, grant.host);
    db.close();
    const ask = (agent: Preflight) => {
      const client = new AgentClient(url, given, undefined, { [preflightHeader]: encodePreflight(agent) });
      clients.push(client);
      return client.upgrade();
    };
    expect(await ask(grant)).toMatchObject({ status: 101 });
    expect(await ask({ ...grant, machineId: 'machine-2' })).toMatchObject({
      status: 401,
      problem: { detail: 'this token was given to another machine; join this one anew' },
    });
  });

  it.each([
    ['a token of another host', { host: 'h9' }, 'of-h1', /^Is this host called h1: set host\.name/],
    ['a token of another machine', { machineId: 'machine-2' }, 'granted', /^Make a join token .* relight-agent join with it\.$/],
    ['a copied disk', { machineId: 'machine-2' }, 'any', /^Is this a copy of h1: stop this agent, remove its state directory/],
    ['a copied machine id', { host: 'h2', bootId: 'boot-2' }, 'any', /^Either may be the copy: .* systemd-machine-id-setup/],
    ['one that is locked out', { agentId: 'agent-0000' }, 'any', /^Is this the one that belongs to h1: .* relight forget h1/],
  ] as const)('tells an agent that only asks what to do: %s', async (_, more, kind, advice) => {
    const own = { agentId: 'agent-0001', machineId: 'machine-1', host: 'h1', bootId: 'boot-1' };
    await dial().hello({ ...own, agentId: 'agent-0000' });
    await dial().hello(own);
    const db = openForWriting(dataDir);
    const bound = tokenWrites(db).createToken('agent', 'h1', 1).token;
    if (kind === 'granted') db.prepare("UPDATE tokens SET agent_id = 'agent-0001', machine_id = 'machine-1' WHERE host = 'h1'").run();
    db.close();
    const client = new AgentClient(url, kind === 'any' ? token : bound, undefined, {
      [preflightHeader]: encodePreflight({ ...own, ...more }),
    });
    clients.push(client);
    expect(await client.upgrade()).toMatchObject({ problem: { advice: expect.stringMatching(advice) as string } });
  });

  it('judges what an agent only asks behind admission, which it gives back', async () => {
    await collector.close();
    await start({ admission: { perSecond: 1_000, handshakesMax: 3 } });
    await dial().hello();
    const ask = (): AgentClient => {
      const agent = { agentId: 'agent-0001', machineId: 'machine-2', host: 'h1', bootId: 'boot-1' };
      const client = new AgentClient(url, token, undefined, { [preflightHeader]: encodePreflight(agent) });
      clients.push(client);
      return client;
    };
    for (let i = 0; i < 9; i += 1) expect(await ask().upgrade()).toMatchObject({ status: 403 });
    const silent = [dial(), dial(), dial()];
    for (const client of silent) expect(await client.upgrade()).toMatchObject({ status: 101 });
    expect(await ask().upgrade()).toMatchObject({ status: 503 });
  });

  it('keeps no connection of somebody who was refused and does not close it', async () => {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    let closed = false;
    socket.on('error', () => {}).on('close', () => (closed = true));
    socket.write(`GET /agent/v1 HTTP/1.1\r\nHost: ${hostname}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
    const answer: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => answer.push(chunk));
    await once(socket, 'end');
    expect(Buffer.concat(answer).toString()).toMatch(/^HTTP\/1.1 4\d\d /);
    // A side that is still there takes what it never reads; one that is gone says so.
    await until(() => {
      if (!closed) socket.write('still here');
      expect(closed).toBe(true);
    });
  });

  it('sends what is too much away before the handshake', async () => {
    await collector.close();
    await start({ admission: { perSecond: 2, handshakesMax: 100 } });
    // More than a busy machine could dial so slowly that each is welcome.
    const answers = await Promise.all(Array.from({ length: 20 }, () => dial().upgrade()));
    const refused = answers.filter(({ status }) => status === 503);
    expect(refused.length).toBeGreaterThanOrEqual(1);
    expect(Number(refused[0]?.retryAfter)).toBeGreaterThan(0);
  });

  it('tells an agent how large the fleet is, and with its events how large it has become', async () => {
    const first = dial();
    expect(await first.hello({ host: 'h1' })).toMatchObject({ fleetSize: 1 });
    const second = dial();
    expect(await second.hello({ host: 'h2', agentId: 'agent-0002', machineId: 'm2' })).toMatchObject({ fleetSize: 2 });
    first.sendEvents(1, 1);
    expect(await first.next('ack')).toMatchObject({ events: { seq: 1 }, fleetSize: 2 });
  });

  it('keeps a token to its host', async () => {
    const client = dial(newToken('agent', 'only').token);
    await expect(client.hello({ host: 'h1' })).rejects.toThrow(/4401 this token is for host only/);
    await dial(newToken('agent', 'only').token).hello({ host: 'only' });
  });

  it('drops connected agents of a revoked token', async () => {
    const { id, token } = newToken('agent');
    const client = dial(token);
    await client.hello();
    const db = openForWriting(dataDir);
    tokenWrites(db).revokeToken(id, 2);
    db.close();
    expect(await client.end()).toMatchObject({ code: 4401 });
    expect(await dial(token).upgrade()).toMatchObject({ status: 401 });
  });
});

describe('the protocol', () => {
  it('commits before it acknowledges, and resumes where it stopped', async () => {
    const first = dial();
    expect(await first.hello({ segments: [segment] })).toMatchObject({
      protocol: 1,
      heartbeatMs: 10_000,
      lastEventSeq: 0,
      segments: [{ segment, offset: 0 }],
    });
    first.sendEvents(1, 3);
    expect(await first.next('ack')).toMatchObject({ events: { epoch: 'epoch-1', seq: 3 } });
    expect(notices()).toHaveLength(3);
    first.sendBlock(block(0, 'one'));
    expect(await first.next('ack')).toMatchObject({ segments: [{ segment, offset: 4, rewind: false }] });
    first.socket.terminate();
    await until(() => expect(storedHost('h1')).toMatchObject({ state: 'disconnected' }));

    const second = dial();
    expect(await second.hello({ segments: [segment] })).toMatchObject({ lastEventSeq: 3, segments: [{ offset: 4 }] });
    second.sendEvents(2, 5);
    expect(await second.next('ack')).toMatchObject({ events: { seq: 5 } });
    expect(notices().map(({ message }) => message)).toEqual([1, 2, 3, 4, 5].map((n) => `notice ${n}`));
    expect(await dial().hello({ epoch: 'epoch-2' })).toMatchObject({ lastEventSeq: 0 });
  });

  it('takes what an earlier life has left in its own epoch, beside that of the hello, and each of it once', async () => {
    const first = dial();
    await first.hello();
    first.sendEvents(1, 3);
    await first.next('ack');
    first.socket.terminate();
    const second = dial();
    expect(await second.hello({ epoch: 'epoch-2' })).toMatchObject({ lastEventSeq: 0 });
    second.sendEvents(2, 4);
    expect(await second.next('ack')).toMatchObject({ events: { epoch: 'epoch-1', seq: 4 } });
    second.sendEvents(1, 1, 'epoch-2');
    expect(await second.next('ack')).toMatchObject({ events: { epoch: 'epoch-2', seq: 1 } });
    second.sendEvents(3, 3);
    expect(await second.next('ack')).toMatchObject({ events: { epoch: 'epoch-1', seq: 4 } });
    expect(notices().map(({ message }) => message)).toEqual([1, 2, 3, 4, 1].map((n) => `notice ${n}`));
  });

  it('answers a hello of which one segment is none for all the others', async () => {
    const first = dial();
    await first.hello({ segments: [segment] });
    first.sendBlock(block(0, 'one'));
    await first.next('ack');
    first.socket.terminate();
    const again = dial();
    const other = { ...segment, run: '2' };
    const none = [{ ...segment, source: 'of a later version' }, { workload: 'w' }, 'text', null] as unknown as (typeof segment)[];
    expect(await again.hello({ segments: [segment, ...none, other] })).toMatchObject({
      segments: [
        { segment, offset: 4 },
        { segment: other, offset: 0 },
      ],
    });
    again.sendEvents(1, 1);
    expect(await again.next('ack')).toMatchObject({ events: { seq: 1 } });
  });

  it('takes what a later version says in words that it does not know, and the connection goes on', async () => {
    const client = dial();
    await client.hello();
    const event = { seq: 1, at: 1_000, kind: 'container.hibernated', severity: 'dire', workload: 'w', generation: 1, message: 'it sleeps' };
    client.send({ type: 'events', epoch: 'epoch-1', events: [event] });
    expect(await client.next('ack')).toMatchObject({ events: { seq: 1 } });
    expect(storedEvents()).toContainEqual(
      expect.objectContaining({ kind: 'host.notice', severity: 'warning', workload: 'w', message: 'it sleeps' }),
    );
    const later = { ...segment, source: 'journal' };
    client.sendBlock(
      packBlock(later, 0, 4, [{ offset: 0, at: 1_000, approx: false, stream: 'stdout', bytes: Buffer.from('one'), truncated: false }]),
    );
    expect(await client.next('ack')).toMatchObject({ segments: [{ segment: later, offset: 4 }] });
    const accelerator = { kind: 'npu', index: 0, id: 'n0', model: 'N', health: 'tired', reason: 'r', action: '' };
    const gate = { state: 'ajar', since: 1, reason: 'r', deadlineAt: null, conditions: [] };
    const spare = { state: 'polished', since: 1, reason: 'r' };
    const workloads = [{ ...workload, phase: 'hibernating', reason: 'it sleeps', spare }];
    client.send({ type: 'heartbeat', at: Date.now(), workloads, engine: 'up', accelerators: [accelerator], gate });
    await until(() =>
      expect(storedHost('h1')).toMatchObject({
        workloads: [{ phase: 'unknown', reason: 'it sleeps', spare: { state: 'waiting' } }],
        accelerators: [{ kind: 'gpu', health: 'degraded' }],
        gate: { state: 'waiting' },
      }),
    );
    client.send({ type: 'goodbye', reason: 'moved' });
    client.socket.close(1000);
    await until(() => expect(storedHost('h1')).toMatchObject({ state: 'stopped' }));
  });

  it('counts for Prometheus what it took in', async () => {
    const client = dial();
    await client.hello();
    client.sendEvents(1, 3);
    client.sendBlock(block(0, 'one'));
    for (let acks = 0; acks < 2; acks += 1) await client.next('ack');
    await dial('nobody').upgrade();
    const reply = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${operator}` } });
    expect((await reply.text()).split('\n')).toEqual(
      expect.arrayContaining([
        'relight_ingest_connections 1',
        'relight_ingest_queue_messages 0',
        'relight_ingest_sessions_total 1',
        'relight_ingest_rejected_upgrades_total{code="unauthorized"} 1',
        'relight_ingest_messages_total{frame="text"} 2',
        'relight_ingest_messages_total{frame="binary"} 1',
        'relight_ingest_events_total 3',
        'relight_ingest_lines_total 1',
        'relight_ingest_commit_duration_seconds_count 2',
      ]),
    );
  });

  it('answers duplicates with the committed offset and everything else with rewind', async () => {
    const client = dial();
    await client.hello();
    for (const piece of [block(0, 'one'), block(0, 'one'), block(9, 'far'), block(4, 'two')]) client.sendBlock(piece);
    client.send({ type: 'gap', segment, from: 8, to: 20, bytes: 12, reason: 'budget', at: 5 });
    const acks = [];
    for (let i = 0; i < 5; i += 1) acks.push((await client.next('ack')).segments.map(({ offset, rewind }) => [offset, rewind])[0]);
    expect(acks).toEqual([
      [4, false],
      [4, false],
      [4, true],
      [8, false],
      [20, false],
    ]);
    expect(storedPieces().map(({ kind }) => kind)).toEqual(['block', 'block', 'gap']);
  });

  it('takes no block that came damaged, and takes it when it comes whole', async () => {
    const client = dial();
    await client.hello();
    const { header, body } = block(0, 'one');
    const broken = Uint8Array.from(body, (byte, index) => (index === 9 ? byte ^ 1 : byte));
    client.sendBlock({ header, body: broken });
    expect(await client.end()).toMatchObject({ code: 4400, reason: expect.stringMatching(/log block 0–4: the checksum is wrong/) });
    const again = dial();
    expect(await again.hello({ segments: [segment] })).toMatchObject({ segments: [{ offset: 0 }] });
    again.sendBlock(block(0, 'one'));
    expect(await again.next('ack')).toMatchObject({ segments: [{ offset: 4, rewind: false }] });
    expect(storedPieces()).toHaveLength(1);
  });

  it.each([
    ['what is not JSON', 'not json', /JSON/],
    ['events before hello', JSON.stringify({ type: 'goodbye', reason: 'stopped' }), /first message must be hello/],
    ['a hello without an agent', JSON.stringify({ type: 'hello' }), /./],
  ])('closes with 4400 on %s', async (_, text, reason) => {
    const client = dial();
    await client.upgrade();
    client.socket.send(text);
    const end = await client.end();
    expect(end.code).toBe(4400);
    expect(end.reason).toMatch(reason);
  });

  it.each([
    [
      'holes in the numbering',
      (client: AgentClient) =>
        client.send({
          type: 'events',
          epoch: 'e',
          events: [1, 3].map((seq) => ({ seq, at: 1, kind: 'host.notice', severity: 'info', message: 'm' })),
        }),
    ],
    ['a damaged block', (client: AgentClient) => client.socket.send(Buffer.from([255, 0, 0, 0, 1]))],
    ['a second hello', (client: AgentClient) => void client.hello().catch(() => undefined)],
  ])('closes with 4400 on %s', async (_, act) => {
    const client = dial();
    await client.hello();
    act(client);
    expect((await client.end()).code).toBe(4400);
  });

  it.each([
    ['name', { host: 'h\u001b[2J' }, /host/],
    ['name', { host: '-h' }, /host/],
    ['agent id', { agentId: 'agent-0001\n' }, /agentId/],
    ['machine id', { machineId: '\u202e' }, /machineId/],
  ])('takes no %s that a terminal could take for a command: %j', async (_, more, reason) => {
    const client = dial();
    await client.upgrade();
    void client.hello(more).catch(() => undefined);
    const end = await client.end();
    expect(end.code).toBe(4400);
    expect(end.reason).toMatch(reason);
    expect(read((db) => hostReads(db).hosts())).toEqual([]);
  });

  it('ignores messages and fields it does not know', async () => {
    const client = dial();
    await client.hello({ futureField: 1 } as never);
    client.send({ type: 'poem', text: '…' });
    client.sendEvents(1, 1);
    expect(await client.next('ack')).toMatchObject({ events: { seq: 1 } });
  });
});

describe('who speaks for a host', () => {
  it('lets the newest connection of an agent win', async () => {
    const first = dial();
    await first.hello();
    const second = dial();
    await second.hello();
    expect((await first.end()).code).toBe(4409);
    second.sendEvents(1, 1);
    await second.next('ack');
    expect(storedHost('h1')).toMatchObject({ state: 'connected' });
  });

  it('refuses a clone while the first is alive, and says so once', async () => {
    const first = dial();
    await first.hello();
    for (let i = 0; i < 2; i += 1) {
      const clone = dial();
      await expect(clone.hello({ machineId: 'machine-2', host: 'h2' })).rejects.toThrow(/4410/);
    }
    await until(() => expect(storedEvents().filter(({ message }) => message.includes('second machine'))).toHaveLength(1));
    first.sendEvents(1, 1);
    await first.next('ack');
    first.socket.terminate();
    await until(() => expect(storedHost('h1')).toMatchObject({ state: 'disconnected' }));
    await dial().hello({ machineId: 'machine-2' });
  });

  it('lets a new agent take a name over, and locks the old one out until the host is forgotten', async () => {
    const old = dial();
    await old.hello();
    const fresh = dial();
    await fresh.hello({ agentId: 'agent-0002', machineId: 'machine-2' });
    expect((await old.end()).code).toBe(4409);
    await expect(dial().hello()).rejects.toThrow(/4409 another agent owns h1 now/);
    await collector.close();
    await start();
    await expect(dial().hello()).rejects.toThrow(/4409/);
    const gone = await fetch(`${url}/api/v1/hosts/h1`, { method: 'DELETE', headers: { authorization: `Bearer ${operator}` } });
    expect(gone.ok).toBe(true);
    await dial().hello();
  });

  it('follows an agent whose host was renamed', async () => {
    const first = dial();
    await first.hello();
    first.socket.terminate();
    await until(() => expect(storedHost('h1')).toMatchObject({ state: 'disconnected' }));
    await dial().hello({ host: 'renamed' });
    await until(() => expect([storedHost('h1'), storedHost('renamed')?.state]).toEqual([undefined, 'connected']));
    await until(() => expect(storedEvents().find(({ host }) => host === 'renamed')?.message).toMatch(/was called h1 until now/));
  });

  it('refuses a copied machine id under another name while the first is connected, and tells both who the other is', async () => {
    const first = dial();
    await first.hello();
    for (let i = 0; i < 2; i += 1) {
      const copy = dial();
      await expect(copy.hello({ host: 'h2' })).rejects.toThrow(
        /4410 same machine id \(\/etc\/machine-id\) as h1 at 127\.0\.0\.1, which is/,
      );
    }
    expect(await first.next('machine-id-shared')).toMatchObject({ host: 'h2', address: '127.0.0.1' });
    await until(() => expect(storedEvents().filter(({ message }) => message.startsWith('h2 has the same machine id'))).toHaveLength(1));
    first.send({ type: 'heartbeat', at: Date.now(), workloads: [], engine: 'up' });
    await until(() =>
      expect(storedHost('h1')).toMatchObject({
        state: 'connected',
        conditions: [
          {
            name: 'machine-id-shared',
            severity: 'error',
            reason: 'h2 at 127.0.0.1 has the same machine id (/etc/machine-id) as h1 at 127.0.0.1, and is refused',
          },
        ],
      }),
    );
    // It reboots: the copy does not become its successor meanwhile.
    first.socket.terminate();
    await until(() => expect(storedHost('h1')).toMatchObject({ state: 'disconnected' }));
    await expect(dial().hello({ host: 'h2', bootId: 'boot-of-h2' })).rejects.toThrow(/4410 same machine id as h1, .*relight forget h1/);
    await dial().hello({ bootId: 'boot-2' });
    await until(() => expect([storedHost('h1')?.state, storedHost('h2')]).toEqual(['connected', undefined]));
  });

  it('takes a boot that comes back beside its successor of the same name for another machine', async () => {
    const first = dial();
    await first.hello();
    await dial().hello({ bootId: 'boot-2' });
    expect((await first.end()).code).toBe(4409);
    await expect(dial().hello()).rejects.toThrow(/4410 same machine id/);
    await dial().hello({ bootId: 'boot-2' });
  });

  it('does not believe another machine that a host was renamed, also while that host is away', async () => {
    const first = dial();
    await first.hello();
    first.socket.terminate();
    await until(() => expect(storedHost('h1')).toMatchObject({ state: 'disconnected' }));
    const thief = dial(newToken('agent', 'h2').token);
    await expect(thief.hello({ host: 'h2', machineId: 'machine-2' })).rejects.toThrow(/4410 another machine uses this agent id.*forget h1/);
    await until(() => expect(storedEvents().find(({ message }) => message.includes('second machine as h2'))).toMatchObject({ host: 'h1' }));
    await dial().hello();
    await until(() => expect([storedHost('h1')?.state, storedHost('h2')]).toEqual(['connected', undefined]));
  });
});

describe('the end of a connection', () => {
  it('believes a goodbye', async () => {
    const client = dial();
    await client.hello();
    client.send({ type: 'goodbye', reason: 'stopped' });
    client.socket.close(1000);
    await until(() => expect(storedHost('h1')).toMatchObject({ state: 'stopped' }));
  });

  it('asks agents to come back at different times when it stops, and declares nobody anything', async () => {
    const client = dial();
    await client.hello();
    const closing = collector.close();
    const { reconnectAfterMs } = await client.next('drain');
    expect(reconnectAfterMs).toBeGreaterThanOrEqual(500);
    expect((await client.end()).code).toBe(4503);
    await closing;
    expect(storedHost('h1')).toMatchObject({ state: 'connected' });
    await start();
    const answer = await fetch(`${url}/api/v1/hosts/h1`, { headers: { authorization: `Bearer ${operator}` } });
    expect(await answer.json()).toMatchObject({
      state: 'unknown',
      reason: 'the collector started; before that: connected (agent 1.2.3 connected)',
    });
  });
});

describe('a store in trouble', () => {
  it('acknowledges nothing while the disk is full, then everything once and in order', async () => {
    await collector.close();
    let failures = 3;
    const failing =
      <A extends unknown[], R>(commit: (...args: A) => Promise<R>) =>
      (...args: A): Promise<R> => {
        failures -= 1;
        return failures >= 0 ? Promise.reject(new RelightError('store-failed', 'database or disk is full')) : commit(...args);
      };
    const wrapStore = (store: SqliteStore): SqliteStore => ({
      ...store,
      commitEvents: failing(store.commitEvents.bind(store)),
      commitBlock: failing(store.commitBlock.bind(store)),
    });
    await start({ wrapStore });
    const client = dial();
    await client.hello();
    client.sendEvents(1, 2);
    client.sendEvents(3, 4);
    let offset = 0;
    for (const text of ['a', 'bb', 'ccc', 'dddd']) {
      client.sendBlock(block(offset, text));
      offset += text.length + 1;
    }
    const acks = [];
    for (let i = 0; i < 6; i += 1) acks.push(await client.next('ack'));
    expect(acks.flatMap(({ events }) => events?.seq ?? [])).toEqual([2, 4]);
    expect(acks.flatMap(({ segments }) => segments.map((ack) => [ack.offset, ack.rewind]))).toEqual([
      [2, false],
      [5, false],
      [9, false],
      [14, false],
    ]);
    expect(notices()).toHaveLength(4);
  });

  it('is not ready as long as nothing can be stored; the log says when it began and when it was over, and no more', async () => {
    await collector.close();
    let full = true;
    const failing =
      <A extends unknown[], R>(commit: (...args: A) => Promise<R>) =>
      (...args: A): Promise<R> =>
        full ? Promise.reject(new RelightError('store-failed', 'database or disk is full')) : commit(...args);
    const lines: { msg: string }[] = [];
    const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line) as { msg: string }) });
    const wrapStore = (store: SqliteStore): SqliteStore => ({
      ...store,
      commitEvents: failing(store.commitEvents.bind(store)),
      commitBlock: failing(store.commitBlock.bind(store)),
      commitOwnEvent: failing(store.commitOwnEvent.bind(store)),
      putHost: failing(store.putHost.bind(store)),
    });
    await start({ wrapStore, logger });
    const client = dial();
    await client.hello();
    client.sendEvents(1, 2);
    client.sendBlock(block(0, 'a'));
    const readyz = () => fetch(`${url}/readyz`, { headers: { authorization: `Bearer ${operator}` } });
    await vi.waitFor(async () => expect((await readyz()).status).toBe(503), { timeout: 60_000, interval: 20 });
    expect(await (await readyz()).json()).toMatchObject({
      code: 'store-failed',
      detail: expect.stringMatching(/^nothing can be stored since \S+Z: database or disk is full; /) as string,
    });
    full = false;
    await client.next('ack');
    await client.next('ack');
    await vi.waitFor(async () => expect((await readyz()).status).toBe(200), { timeout: 60_000, interval: 20 });
    expect(lines.map(({ msg }) => msg)).toEqual([
      'nothing can be stored; agents keep what they have, and it is tried again every second',
      expect.stringMatching(/^the store takes writes again, after \d+ s$/) as string,
    ]);
  });

  it('stops reading an agent that sends more than the store takes, and loses nothing', async () => {
    await collector.close();
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    let waiting = 0;
    const wrapStore = (store: SqliteStore): SqliteStore => ({
      ...store,
      async commitEvents(...args) {
        waiting += 1;
        await gate;
        return store.commitEvents(...args);
      },
    });
    await start({ wrapStore });
    const client = dial();
    await client.hello();
    for (let seq = 1; seq <= 100; seq += 1) client.sendEvents(seq, seq);
    await until(() => expect(waiting).toBe(1));
    open();
    let seq = 0;
    while (seq < 100) seq = (await client.next('ack')).events?.seq ?? seq;
    expect(notices().map(({ message }) => message)).toEqual(Array.from({ length: 100 }, (_, i) => `notice ${i + 1}`));
  });
});

describe('operators reach agents', () => {
  const withWorkload = async (client: AgentClient, more: object = {}): Promise<void> => {
    await client.hello(more);
    client.send({ type: 'heartbeat', at: Date.now() + 600_000, workloads: [workload], engine: 'up' });
    const { skewMs } = await client.next('clock');
    expect(Math.abs((skewMs ?? 0) - 600_000)).toBeLessThan(60_000);
    await until(() => expect(storedHost('h1')?.workloads).toHaveLength(1));
  };
  const act = (path: string, body: object) =>
    fetch(`${url}/api/v1/workloads/${path}/actions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${operator}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  it('passes an action on and brings the answer back', async () => {
    const client = dial();
    await withWorkload(client);
    const answer = act('h1/w', { action: 'restart', level: 'process', reason: 'test' });
    const action = await client.next('action');
    expect(action).toMatchObject({ action: 'restart', workload: 'w', level: 'process', reason: 'test' });
    client.send({ type: 'action-result', id: action.id, ok: true, message: 'restarting' });
    expect((await answer).ok).toBe(true);
    expect(storedHost('h1')?.clockSkewMs).toBeGreaterThan(500_000);
  });

  it('fails at once when the agent goes away or refuses', async () => {
    const client = dial();
    await withWorkload(client);
    const answer = act('h1/w', { action: 'restart' });
    await client.next('action');
    client.socket.terminate();
    expect(await (await answer).json()).toMatchObject({ code: 'host-not-connected' });
    await withWorkload(dial(), { remoteActions: false });
    expect(await (await act('h1/w', { action: 'pause' })).json()).toMatchObject({ code: 'action-refused' });
    expect((await act('nobody/w', { action: 'pause' })).status).toBe(404);
  });
});
