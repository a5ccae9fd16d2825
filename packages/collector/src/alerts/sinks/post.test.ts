/** What can go wrong with a receiver, on real sockets. */
import { execFile } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createSecureServer } from 'node:https';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { waitFor } from '../../../../../test/support/wait.ts';
import { selfSigned } from '../../access/self-signed.ts';
import { post } from './post.ts';

const body = JSON.stringify({ said: 'ä' });
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

interface Receiver {
  readonly address: string;
  /** Whole requests, as they came. */
  readonly requests: readonly string[];
  /** Connections so far. */
  readonly connections: () => number;
  /** Sockets that are not closed yet. */
  readonly open: ReadonlySet<Socket>;
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** `act` is called with each request when all of it is there; null: with each connection. */
async function receiver(act: (socket: Socket, request: string) => void, whole = true): Promise<Receiver> {
  const requests: string[] = [];
  const open = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    open.add(socket);
    let text = '';
    socket.on('error', () => undefined);
    socket.once('close', () => open.delete(socket));
    if (!whole) act(socket, '');
    socket.on('data', (piece) => {
      text += piece.toString('utf8');
      if (!text.endsWith(body)) return;
      requests.push(text);
      if (whole) act(socket, text);
    });
  });
  cleanups.push(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return { address: await listen(server), requests, open, connections: () => connections };
}

/** Writes a piece again and again, as fast as it is taken or every so many milliseconds, until the socket is closed. */
function pour(socket: Socket, piece: string, everyMs?: number): void {
  const write = (): void => {
    for (let isTaken = true; isTaken && !socket.destroyed;) isTaken = socket.write(piece) && everyMs === undefined;
  };
  if (everyMs === undefined) socket.on('drain', write);
  else {
    const timer = setInterval(write, everyMs);
    socket.once('close', () => clearInterval(timer));
  }
  write();
}

/** The deadline, as delivery.ts gives it; here it comes as soon as the receiver has the message and the test says so. */
function deadline(): { readonly signal: AbortSignal; readonly passes: () => void } {
  const late = new AbortController();
  return { signal: late.signal, passes: () => late.abort(new Error('no answer within 10 s')) };
}

const send = (url: string): ReturnType<typeof post> => post(url, body, AbortSignal.timeout(30_000));

test('a message arrives whole, on a connection of its own, and is taken with any 2xx', async () => {
  const answers = [
    '200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}',
    '202 Accepted\r\nContent-Length: 0\r\n\r\n',
    '204 No Content\r\n\r\n',
  ];
  const { address, requests, open, connections } = await receiver((socket) => socket.write(`HTTP/1.1 ${answers[requests.length - 1]}`));
  for (const _ of answers) expect(await send(`http://${address}/hook?token=a%20b`)).toEqual({ outcome: 'delivered' });
  expect([requests.length, connections()]).toEqual([answers.length, answers.length]);
  const [head = '', sent] = requests[0]?.split('\r\n\r\n') ?? [];
  expect(sent).toBe(body);
  expect(head.split('\r\n')).toEqual(
    expect.arrayContaining([
      'POST /hook?token=a%20b HTTP/1.1',
      `Host: ${address}`,
      'content-type: application/json',
      'user-agent: relight',
      'Connection: close',
      `Content-Length: ${Buffer.byteLength(body)}`,
    ]),
  );
  await waitFor(() => open.size === 0, { what: 'no connection to be left' });
});

