/** A collector behind a proxy that ends TLS: who is behind it is in the audit log and counted, and nobody else is believed. */
import { systemClock } from '@relight/shared/clock';
import { agentPath, subprotocol } from '@relight/shared/protocol';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { createServer, request as httpsRequest, type RequestOptions, type Server } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { createCollector, type Collector } from '../app.ts';
import { readConfig } from '../config.ts';
import { openForWriting } from '../store/database.ts';
import type { TokenKind } from '../store/store.ts';
import { tokenWrites } from '../store/token-store.ts';
import { failuresMax } from './failures.ts';
import { selfSigned } from './self-signed.ts';

let dataDir: string;
let collector: Collector;
let collectorPort: number;
let proxy: Server;
let ca: string;
let operator: string;

/** Passes requests and WebSockets on, and says from whom they are, behind what the client itself has said. */
async function startProxy(): Promise<void> {
  const { certPem, keyPem } = await selfSigned({
    names: ['127.0.0.1'],
    keyPem: null,
    notBefore: Date.now() - 60_000,
    notAfter: Date.now() + 3_600_000,
  });
  ca = certPem;
  const passedOn = ({ headers, socket }: IncomingMessage): Record<string, string | readonly string[] | undefined> => ({
    ...headers,
    'x-forwarded-for': [headers['x-forwarded-for'] ?? [], socket.remoteAddress ?? ''].flat().join(', '),
  });
  proxy = createServer({ cert: certPem, key: keyPem }, (asked, answer) => {
    const { method, url: path } = asked;
    const target = { host: '127.0.0.1', port: collectorPort, method, path, headers: passedOn(asked) as Record<string, string> };
    const onward = httpRequest(target, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    onward.once('error', () => answer.destroy());
    asked.pipe(onward);
  });
  proxy.on('upgrade', (asked: IncomingMessage, socket, head) => {
    const onward = connect(collectorPort, '127.0.0.1', () => {
      const lines = Object.entries(passedOn(asked)).map(([name, value]) => `${name}: ${[value].flat().join(', ')}\r\n`);
      onward.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${lines.join('')}\r\n`);
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    for (const end of [onward, socket]) end.once('error', () => [onward, socket].forEach((one) => one.destroy()));
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
}
const proxyPort = (): number => (proxy.address() as AddressInfo).port;

async function start(trusted: readonly string[]): Promise<void> {
  const source = {
    file: 'c.yaml',
    text: JSON.stringify({ version: 1, data_dir: dataDir, listen: '127.0.0.1:0', trusted_proxies: trusted }),
  };
  collector = await createCollector({ config: readConfig(source), clock: systemClock, logger: pino({ level: 'silent' }), version: 'test' });
  collectorPort = Number(new URL((await collector.listen()).url).port);
  operator = newToken('operator');
}
function newToken(kind: TokenKind, host: string | null = null): string {
  const db = openForWriting(dataDir);
  try {
    return tokenWrites(db).createToken(kind, host, Date.now()).token;
  } finally {
    db.close();
  }
}

interface Asking {
  readonly token?: string;
  readonly method?: string;
  readonly body?: unknown;
  /** The client's own address: 127.0.0.0/8 is all of this machine. */
  readonly from?: string;
  readonly forwarded?: string;
}

async function ask(path: string, { token = operator, method = 'GET', body, from = '127.0.0.1', forwarded }: Asking = {}) {
  const headers = {
    authorization: `Bearer ${token}`,
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }),
  };
  const target: RequestOptions = {
    host: '127.0.0.1',
    port: proxyPort(),
    ca,
    path: `/api/v1/${path}`,
    method,
    headers,
    localAddress: from,
    agent: false,
  };
  const asked = httpsRequest(target);
  asked.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return {
    status: response.statusCode,
    body: JSON.parse(await text(response)) as { readonly items: readonly { readonly address: string }[] },
  };
}
const addresses = async (filter: string): Promise<readonly string[]> =>
  (await ask(`audit?${filter}`)).body.items.map(({ address }) => address);

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-proxy-'));
  await startProxy();
});
afterEach(async () => {
  await collector.close();
  proxy.closeAllConnections();
  await new Promise((resolve) => proxy.close(resolve));
  rmSync(dataDir, { recursive: true });
});

it('the audit log has the address of who is behind a proxy that is trusted, not what that one says of itself', async () => {
  await start(['127.0.0.1']);
  expect((await ask('hosts', { method: 'POST', body: { name: 'h1' }, from: '127.0.0.7' })).status).toBe(201);
  expect((await ask('hosts', { method: 'POST', body: { name: 'h2' }, from: '127.0.0.8', forwarded: '192.0.2.1' })).status).toBe(201);
  expect((await addresses('action=host.expect')).toSorted()).toEqual(['127.0.0.7', '127.0.0.8']);
});

it('failures are counted for who is behind it: one that guesses does not lock the others out', async () => {
  await start(['127.0.0.1']);
  const guess = (from: string) => ask('hosts', { token: 'rlo_guessed', from });
  for (let i = 0; i < failuresMax; i += 1) expect((await guess('127.0.0.7')).status).toBe(401);
  expect((await guess('127.0.0.7')).status).toBe(429);
  expect((await guess('127.0.0.8')).status).toBe(401);
});

it('a proxy that is not trusted is itself the client', async () => {
  await start([]);
  expect((await ask('hosts', { method: 'POST', body: { name: 'h1' }, from: '127.0.0.7' })).status).toBe(201);
  expect(await addresses('action=host.expect')).toEqual(['127.0.0.1']);
});

it('agents come through it, too: a refusal names where they are', async () => {
  await start(['127.0.0.1']);
  const dial = (token: string): WebSocket =>
    new WebSocket(`wss://127.0.0.1:${proxyPort()}${agentPath}`, [subprotocol], {
      headers: { authorization: `Bearer ${token}` },
      ca,
      localAddress: '127.0.0.9',
    });
  const agent = dial(newToken('agent'));
  await once(agent, 'open');
  agent.terminate();
  const [, refusal] = (await once(
    dial(operator).on('error', () => undefined),
    'unexpected-response',
  )) as [unknown, IncomingMessage];
  expect(refusal.statusCode).toBe(403);
  refusal.destroy();
  await vi.waitFor(async () => expect(await addresses('action=agent.connect&outcome=refused')).toEqual(['127.0.0.9']), {
    timeout: 60_000,
    interval: 20,
  });
});
