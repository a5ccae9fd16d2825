/** How agents get, renew and lose tokens of their own, through the doors of a collector on real disk. */
import type { ApiToken } from '@relight/shared/api';
import { systemClock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { joinPath, renewPath, type AgentCredential, type JoinRequest } from '@relight/shared/join';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { failuresMax } from '../access/failures.ts';
import { refusalsMax } from '../access/refusal-book.ts';
import { createCollector, type Collector, type CollectorOptions } from '../app.ts';
import { readConfig } from '../config.ts';
import { AgentClient } from '../ingest/agent-client.ts';
import { openForReading, openForWriting } from '../store/database.ts';
import type { Role, TokenKind } from '../store/store.ts';
import { tokenReads, tokenWrites } from '../store/token-store.ts';

/** What is written down after the answer, on a disk that takes its time. */
const patiently = { timeout: 60_000, interval: 20 };
const me: JoinRequest = { agentId: 'agent-0001', machineId: 'system.hardware', host: 'h1' };

let dataDir: string;
let collector: Collector;
let url: string;
let operator: string;
const clients: AgentClient[] = [];

async function start(more: Partial<CollectorOptions> = {}): Promise<void> {
  const config = readConfig(null, [{ listen: '127.0.0.1:0', dataDir }]);
  collector = await createCollector({ config, clock: systemClock, logger: pino({ level: 'silent' }), version: 'test', ...more });
  ({ url } = await collector.listen());
}
async function startBehindProxy(): Promise<void> {
  const config = readConfig({ file: 'c.yaml', text: 'version: 1\ntrusted_proxies: [127.0.0.1]\n' }, [{ listen: '127.0.0.1:0', dataDir }]);
  await collector.close();
  await start({ config });
}
function newToken(kind: TokenKind, more: { readonly host?: string; readonly role?: Role } = {}): string {
  const db = openForWriting(dataDir);
  try {
    return tokenWrites(db).createToken(kind, more.host ?? null, Date.now(), { ...more, ...(kind === 'join' ? { usesLeft: 9 } : {}) }).token;
  } finally {
    db.close();
  }
}

function revokedBeside(id: string): readonly string[] {
  const db = openForWriting(dataDir);
  try {
    return tokenWrites(db).revokeToken(id, Date.now());
  } finally {
    db.close();
  }
}

async function ask(
  method: string,
  path: string,
  token: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { ...headers, authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? null : JSON.parse(text) };
}
async function given(path: string, token: string, who: JoinRequest = me): Promise<AgentCredential> {
  const { status, body } = await ask('POST', path, token, who);
  if (status !== 201) throw new Error(`${path} answers ${status}: ${JSON.stringify(body)}`);
  return body as AgentCredential;
}
const joined = (): Promise<AgentCredential> => given(joinPath, newToken('join'));

function dial(token: string): AgentClient {
  const client = new AgentClient(url, token);
  clients.push(client);
  return client;
}
const items = async (path: string): Promise<unknown[]> => {
  const { body } = await ask('GET', `/api/v1/${path}`, operator);
  return (body as { items: unknown[] }).items;
};
const refused = (more = ''): Promise<unknown[]> => items(`audit?outcome=refused&limit=500${more}`);
const upgrade = async (token: string): Promise<number> => (await dial(token).upgrade()).status;
/** Waits for it where it is stored: whoever dials with one that is good still uses up what the host's tokens may dial. */
async function ended(...tokens: readonly AgentCredential[]): Promise<void> {
  const revoked = (): Set<string> => {
    const db = openForReading(dataDir);
    try {
      return tokenReads(db).revokedTokenIds();
    } finally {
      db.close();
    }
  };
  await vi.waitFor(() => expect([...revoked()]).toEqual(expect.arrayContaining(tokens.map(({ tokenId }) => tokenId))), patiently);
  expect(await Promise.all(tokens.map(({ token }) => upgrade(token)))).toEqual(tokens.map(() => 401));
}

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-joining-'));
  await start();
  operator = newToken('operator');
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate();
  await collector.close();
  rmSync(dataDir, { recursive: true });
});

