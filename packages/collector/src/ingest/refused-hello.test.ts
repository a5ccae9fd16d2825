/** Hellos that are turned away: counted, written down and logged so often that somebody sees them, and no oftener. */
import { systemClock } from '@relight/shared/clock';
import { labelLengthMax, labelsMax } from '@relight/shared/protocol';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { refusalsMax } from '../access/refusal-book.ts';
import { createCollector, type Collector } from '../app.ts';
import { readConfig } from '../config.ts';
import { openForWriting } from '../store/database.ts';
import { tokenWrites } from '../store/token-store.ts';
import { AgentClient } from './agent-client.ts';

interface Line {
  readonly msg: string;
  readonly code?: string;
  readonly err?: { readonly message: string; readonly stack?: string };
}

let dataDir: string;
let collector: Collector;
let url: string;
let operator: string;
let lines: Line[];
const clients: AgentClient[] = [];
/** A busy machine is no failure. */
const patiently = { timeout: 60_000, interval: 20 };

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-refused-'));
  lines = [];
  const logger = pino({ level: 'warn' }, { write: (line: string) => void lines.push(JSON.parse(line) as Line) });
  const config = readConfig(null, [{ listen: '127.0.0.1:0', dataDir }]);
  collector = await createCollector({ config, clock: systemClock, logger, version: 'test' });
  ({ url } = await collector.listen());
  operator = newToken('operator');
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate();
  await collector.close();
  rmSync(dataDir, { recursive: true });
});

