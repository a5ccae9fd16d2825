/**
 * One message to an address of the configuration. With node:http, for fetch brings WebAssembly into the process, and Node 24.21 was seen
 * to end a process over it (`Check failed: jit_page.has_value()`). Each message has a connection of its own: alerts are rare, and one
 * that is kept is closed by the other side just when it is used. Authorities are those of Node and of NODE_EXTRA_CA_CERTS; a proxy
 * (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) is used with NODE_USE_ENV_PROXY=1.
 */
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, globalAgent, request as httpsRequest } from 'node:https';
import { errorMessage } from '@relight/shared/errors';
import { sinkName } from './sink-name.ts';
import type { SendResult } from './sink.ts';

type Answer = Pick<IncomingMessage, 'statusCode' | 'headers'>;

/** What comes after the status is read for politeness: so much of it, and no longer than the deadline. */
const answerBytesMax = 64 << 10;
const movesMax = 5;
/** Of a proxy that says nothing: no signal closes a connection that is no tunnel yet. */
const tunnelTimeoutMs = 10_000;

/** With the proxies that Node has been told of; unlike those that Node has by itself, these ones keep no connection. */
const { proxyEnv } = globalAgent.options;
const http = { request: httpRequest, agent: new HttpAgent({ proxyEnv }) };
const https = { request: httpsRequest, agent: new HttpsAgent({ proxyEnv, timeout: tunnelTimeoutMs }) };

/** `configured`: http or https, with user and password or without. Until `signal` ends it, the answer included. Never rejects. */
export async function post(configured: string, body: string, signal: AbortSignal): Promise<SendResult> {
  try {
    let url = new URL(configured);
    const headers = { ...authorization(url), 'content-type': 'application/json', 'user-agent': 'relight' };
    for (let moves = 0; ; moves += 1) {
      const answer = await ask(url, headers, body, signal);
      const next = movedTo(url, answer);
      if (next === null || moves === movesMax) return judge(answer, url);
      url = next;
    }
  } catch (thrown) {
    return { outcome: 'retry', reason: signal.aborted ? errorMessage(signal.reason) : fault(thrown) };
  }
}

function judge({ statusCode: status = 0, headers }: Answer, url: URL): SendResult {
  if (status >= 200 && status < 300) return { outcome: 'delivered' };
  const reason = `HTTP ${status}`;
  const retry = status >= 500 || status === 408 || status === 429;
  if (retry) {
    const seconds = Number(headers['retry-after'] ?? Number.NaN);
    return { outcome: 'retry', reason, ...(Number.isFinite(seconds) ? { afterMs: seconds * 1000 } : {}) };
  }
  const target = headers.location === undefined ? null : URL.parse(headers.location, url.href);
  if (status < 300 || status > 399 || target === null) return { outcome: 'refused', reason };
  return { outcome: 'refused', reason: `${reason} to ${sinkName(target.href)}, which is not followed: put that address into alerts.sinks` };
}

/**
 * Where the same request is to be made again (307, 308): only at the same server, or at the same name over TLS. The others turn it
 * into a GET, which delivers nothing; and what an alert says, with the password, is for no other host.
 */
function movedTo(from: URL, { statusCode, headers: { location } }: Answer): URL | null {
  if ((statusCode !== 307 && statusCode !== 308) || location === undefined) return null;
  const to = URL.parse(location, from.href);
  const isSame = to?.origin === from.origin;
  const isSecured = from.protocol === 'http:' && to?.protocol === 'https:' && to.hostname === from.hostname;
  return isSame || isSecured ? to : null;
}

/** Taken out of the address, which may have been written with a percent sign that stands for itself. */
function authorization(url: URL): { readonly authorization?: string } {
  const { username, password } = url;
  url.username = '';
  url.password = '';
  if (username === '' && password === '') return {};
  return { authorization: `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')}` };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Status and headers are the answer, however its body ends. */
function ask(url: URL, headers: Readonly<Record<string, string>>, body: string, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { request: open, agent } = url.protocol === 'https:' ? https : http;
    const request = open(url, { agent, method: 'POST', headers, signal });
    let answer: Answer | null = null;
    let failure: Error | null = null;
    request.on('error', (error) => {
      failure ??= error;
    });
    request.once('response', (response) => {
      answer = response;
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > answerBytesMax) response.destroy();
      });
      response.on('error', () => undefined);
    });
    const settle = (): void => {
      signal.removeEventListener('abort', settle);
      // There is no error where the answer changes the protocol.
      if (answer === null) reject(failure ?? new Error('the connection was closed without an answer'));
      else resolve(answer);
    };
    request.once('close', settle);
    // Nor is a request closed that still waits for a tunnel.
    signal.addEventListener('abort', settle);
    request.end(body);
  });
}

/** One line for a person. */
function fault(thrown: unknown): string {
  // With several addresses Node gives an error without words of its own.
  const error = thrown instanceof AggregateError ? (thrown.errors[0] as unknown) : thrown;
  const { code = '' } = error as NodeJS.ErrnoException;
  const certificate = /CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)/.test(code);
  return `${errorMessage(error)}${certificate ? '; an authority of your own is trusted with NODE_EXTRA_CA_CERTS=FILE in the environment of the collector' : ''}`;
}