it('takes no name or id that a terminal could take for a command', async () => {
  const token = newToken('join');
  for (const other of [{ host: 'h\u001b[2J' }, { host: '-h' }, { agentId: 'agent-0001\n' }, { machineId: '\u202e' }]) {
    expect(await ask('POST', joinPath, token, { ...me, ...other })).toMatchObject({ status: 400, body: { code: 'usage' } });
  }
  await given(joinPath, token);
});

it('says of a token that is made by the API which one it is, and for how long', async () => {
  const asked = { kind: 'join', name: 'rack 7', host: 'h1', validFor: '1h', uses: 3 };
  const { id, expiresAt } = (await ask('POST', '/api/v1/tokens', operator, asked)).body as ApiToken;
  expect(await items('audit?action=token.create')).toMatchObject([
    { target: id, outcome: 'done', detail: { kind: 'join', name: 'rack 7', host: 'h1', uses: 3, expiresAt } },
  ]);
  expect(expiresAt).not.toBeNull();
});

it('refuses a copied machine id under another name while the first host is connected, and spends no use of the token', async () => {
  await startBehindProxy();
  const { token } = await given(joinPath, newToken('join'));
  await dial(token).hello({ machineId: me.machineId });
  const once = newToken('join');
  const copy = { ...me, host: 'h2' };
  expect(await ask('POST', joinPath, once, copy, { 'x-forwarded-for': '10.9.9.9' })).toMatchObject({
    status: 409,
    body: {
      code: 'conflict',
      detail: 'this host has the same machine id (/etc/machine-id) as h1 at 127.0.0.1, which is connected',
      advice: expect.stringContaining('systemd-machine-id-setup') as string,
    },
  });
  await vi.waitFor(async () => expect(JSON.stringify(await items('audit?action=agent.join'))).toContain('same machine id'), patiently);
  // The host itself, from where it is, under its new name; or another machine.
  await given(joinPath, once, copy);
  await given(joinPath, once, { ...copy, agentId: 'agent-0002' });
});

describe('a token that is renewed', () => {
  it.each([
    ['another agent', { agentId: 'agent-0002' }, /given to another agent/],
    ['another machine', { machineId: 'system.another' }, /given to another machine/],
    ['another host', { host: 'h2' }, /for host h1/],
  ])('is renewed for nobody but its owner: not for %s', async (_, other, reason) => {
    const { token } = await joined();
    expect(await ask('POST', renewPath, token, { ...me, ...other })).toMatchObject({
      status: 401,
      body: { detail: expect.stringMatching(reason) as string },
    });
    expect(await ask('POST', renewPath, token, {})).toMatchObject({ status: 400 });
    // As far as it is known: an agent without the rights of root does not see the hardware's id.
    await given(renewPath, token, { ...me, machineId: 'system.-' });
  });

  it('has one heir at most, also when an earlier one has knocked already, and goes when that one says hello', async () => {
    const first = await joined();
    const second = await given(renewPath, first.token);
    expect(await upgrade(second.token)).toBe(101);
    const third = await given(renewPath, first.token);
    expect(await upgrade(second.token)).toBe(401);
    expect(await upgrade(first.token)).toBe(101);
    await dial(third.token).hello(me);
    await ended(first);
    expect(await ask('POST', renewPath, first.token, me)).toMatchObject({ status: 401 });
    expect(await upgrade(third.token)).toBe(101);
  });
});

describe('an agent that joins again', () => {
  it('has what it had until it uses the new token, and no longer', async () => {
    const first = await joined();
    const heir = await given(renewPath, first.token);
    const lost = await joined();
    const again = await joined();
    const other = await given(joinPath, newToken('join'), { ...me, host: 'h2' });
    expect(await Promise.all([first, heir, again].map(({ token }) => upgrade(token)))).toEqual([101, 101, 101]);
    // Whoever has a former one cannot take the new one away.
    const beside = await given(renewPath, lost.token);
    await dial(again.token).hello(me);
    await ended(first, heir, lost, beside);
    expect(await upgrade(again.token)).toBe(101);
    expect(await upgrade(other.token)).toBe(101);
  });

  it('ends with its new token whatever was made of the former one meanwhile, in whatever order, also when the clock was set back', async () => {
    await collector.close();
    let ahead = 0;
    await start({ clock: { ...systemClock, now: () => Date.now() + ahead } });
    const first = await joined();
    ahead = -3_600_000;
    const again = await joined();
    const grown = await given(renewPath, (await given(renewPath, first.token)).token);
    // The answer is said to be lost: what had grown of it ends.
    const beside = await given(renewPath, first.token);
    expect(await upgrade(grown.token)).toBe(401);
    ahead = 0;
    const late = await given(renewPath, beside.token);
    // Used, it ends what it was made of, and takes nothing from the agent.
    await dial(late.token).hello(me);
    await ended(beside);
    const last = await joined();
    await dial(again.token).hello(me);
    await ended(late);
    expect(await Promise.all([again, last].map(({ token }) => upgrade(token)))).toEqual([101, 101]);
    await dial(last.token).hello(me);
    await ended(again);
  });
});

