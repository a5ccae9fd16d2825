/** How a connection to the collector is made and secured, for the WebSocket and for plain requests alike. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { certificateBytesMax, readBoundedSync, tokenBytesMax } from '@relight/shared/bounded-read';
import { certificateAdvice, pinnedConnection } from '@relight/shared/certificate';
import { connectReason } from '@relight/shared/connect-reason';
import { catalogue, RelightError, type ErrorCode } from '@relight/shared/errors';
import type { CollectorSpec } from '../config/spec.ts';
import { joinedToken } from './joined.ts';

/** Nobody waits in the service: workloads would. */
const atOnce = { patienceMs: 0 };

export type Trust = Pick<CollectorSpec, 'url' | 'caFile' | 'fingerprint'>;

/** Read at every attempt, so that they can be renewed without a restart. Throws when they cannot be read. */
export function readToken(spec: CollectorSpec): string | null {
  return spec.tokenFile === null ? joinedToken(spec) : String(readBoundedSync(spec.tokenFile, tokenBytesMax, atOnce)).trim();
}

/** Options of a request or WebSocket. Throws when `caFile` cannot be read. */
export function trustOptions({ url, caFile, fingerprint }: Trust) {
  // A pin on a plain connection would be an empty promise: it is refused where it is configured.
  if (fingerprint !== null && /^(?:https|wss):/.test(url)) return { createConnection: pinnedConnection(fingerprint) as never };
  return caFile === null ? {} : { ca: readBoundedSync(caFile, certificateBytesMax, atOnce) };
}

const answerMs = 15_000;
const answerBytesMax = 64 * 1024;

/** Fails with the collector's own problem, certificate-refused or collector-unreachable. */
export async function postToCollector(trust: Trust, path: string, token: string, body: unknown): Promise<unknown> {
  const url = new URL(`${trust.url.replace(/^ws/, 'http')}${path}`);
  const payload = JSON.stringify(body);
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(payload)),
    accept: 'application/json, application/problem+json',
  };
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, { method: 'POST', headers, ...trustOptions(trust) });
  request.setTimeout(answerMs, () => request.destroy(new Error(`no answer within ${answerMs / 1_000} s`)));
  request.once('response', resolve).once('error', reject).end(payload);
  let text = '';
  let status = 0;
  try {
    const response = await promise;
    status = response.statusCode ?? 0;
    response.setEncoding('utf8');
    for await (const piece of response as AsyncIterable<string>) {
      text += piece;
      if (text.length > answerBytesMax) throw new Error('the answer is too long');
    }
  } catch (thrown) {
    throw unreachable(trust.url, thrown);
  } finally {
    request.destroy();
  }
  return parseAnswer(trust.url, status, text);
}

function unreachable(url: string, thrown: unknown): RelightError {
  if (thrown instanceof RelightError) return thrown;
  const first = thrown instanceof AggregateError ? (thrown.errors[0] as unknown) : thrown;
  const advice = certificateAdvice(first);
  const code = advice === undefined ? 'collector-unreachable' : 'certificate-refused';
  const reason = connectReason(first);
  return new RelightError(code, `the collector at ${url} cannot be reached: ${reason}`, {
    cause: thrown,
    ...(advice === undefined ? {} : { advice }),
  });
}

function parseAnswer(url: string, status: number, text: string): unknown {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = null;
  }
  if (status >= 200 && status < 300 && json !== null) return json;
  const { code, detail, advice } = (json ?? {}) as { code?: unknown; detail?: unknown; advice?: unknown };
  if (typeof code !== 'string' || !Object.hasOwn(catalogue, code) || typeof detail !== 'string') {
    throw new RelightError('collector-unreachable', `what answers at ${url} is no Relight collector (HTTP ${status})`);
  }
  throw new RelightError(code as ErrorCode, detail, typeof advice === 'string' ? { advice } : {});
}
