/** The collector's API over HTTP. Everything that can go wrong comes out as one RelightError that says what to do. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { ApiList, ApiProblem } from '@relight/shared/api';
import { pinnedConnection } from '@relight/shared/certificate';
import { connectReason } from '@relight/shared/connect-reason';
import { RelightError, catalogue, type ErrorCode } from '@relight/shared/errors';
import type { Connection } from './connection.ts';

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

interface CallOptions {
  readonly query?: Query;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** An answer must have come by then; an action waits for the agent's answer. Streams have no end of their own. */
const answerTimeoutMs = 60_000;
const pageSize = 500;

export class ApiClient {
  readonly #connection: Connection;
  readonly #signal: AbortSignal;

  constructor(connection: Connection, signal: AbortSignal) {
    this.#connection = connection;
    this.#signal = signal;
  }

  get url(): string {
    return this.#connection.url;
  }

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.#call<T>('GET', path, { query });
  }

  /** An answer that is no JSON, as it is. */
  async text(path: string): Promise<string> {
    const timeout = AbortSignal.timeout(answerTimeoutMs);
    return this.#text(await this.#open('GET', path, { signal: AbortSignal.any([this.#signal, timeout]) }));
  }

  /** For what is shown to others. */
  withoutToken(text: string): string {
    const { token } = this.#connection;
    return token === null ? text : text.replaceAll(token, '[redacted]');
  }

  /** Why the collector is not ready to store anything; null: it is, or the answers to other questions tell what else is wrong. */
  async storeTrouble(): Promise<string | null> {
    try {
      await this.#call<unknown>('GET', '/readyz', {});
      return null;
    } catch (thrown) {
      return thrown instanceof RelightError && thrown.code === 'store-failed' ? thrown.message : null;
    }
  }

  /** All pages, or the first `max` items. */
  async list<T>(path: string, query: Query = {}, max = Number.POSITIVE_INFINITY): Promise<ApiList<T>> {
    const items: T[] = [];
    if (max === 0) return { items, next: null };
    let after: string | undefined;
    for (;;) {
      const limit = Math.min(pageSize, max - items.length);
      const page = await this.get<ApiList<T>>(path, { ...query, limit, after });
      items.push(...page.items);
      if (page.next === null || items.length >= max) return { items: items.slice(0, max), next: page.next };
      after = page.next;
    }
  }

  post<T>(path: string, body: unknown): Promise<T> {
    return this.#call<T>('POST', path, { body });
  }

  async delete(path: string): Promise<void> {
    await this.#call<unknown>('DELETE', path, {});
  }

  /** An answer of any length, to be read piece by piece. */
  stream(path: string, query: Query, headers: Readonly<Record<string, string>> = {}, signal = this.#signal): Promise<IncomingMessage> {
    return this.#open('GET', path, { query, headers, signal });
  }

  async #call<T>(method: string, path: string, options: CallOptions): Promise<T> {
    const timeout = AbortSignal.timeout(answerTimeoutMs);
    const response = await this.#open(method, path, { ...options, signal: AbortSignal.any([this.#signal, timeout]) });
    const text = await this.#text(response);
    if (text === '') return null as T;
    try {
      return JSON.parse(text) as T;
    } catch (thrown) {
      throw this.#notRelight(response, thrown);
    }
  }

  /** Resolves with a successful response, whose body is still unread. */
  async #open(method: string, path: string, options: CallOptions): Promise<IncomingMessage> {
    const response = await this.#send(method, path, options).catch((thrown: unknown) => {
      throw this.#withoutFile(thrown);
    });
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    const text = await this.#text(response);
    throw this.#withoutFile(problemError(text, status) ?? this.#notRelight(response));
  }

  /** What is wrong is then likely what the operator file would have said. */
  #withoutFile(thrown: unknown): unknown {
    const { missingFile = null } = this.#connection;
    if (missingFile === null || !(thrown instanceof RelightError) || !['unauthorized', 'collector-unreachable'].includes(thrown.code))
      return thrown;
    const { code, message, advice, data, cause } = thrown;
    return new RelightError(code, message, {
      advice: `There is nothing in ${missingFile} (RELIGHT_OPERATOR_FILE): relight-collector init writes it. ${advice}`,
      data,
      cause,
    });
  }

  #send(method: string, path: string, { query = {}, body, headers = {}, signal = this.#signal }: CallOptions): Promise<IncomingMessage> {
    const { url, token, ca, fingerprint } = this.#connection;
    const payload = body === undefined ? null : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const secure = url.startsWith('https:');
      const request = (secure ? httpsRequest : httpRequest)(`${url}${path.startsWith('/') ? path : `/api/v1/${path}`}${queryText(query)}`, {
        method,
        signal,
        headers: {
          'user-agent': 'relight',
          accept: 'application/json, application/x-ndjson, text/event-stream, application/problem+json',
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(payload === null ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(payload)) }),
          ...headers,
        },
        ...(secure && ca !== null ? { ca } : {}),
        ...(secure && fingerprint !== null ? { createConnection: pinnedConnection(fingerprint) } : {}),
      });
      // A collector that vanished without a word (power, network) is noticed although nothing is being sent.
      request.on('socket', (socket) => socket.setKeepAlive(true, 15_000));
      request.once('response', resolve);
      request.once('error', (error) => reject(this.#signal.aborted ? error : unreachable(url, error)));
      request.end(payload);
    });
  }

  async #text(response: IncomingMessage): Promise<string> {
    const pieces: Buffer[] = [];
    try {
      for await (const piece of response) pieces.push(piece as Buffer);
    } catch (thrown) {
      throw this.#signal.aborted ? thrown : unreachable(this.url, thrown);
    }
    return Buffer.concat(pieces).toString('utf8');
  }

  #notRelight(response: IncomingMessage, cause?: unknown): RelightError {
    const status = `${response.statusCode ?? ''} ${response.statusMessage ?? ''}`.trim();
    return new RelightError('collector-unreachable', `what answers at ${this.url} is no Relight collector (HTTP ${status})`, {
      cause,
      advice: 'Set RELIGHT_URL or --url to the address of the collector.',
    });
  }
}

