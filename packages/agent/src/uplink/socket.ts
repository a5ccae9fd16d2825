/** The connection as a port, and the real one on the `ws` library. */
import { certificateAdvice } from '@relight/shared/certificate';
import { connectReason } from '@relight/shared/connect-reason';
import { RelightError, type ErrorCode } from '@relight/shared/errors';
import { agentPath, frameBytesMax, subprotocol } from '@relight/shared/protocol';
import WebSocket from 'ws';
import type { CollectorSpec } from '../config/spec.ts';
import { readToken, trustOptions } from './access.ts';

export interface Closing {
  /** WebSocket close code; 1006 when there was no close frame. */
  readonly code: number;
  /** For a person. */
  readonly reason: string;
  /** HTTP status when the upgrade was refused. */
  readonly status?: number;
  /** From Retry-After. */
  readonly retryAfterMs?: number;
  /** Why there was no connection, where that has a code of its own. */
  readonly error?: ErrorCode;
  /** What a person does about a refusal, in the collector's words. */
  readonly advice?: string;
}

export interface SocketListener {
  opened(): void;
  text(text: string): void;
  /** Any sign of life: frames, pings, pongs. */
  alive(): void;
  /** Exactly once, also when the connection never came about. */
  closed(closing: Closing): void;
}

export interface Socket {
  /** Bytes accepted by send() that have not left yet. */
  readonly bufferedAmount: number;
  send(data: string | Uint8Array): void;
  ping(): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

/** Token and CA are read at every attempt, so that they can be renewed without a restart. Throws when they cannot be read. */
export type OpenSocket = (spec: CollectorSpec, listener: SocketListener, headers?: Readonly<Record<string, string>>) => Socket;

export const handshakeMs = 10_000;
/** More than any problem of a collector; what answers may be something else altogether. */
const problemCharactersMax = 16_384;

export function collectorUrl(base: string): string {
  return base.replace(/^http/, 'ws').replace(/\/+$/, '') + agentPath;
}

export const openWebSocket: OpenSocket = (spec, listener, more = {}) => {
  const token = readToken(spec);
  const socket = new WebSocket(collectorUrl(spec.url), [subprotocol], {
    headers: token === null ? more : { ...more, authorization: `Bearer ${token}` },
    ...trustOptions(spec),
    perMessageDeflate: false,
    maxPayload: frameBytesMax,
    handshakeTimeout: handshakeMs,
    followRedirects: false,
  });
  let refused: Partial<Closing> = {};
  let error = '';
  socket.on('open', () => listener.opened());
  socket.on('message', (data, isBinary) => {
    listener.alive();
    // The collector sends no binary frames; a later version may, and an unknown frame is ignored like an unknown message.
    if (!isBinary) listener.text((data as Buffer).toString('utf8'));
  });
  socket.on('ping', () => listener.alive());
  socket.on('pong', () => listener.alive());
  socket.on('error', (cause) => {
    error ||= connectReason(cause);
    const advice = certificateAdvice(cause);
    if (advice !== undefined) refused = { ...refused, advice, error: cause instanceof RelightError ? cause.code : 'certificate-refused' };
  });
  socket.on('unexpected-response', (_request, response) => {
    const status = response.statusCode ?? 0;
    const retryAfterMs = parseRetryAfterMs(response.headers['retry-after']);
    refused = { status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
    error = `HTTP ${status} ${response.statusMessage ?? ''}`.trim();
    let body = '';
    const answered = (): void => {
      const { detail, advice } = parseProblem(body);
      if (detail !== undefined) error = `HTTP ${status}: ${detail}`;
      if (advice !== undefined) refused = { ...refused, advice };
      response.destroy();
      socket.terminate();
    };
    response.setEncoding('utf8');
    response.on('data', (piece: string) => {
      body += piece;
      if (body.length > problemCharactersMax) response.destroy();
    });
    response.once('close', answered);
  });
  socket.on('close', (code, reason) => listener.closed({ code, reason: reason.toString('utf8') || error, ...refused }));
  return {
    get bufferedAmount() {
      return socket.bufferedAmount;
    },
    send: (data) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(data);
    },
    ping: () => {
      if (socket.readyState === WebSocket.OPEN) socket.ping();
    },
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
  };
};

/** Only the form in seconds; the collector sends no other. */
export function parseRetryAfterMs(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1_000 : undefined;
}

/** What stands in an RFC 9457 problem; nothing where the answer is none. */
function parseProblem(text: string): { readonly detail?: string; readonly advice?: string } {
  let problem: unknown;
  try {
    problem = JSON.parse(text);
  } catch {
    return {};
  }
  const { detail, advice } = (problem ?? {}) as Record<string, unknown>;
  return { ...(typeof detail === 'string' ? { detail } : {}), ...(typeof advice === 'string' ? { advice } : {}) };
}