describe('a token that is revoked', () => {
  it.each([
    ['by the API', async (id: string) => expect((await ask('DELETE', `/api/v1/tokens/${id}`, operator)).status).toBe(204)],
    ['beside the service', async (id: string) => expect(revokedBeside(id)).toEqual([id])],
  ])('%s ends every stream that an operator has open on it, and nothing new begins', async (_, revoke) => {
    const made = await ask('POST', '/api/v1/tokens', operator, { kind: 'operator', role: 'view' });
    const { id, token } = made.body as ApiToken & { readonly token: string };
    const open = (path: string, as: string): Promise<Response> =>
      fetch(`${url}/api/v1/${path}`, { headers: { authorization: `Bearer ${as}` } });
    const theirs = await Promise.all(['stream', 'logs/tail'].map((path) => open(path, token)));
    const mine = await open('stream', operator);
    expect(theirs.map(({ status }) => status)).toEqual([200, 200]);
    let mineEnded = false;
    const reading = mine.text().then(
      () => undefined,
      () => void (mineEnded = true),
    );
    await revoke(id);
    // Cut off, not ended: whoever reads must not take it for the end of what there was.
    for (const stream of theirs) await expect(stream.text()).rejects.toThrow(/terminated/);
    expect((await open('stream', token)).status).toBe(401);
    expect(mineEnded).toBe(false);
    await collector.close();
    await reading;
    await start();
  });

  it.each([
    ['the one that was renewed', 0],
    ['its heir', 1],
  ])('takes all with it that its agent has: %s', async (_, which) => {
    const first = await joined();
    const second = await given(renewPath, first.token);
    const other = await given(joinPath, newToken('join'), { agentId: 'agent-0002', machineId: 'another.one', host: 'h1' });
    const connected = dial(first.token);
    await connected.hello(me);
    const id = [first, second][which]?.tokenId ?? '';
    expect(await ask('DELETE', `/api/v1/tokens/${id}`, operator)).toMatchObject({ status: 204 });
    expect(await connected.end()).toMatchObject({ code: 4401 });
    expect(await Promise.all([first, second].map(({ token }) => upgrade(token)))).toEqual([401, 401]);
    // Who has joined under the same name elsewhere is somebody else.
    expect(await upgrade(other.token)).toBe(101);
    expect(await ask('DELETE', `/api/v1/tokens/${id}`, operator)).toMatchObject({ status: 404 });
    expect((await ask('GET', '/api/v1/audit?action=token.revoke&outcome=done', operator)).body).toMatchObject({
      items: [{ target: id, detail: { revoked: expect.arrayContaining([first.tokenId, second.tokenId]) as string[] } }],
    });
  });
});

describe('what is done is written down before it is answered', () => {
  it.each([
    ['a host that joins', 'agent.join', () => ask('POST', joinPath, newToken('join'), me)],
    ['a token that is made', 'token.create', () => ask('POST', '/api/v1/tokens', operator, { kind: 'agent' })],
    ['a host that is announced', 'host.expect', () => ask('POST', '/api/v1/hosts', operator, { name: 'h9' })],
  ])('%s', async (_, action, call) => {
    let begun: () => void = () => undefined;
    const writing = new Promise<void>((resolve) => (begun = resolve));
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    await collector.close();
    await start({
      wrapStore: (store) => ({
        ...store,
        async appendAudit(entry) {
          begun();
          await held;
          await store.appendAudit(entry);
        },
      }),
    });
    let answered = false;
    const answer = call().finally(() => (answered = true));
    await writing;
    // Another question is answered meanwhile, so an answer that did not wait would be here.
    await ask('GET', '/api/v1/hosts', operator);
    expect(answered).toBe(false);
    release();
    expect((await answer).status).toBe(201);
    expect((await ask('GET', `/api/v1/audit?action=${action}`, operator)).body).toMatchObject({ items: [{ outcome: 'done' }] });
  });

  it('what cannot be written down is not answered as done, and a token of it is not handed out', async () => {
    await collector.close();
    const full = new RelightError('store-failed', 'the disk is full');
    await start({ wrapStore: (store) => ({ ...store, appendAudit: () => Promise.reject(full) }) });
    const answer = await ask('POST', joinPath, newToken('join'), me);
    expect(answer).toMatchObject({ status: 503, body: { code: 'store-failed' } });
    expect(JSON.stringify(answer.body)).not.toContain('rla_');
  });
});