test.each([
  ['accepts and says nothing', () => undefined],
  ['says its headers a byte at a time', (socket: Socket) => (socket.write('HTTP/1.1 200 OK\r\nx-a: '), pour(socket, 'a', 5))],
  ['goes on and on about continuing', (socket: Socket) => pour(socket, 'HTTP/1.1 100 Continue\r\n\r\n', 1)],
])('a receiver that %s is left at the deadline, with everything closed', async (_, act) => {
  const { address, requests, open } = await receiver(act);
  const { signal, passes } = deadline();
  const result = post(`http://${address}/`, body, signal);
  await waitFor(() => requests.length === 1, { what: 'the message' });
  passes();
  expect(await result).toEqual({ outcome: 'retry', reason: 'no answer within 10 s' });
  await waitFor(() => open.size === 0, { what: 'no connection to be left' });
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('the deadline holds for a connection that TLS is never spoken on, too', async () => {
  const { address, open } = await receiver(() => undefined, false);
  const { signal, passes } = deadline();
  const result = post(`https://${address}/`, body, signal);
  await waitFor(() => open.size === 1, { what: 'a connection' });
  passes();
  expect(await result).toEqual({ outcome: 'retry', reason: 'no answer within 10 s' });
});

test('what stands behind a status is read up to a bound, and the status counts however it ends', async () => {
  const endings: Record<string, (socket: Socket) => void> = {
    'without an end': (socket) => pour(socket, 'x'.repeat(10_000)),
    'reset in the middle': (socket) => socket.write('x', () => socket.resetAndDestroy()),
    'shorter than announced': (socket) => socket.end('x'),
    'no chunks at all': (socket) => socket.end('nonsense'),
  };
  for (const [ending, act] of Object.entries(endings)) {
    for (const [status, outcome] of [
      ['200 OK', 'delivered'],
      ['503 Unavailable', 'retry'],
      ['400 Bad', 'refused'],
    ] as const) {
      const framing = ending === 'no chunks at all' ? 'Transfer-Encoding: chunked' : 'Content-Length: 1000000000';
      const { address, open } = await receiver((socket) => socket.write(`HTTP/1.1 ${status}\r\n${framing}\r\n\r\n`, () => act(socket)));
      expect([ending, await send(`http://${address}/`)]).toMatchObject([ending, { outcome }]);
      await waitFor(() => open.size === 0, { what: 'no connection to be left' });
    }
  }
});

test('a body that comes a byte at a time ends with the deadline, and the status has counted', async () => {
  const { address, requests, open } = await receiver((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    pour(socket, 'x', 5);
  });
  const { signal, passes } = deadline();
  const result = post(`http://${address}/`, body, signal);
  await waitFor(() => requests.length === 1 && [...open].some((socket) => socket.bytesWritten > 40), { what: 'some of the answer' });
  passes();
  expect(await result).toEqual({ outcome: 'delivered' });
  await waitFor(() => open.size === 0, { what: 'no connection to be left' });
});

test.each<[string, (socket: Socket) => void, RegExp]>([
  [
    'sends headers without an end',
    (socket) => (socket.write('HTTP/1.1 200 OK\r\n'), pour(socket, `x-a: ${'a'.repeat(1_000)}\r\n`)),
    /Header overflow/,
  ],
  ['resets the connection', (socket) => void socket.resetAndDestroy(), /ECONNRESET/],
  ['resets it in its headers', (socket) => void socket.write('HTTP/1.1 200 OK\r\nx-a:', () => socket.resetAndDestroy()), /ECONNRESET/],
  ['closes the connection without a word', (socket) => void socket.end(), /socket hang up/],
  ['speaks another protocol', (socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n'), /Parse Error/],
  [
    'changes the protocol',
    (socket) => void socket.write('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'),
    /closed without an answer/,
  ],
])('a receiver that %s is tried again', async (_, act, reason) => {
  const { address, open } = await receiver(act);
  expect(await send(`http://${address}/`)).toEqual({ outcome: 'retry', reason: expect.stringMatching(reason) as string });
  await waitFor(() => open.size === 0, { what: 'no connection to be left' });
});

test('a receiver that closes the connection before it has read anything is tried again', async () => {
  const { address } = await receiver((socket) => void socket.destroy(), false);
  expect(await send(`http://${address}/`)).toMatchObject({ outcome: 'retry' });
});

test('nobody listening, no such name and a signal that has passed already are told in words', async () => {
  const { address } = await receiver(() => undefined);
  cleanups.splice(0).forEach((cleanup) => cleanup());
  const [, port] = address.split(':');
  expect(await send(`http://${address}/`)).toEqual({ outcome: 'retry', reason: `connect ECONNREFUSED ${address}` });
  // Of more than one address.
  expect(await send(`http://localhost:${port}/`)).toEqual({
    outcome: 'retry',
    reason: expect.stringMatching(/^connect ECONNREFUSED \S/) as string,
  });
  expect(await send('http://receiver.invalid/')).toMatchObject({
    outcome: 'retry',
    reason: expect.stringContaining('receiver.invalid') as string,
  });
  expect(await post(`http://${address}/`, body, AbortSignal.abort(new Error('shutting down')))).toEqual({
    outcome: 'retry',
    reason: 'shutting down',
  });
});

test.each([
  ['120', 120_000],
  ['0', 0],
  ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
])('a busy receiver says when to come again: %s', async (retryAfter, afterMs) => {
  for (const status of ['429 Too Many Requests', '503 Service Unavailable']) {
    const { address } = await receiver((socket) =>
      socket.end(`HTTP/1.1 ${status}\r\nRetry-After: ${retryAfter}\r\nContent-Length: 0\r\n\r\n`),
    );
    expect(await send(`http://${address}/`)).toEqual({
      outcome: 'retry',
      reason: `HTTP ${status.slice(0, 3)}`,
      ...(afterMs === undefined ? {} : { afterMs }),
    });
  }
});

test('the same request is made again where the same server says so, with the password', async () => {
  const { address, requests } = await receiver((socket, request) =>
    socket.end(request.startsWith('POST /moved') ? 'HTTP/1.1 200 OK\r\n\r\n' : 'HTTP/1.1 308 Permanent\r\nLocation: /moved\r\n\r\n'),
  );
  expect(await send(`http://relight:word@${address}/hook`)).toEqual({ outcome: 'delivered' });
  expect(requests.map((request) => /^POST (\S+) [^]*authorization: (.*)\r\n[^]*\r\n\r\n(.*)$/.exec(request)?.slice(1))).toEqual([
    ['/hook', 'Basic cmVsaWdodDp3b3Jk', body],
    ['/moved', 'Basic cmVsaWdodDp3b3Jk', body],
  ]);
});

test('no other redirect is followed: the reason says where to, without what is secret of it', async () => {
  const other = await receiver((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'));
  const refused = async (status: number, location: string): Promise<unknown> => {
    const { address } = await receiver((socket) => socket.end(`HTTP/1.1 ${status} x\r\nLocation: ${location}\r\n\r\n`));
    return send(`http://${address}/hook`);
  };
  const reason = (status: number): string =>
    `HTTP ${status} to http://${other.address}/to/…, which is not followed: put that address into alerts.sinks`;
  for (const status of [301, 302, 303, 307, 308])
    expect(await refused(status, `http://user:word@${other.address}/to/0123456789abcdef0123?token=secret`)).toEqual({
      outcome: 'refused',
      reason: reason(status),
    });
  expect(other.requests).toEqual([]);
  expect(await refused(307, 'http://[')).toEqual({ outcome: 'refused', reason: 'HTTP 307' });
  expect(await refused(308, 'ftp://127.0.0.1/')).toMatchObject({ outcome: 'refused' });
  expect(await refused(304, '/hook')).toMatchObject({ outcome: 'refused' });
});

test('a receiver that sends on in a circle is given up as refused', async () => {
  const { address, requests } = await receiver((socket) => socket.end('HTTP/1.1 307 Temporary\r\nLocation: /hook\r\n\r\n'));
  expect(await send(`http://${address}/hook`)).toMatchObject({
    outcome: 'refused',
    reason: expect.stringMatching(/^HTTP 307 to /) as string,
  });
  expect(requests).toHaveLength(6);
});

/** In a process of its own: Node reads these variables once. Its deadline comes when `late` says so. */
async function sendWith(env: Readonly<Record<string, string>>, url: string, late?: () => boolean): Promise<unknown> {
  const script = `const { post } = await import(${JSON.stringify(join(import.meta.dirname, 'post.ts'))});
    const late = new AbortController();
    process.stdin.resume().once('end', () => late.abort(new Error('no answer within 10 s')));
    console.log(JSON.stringify(await post(${JSON.stringify(url)}, ${JSON.stringify(body)}, late.signal)));
    process.exit();`;
  const args = [...process.execArgv, '--input-type=module', '--eval', script];
  const running = promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } });
  if (late !== undefined) {
    await waitFor(late, { what: 'the moment of the deadline', timeoutMs: 60_000 });
    running.child.stdin?.end();
  }
  return JSON.parse((await running).stdout);
}

async function secureReceiver(): Promise<{ readonly url: string; readonly certPem: string; readonly bodies: readonly string[] }> {
  const times = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 };
  const { certPem, keyPem } = await selfSigned({ names: ['127.0.0.1'], keyPem: null, ...times });
  const bodies: string[] = [];
  const server = createSecureServer({ cert: certPem, key: keyPem }, (request, response) => {
    void text(request).then((sent) => {
      bodies.push(sent);
      response.end();
    });
  });
  cleanups.push(() => server.close());
  return { url: `https://${await listen(server)}/`, certPem, bodies };
}

test('a certificate that nobody vouches for is refused before anything is sent, and the reason says what to do', async () => {
  const { url, certPem, bodies } = await secureReceiver();
  const reason = expect.stringMatching(/^self-signed certificate; .*NODE_EXTRA_CA_CERTS=FILE/) as string;
  expect(await send(url)).toEqual({ outcome: 'retry', reason });
  expect(bodies).toEqual([]);
  const directory = mkdtempSync(join(tmpdir(), 'relight-post-'));
  cleanups.push(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'ca.pem');
  writeFileSync(file, certPem);
  expect(await sendWith({ NODE_EXTRA_CA_CERTS: file }, url)).toEqual({ outcome: 'delivered' });
  expect(bodies).toEqual([body]);
});

test('proxies are used where Node is told to', async () => {
  const proxy = await receiver((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'));
  const env = { NODE_USE_ENV_PROXY: '1', http_proxy: `http://${proxy.address}`, no_proxy: '' };
  expect(await sendWith(env, 'http://receiver.invalid/hook')).toEqual({ outcome: 'delivered' });
  expect(proxy.requests[0]).toMatch(/^POST http:\/\/receiver\.invalid\/hook HTTP/);
  const tunnels: string[] = [];
  const answers = ['HTTP/1.1 403 Forbidden\r\n\r\n', ''];
  const tunnel = await receiver((socket) => {
    socket.once('data', (head) => {
      tunnels.push(head.toString('latin1'));
      socket.write(answers[tunnels.length - 1] ?? '');
    });
  }, false);
  const tunnelled = (late?: () => boolean): Promise<unknown> =>
    sendWith({ NODE_USE_ENV_PROXY: '1', https_proxy: `http://${tunnel.address}`, no_proxy: '' }, 'https://receiver.invalid/hook', late);
  expect(await tunnelled()).toEqual({ outcome: 'retry', reason: expect.stringContaining('403') as string });
  // One that never answers has no longer than a receiver.
  expect(await tunnelled(() => tunnels.length === 2)).toEqual({ outcome: 'retry', reason: 'no answer within 10 s' });
  expect(tunnels).toEqual(tunnels.map(() => expect.stringMatching(/^CONNECT receiver\.invalid:443 HTTP/) as string));
  expect(tunnels).toHaveLength(2);
});

test('a percent sign of a password that stands for itself does no harm', async () => {
  const { address, requests } = await receiver((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'));
  expect(await send(`http://relight:100%25%zz@${address}/`)).toEqual({ outcome: 'delivered' });
  expect(requests[0]).toContain(`authorization: Basic ${Buffer.from('relight:100%25%zz').toString('base64')}`);
});