/** One path segment out of a name that somebody typed. */
export const segment = (name: string): string => encodeURIComponent(name);

function queryText(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [value]) parameters.append(name, String(one));
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}

/** Undefined when the text is not one of our problems. */
function problemError(text: string, status: number): RelightError | undefined {
  let problem: Partial<ApiProblem> | null;
  try {
    problem = JSON.parse(text) as Partial<ApiProblem> | null;
  } catch {
    return undefined;
  }
  if (typeof problem?.code !== 'string') return undefined;
  const code: ErrorCode = Object.hasOwn(catalogue, problem.code) ? (problem.code as ErrorCode) : 'internal';
  const advice =
    code === 'unauthorized'
      ? 'Set RELIGHT_TOKEN or --token-file to an operator token (relight-collector token create --kind operator), or write it into ~/.config/relight/operator.yaml. ' +
        'On the machine of the collector root has one since init.'
      : problem.advice;
  return new RelightError(code, problem.detail ?? problem.title ?? `HTTP ${status}`, {
    ...(advice === undefined ? {} : { advice }),
    data: { status },
  });
}

/** What stands behind a connection that failed: the first of several addresses tried, or the error itself. */
function reasonOf(thrown: unknown): { readonly code: string; readonly text: string } {
  const first = thrown instanceof AggregateError ? (thrown.errors[0] as unknown) : thrown;
  const code = (first as NodeJS.ErrnoException | null)?.code ?? '';
  if (code === 'ABORT_ERR') return { code, text: `no answer within ${answerTimeoutMs / 1000} s` };
  return { code, text: connectReason(first) };
}

export function unreachable(url: string, thrown: unknown): RelightError {
  if (thrown instanceof RelightError) return thrown;
  const { code, text } = reasonOf(thrown);
  return new RelightError('collector-unreachable', `the collector at ${url} does not answer: ${text}`, {
    cause: thrown,
    advice: adviceOn(code, url),
  });
}

function adviceOn(code: string, url: string): string {
  if (/CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)/.test(code)) {
    return 'Set RELIGHT_CA_FILE or --ca-file to the certificate authority of the collector, or RELIGHT_FINGERPRINT to its fingerprint.';
  }
  // So ends who speaks plainly to a server that expects TLS.
  if (code === 'ECONNRESET' && url.startsWith('http:')) {
    return (
      `Where it speaks TLS, as after relight-collector init: set RELIGHT_URL or --url to ${url.replace(/^http:/, 'https:')}, and RELIGHT_FINGERPRINT ` +
      'or RELIGHT_CA_FILE; init has printed them.'
    );
  }
  return 'Start it, or set RELIGHT_URL or --url to where it is.';
}