describe('what is refused to a known token is written down', () => {
  it('on the way of agents, too: of a wrong kind, revoked, or for another host, whose events tell of it', async () => {
    await dial(newToken('agent', { host: 'h1' })).hello(me);
    expect(await upgrade(operator)).toBe(403);
    const copied = dial(newToken('agent', { host: 'h1' }));
    await expect(copied.hello({ agentId: 'agent-0002', machineId: 'another.one', host: 'h1-clone' })).rejects.toThrow(/4401 .*for host h1/);
    await vi.waitFor(async () => {
      expect(await refused('&action=agent.connect')).toMatchObject([
        { target: 'h1', address: '127.0.0.1', detail: { host: 'h1-clone', agentId: 'agent-0002', reason: 'this token is for host h1' } },
        { target: null, role: 'admin', detail: { reason: 'this is an operator token' } },
      ]);
      expect(await items('events?host=h1&kind=host.notice')).toMatchObject([
        { message: expect.stringMatching(/token of h1 was used as h1-clone/) as string, data: { address: '127.0.0.1' } },
      ]);
    }, patiently);
  });

  it('however many requests without any token come from the same address', async () => {
    const { token, tokenId } = await joined();
    await ask('DELETE', `/api/v1/tokens/${tokenId}`, operator);
    for (let i = 0; i < failuresMax; i += 1) await ask('GET', '/api/v1/hosts', 'rla_nobody');
    expect(await ask('GET', '/api/v1/hosts', 'rla_nobody')).toMatchObject({ status: 429 });
    expect(await ask('GET', '/api/v1/hosts', token)).toMatchObject({ status: 401 });
    expect(await upgrade(token)).toBe(401);
    await vi.waitFor(
      async () => expect(await refused(`&actor=${tokenId}`)).toMatchObject([{ action: 'agent.connect' }, { action: 'GET /api/v1/hosts' }]),
      patiently,
    );
  });

  it('so many times and no more, or whoever may only look could fill the disk', async () => {
    const view = newToken('operator', { role: 'view' });
    for (let i = 0; i < refusalsMax + 5; i += 1)
      expect(await ask('POST', '/api/v1/hosts', view, { name: 'h9' })).toMatchObject({ status: 403 });
    expect(await refused()).toHaveLength(refusalsMax);
    const { token } = await joined();
    let answer = await ask('POST', renewPath, token, me);
    for (let i = 0; i < 100 && answer.status === 201; i += 1) answer = await ask('POST', renewPath, token, me);
    expect(answer).toMatchObject({ status: 429, body: { code: 'too-many-failures' } });
  });

  it('nor is a token renewed by the one that has just come of it, over and over', async () => {
    let { token } = await joined();
    const statuses: number[] = [];
    for (let i = 0; i < 100 && statuses.at(-1) !== 429; i += 1) {
      const answer = await ask('POST', renewPath, token, me);
      statuses.push(answer.status);
      if (answer.status === 201) token = (answer.body as AgentCredential).token;
    }
    expect(statuses).toEqual([...Array.from({ length: 30 }, () => 201), 429]);
  });

  it('nor from however many addresses', async () => {
    await startBehindProxy();
    const { token } = await joined();
    const statuses: number[] = [];
    for (let i = 0; i < 101; i += 1) {
      const forwarded = { 'x-forwarded-for': `10.0.0.${i}` };
      statuses.push((await ask('POST', renewPath, token, me, forwarded)).status);
    }
    expect(statuses).toEqual([...Array.from({ length: 100 }, () => 201), 429]);
  });
});