function newToken(kind: 'agent' | 'operator', host: string | null = null): string {
  const db = openForWriting(dataDir);
  try {
    return tokenWrites(db).createToken(kind, host, 1).token;
  } finally {
    db.close();
  }
}
async function dial(token: string): Promise<AgentClient> {
  const client = new AgentClient(url, token);
  clients.push(client);
  expect(await client.upgrade()).toMatchObject({ status: 101 });
  return client;
}
async function get(path: string): Promise<string> {
  return (await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${operator}` } })).text();
}
const counted = async (code: string): Promise<number> =>
  Number(new RegExp(`^relight_ingest_rejected_upgrades_total\\{code="${code}"\\} (\\d+)$`, 'm').exec(await get('/metrics'))?.[1]);
const written = async (): Promise<unknown[]> =>
  (JSON.parse(await get('/api/v1/audit?outcome=refused&limit=500')) as { items: unknown[] }).items;

it('one of a later protocol, whatever else it says, learns who has to be upgraded; each is counted, the first ones are told', async () => {
  const token = newToken('agent');
  const times = refusalsMax + 3;
  const reason = 'the agent speaks protocol 7 to 9, the collector 1: upgrade the collector';
  for (let i = 0; i < times; i += 1) {
    const client = await dial(token);
    client.send({ type: 'hello', protocol: 9, protocolOldest: 7, host: 'h1', version: '9.0', agent: { id: 'of another form' } });
    expect(await client.end()).toEqual({ code: 4426, reason });
  }
  expect(await counted('protocol')).toBe(times);
  await vi.waitFor(async () => expect(await written()).toHaveLength(refusalsMax), patiently);
  expect((await written())[0]).toMatchObject({ action: 'agent.connect', target: 'h1', detail: { reason: `h1 (version 9.0): ${reason}` } });
  await vi.waitFor(() => expect(lines).toHaveLength(refusalsMax), patiently);
  expect(lines[0]).toMatchObject({ code: 'protocol', msg: expect.stringContaining(`h1 (version 9.0): ${reason}`) as string });
  // The line of this program that noticed it is nobody's business.
  expect(lines.filter(({ err }) => (err?.stack ?? '').includes('\n'))).toEqual([]);
});

const conditions = async (host: string): Promise<{ name: string; since: string }[]> =>
  (JSON.parse(await get(`/api/v1/hosts/${host}`)) as { conditions: { name: string; since: string }[] }).conditions;
const later = { type: 'hello', protocol: 9, protocolOldest: 7, host: 'h1', version: '9.0' };

it.each([
  ['that speaks another protocol', null, later, /speaks protocol 7 to 9, the collector 1: upgrade the collector \(its version: 9\.0\)/],
  ['whose hello cannot be read, with a token of its own', 'h1', { type: 'hello', protocol: 1 }, /no hello that can be read/],
])('a known host with an agent %s says so until the agent is let in: why, since when, what to do', async (_, host, hello, reason) => {
  const own = newToken('agent', host);
  const before = await dial(own);
  await before.hello();
  before.socket.close(1000);
  await vi.waitFor(async () => expect(await get('/api/v1/hosts/h1')).toContain('"disconnected"'), patiently);
  expect(await conditions('h1')).toEqual([]);
  const refuse = async (): Promise<void> => {
    const client = await dial(own);
    client.send(hello);
    await client.end();
  };
  await refuse();
  const [refused] = await conditions('h1');
  expect(refused).toMatchObject({
    name: 'agent-refused',
    severity: 'warning',
    reason: expect.stringMatching(reason) as string,
    advice: expect.stringContaining('workloads are looked after') as string,
  });
  await refuse();
  expect(await conditions('h1')).toEqual([refused]);
  await (await dial(own)).hello();
  expect(await conditions('h1')).toEqual([]);
  const told = async (): Promise<unknown[]> =>
    (JSON.parse(await get('/api/v1/events?host=h1&kind=host.notice')) as { items: { data: { state: string } }[] }).items.map(
      ({ data }) => data.state,
    );
  await vi.waitFor(async () => expect(new Set(await told())).toEqual(new Set(['raised', 'cleared'])), patiently);
});

it('a host whose token was revoked says so as long as its agent tries: it looked like one that has fallen silent', async () => {
  const db = openForWriting(dataDir);
  const { id, token } = tokenWrites(db).createToken('agent', 'h1', 1);
  const next = newToken('agent', 'h1');
  const before = await dial(token);
  await before.hello();
  tokenWrites(db).revokeToken(id, 2);
  db.close();
  await before.end();
  await vi.waitFor(async () => expect(await get('/api/v1/hosts/h1')).toContain('"disconnected"'), patiently);
  const refused = new AgentClient(url, token);
  clients.push(refused);
  expect(await refused.upgrade()).toMatchObject({ status: 401 });
  expect(await conditions('h1')).toMatchObject([
    {
      name: 'agent-refused',
      reason: expect.stringContaining('revoked') as string,
      advice: expect.stringContaining('token create --kind join') as string,
    },
  ]);
  await (await dial(next)).hello();
  expect(await conditions('h1')).toEqual([]);
});

it.each([
  ['machine', { machineId: 'machine-2' }, /given to another machine/],
  ['agent', { agentId: 'agent-0002' }, /given to another agent/],
  ['name', { host: 'renamed' }, /this token is for host h1/],
])(
  'a host whose agent comes as another %s than its token was given to says so: it looked like one that is down',
  async (_, more, reason) => {
    const own = newToken('agent', 'h1');
    const db = openForWriting(dataDir);
    db.prepare("UPDATE tokens SET agent_id = 'agent-0001', machine_id = 'machine-1' WHERE host = 'h1'").run();
    const { id } = db.prepare("SELECT id FROM tokens WHERE host = 'h1'").get() as { id: string };
    db.close();
    const before = await dial(own);
    await before.hello();
    // Not as long as it is connected: then it is somebody else.
    await expect((await dial(own)).hello(more)).rejects.toThrow(/4401/);
    expect(await conditions('h1')).toEqual([]);
    before.socket.close(1000);
    await vi.waitFor(async () => expect(await get('/api/v1/hosts/h1')).toContain('"disconnected"'), patiently);
    await expect((await dial(own)).hello(more)).rejects.toThrow(/4401/);
    expect(await conditions('h1')).toMatchObject([
      {
        name: 'agent-refused',
        reason: expect.stringMatching(reason) as string,
        advice: expect.stringContaining('token create --kind join') as string,
      },
    ]);
    // It may be a thief, while the host is down.
    const as = 'host' in more ? more.host : 'h1';
    expect(await conditions('h1')).toMatchObject([
      {
        reason: expect.stringContaining(`nothing is heard of this host, and 127.0.0.1 comes with its token as ${as}: `) as string,
        advice: expect.stringContaining(`relight-collector token revoke ${id}, then let this host join anew`) as string,
      },
    ]);
    expect(JSON.stringify(await conditions('h1'))).not.toMatch(/relight forget|looked after/);
    await (await dial(own)).hello();
    expect(await conditions('h1')).toEqual([]);
  },
);

it.each([
  ['another agent, which this host’s has replaced', 'agent', 'former'],
  ['an operator', 'operator', null],
] as const)('a revoked token that was one of %s says nothing of the host', async (_, kind, agentId) => {
  const own = newToken('agent', 'h1');
  const before = await dial(own);
  await before.hello();
  before.socket.close(1000);
  await vi.waitFor(async () => expect(await get('/api/v1/hosts/h1')).toContain('"disconnected"'), patiently);
  const db = openForWriting(dataDir);
  const { id, token } = tokenWrites(db).createToken(kind, 'h1', 1);
  db.prepare('UPDATE tokens SET agent_id = ?, machine_id = ? WHERE id = ?').run(agentId, agentId, id);
  tokenWrites(db).revokeToken(id, 2);
  db.close();
  const refused = new AgentClient(url, token);
  clients.push(refused);
  expect((await refused.upgrade()).status).toBeGreaterThanOrEqual(401);
  await vi.waitFor(async () => expect(await written()).toHaveLength(1), patiently);
  expect(await conditions('h1')).toEqual([]);
});

it('of a host that is connected, and of one that nobody knows, nothing is said when somebody else is refused', async () => {
  const token = newToken('agent');
  await (await dial(token)).hello();
  for (const host of ['h1', 'h2']) {
    const stranger = await dial(token);
    stranger.send({ ...later, host });
    await stranger.end();
  }
  expect(await conditions('h1')).toEqual([]);
  expect(await get('/api/v1/hosts')).not.toContain('h2');
});

it('one for another host, of a clone and of who is locked out are counted by what was wrong', async () => {
  const token = newToken('agent');
  const first = await dial(token);
  await first.hello();
  await expect((await dial(newToken('agent', 'only'))).hello()).rejects.toThrow(/4401/);
  await expect((await dial(token)).hello({ machineId: 'machine-2', host: 'h2' })).rejects.toThrow(/4410/);
  await (await dial(token)).hello({ agentId: 'agent-0002', machineId: 'machine-2' });
  await expect((await dial(token)).hello()).rejects.toThrow(/4409/);
  expect([await counted('unauthorized'), await counted('forbidden'), await counted('protocol')]).toEqual([1, 2, 0]);
  await vi.waitFor(async () => expect(await written()).toHaveLength(3), patiently);
});

it.each([
  ['more labels', { labels: Object.fromEntries(Array.from({ length: labelsMax + 1 }, (_, i) => [`l${i}`, ''])) }, /at most 64 labels/],
  ['a longer label', { labels: { l: 'x'.repeat(labelLengthMax + 1) } }, /labels/],
  ['a longer name of a label', { labels: { ['x'.repeat(labelLengthMax + 1)]: '' } }, /labels/],
  ['longer facts', { facts: { gpus: Array.from({ length: 200 }, () => 'x'.repeat(100)) } }, /facts/],
])('one with %s than a host may have is refused, counted and written down; as many as it may have are taken', async (_, more, place) => {
  const token = newToken('agent');
  const client = await dial(token);
  void client.hello(more).catch(() => undefined);
  const { code } = await client.end();
  expect(code).toBe(4400);
  expect(await counted('protocol')).toBe(1);
  await vi.waitFor(async () => expect(JSON.stringify(await written())).toMatch(place), patiently);
  const labels = Object.fromEntries(
    Array.from({ length: labelsMax }, (_entry, i) => [`${i}`.padEnd(labelLengthMax), 'x'.repeat(labelLengthMax)]),
  );
  await (await dial(token)).hello({ labels });
  expect(await counted('protocol')).toBe(1);
});

it('what is no hello at all stands in the audit log as one line of plain text', async () => {
  const client = await dial(newToken('agent'));
  client.socket.send('\u001b[2J\nnot json');
  expect(await client.end()).toMatchObject({ code: 4400 });
  await vi.waitFor(async () => expect(await written()).toHaveLength(1), patiently);
  const [{ detail }] = (await written()) as [{ detail: { reason: string } }];
  expect(detail.reason).toMatch(/^no hello that can be read: [\x20-\x7e]+$/);
});
