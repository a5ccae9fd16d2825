/**
 * The connection to the engine: one dockerode client, a deadline for every call, the API version agreed once per
 * connection. docker-modem's own `timeout` is not used: it would also cut idle event streams.
 */
import { Agent } from 'node:http';
import { inspect } from 'node:util';
import type { Readable } from 'node:stream';
import { RelightError } from '@relight/shared/errors';
import { afterATurn } from '@relight/shared/child';
import type { Clock } from '@relight/shared/clock';
import Docker from 'dockerode';
import { negotiateApiVersion } from './api-version.ts';
import type { CallOptions } from './engine.ts';
import { callFailure, type CallKind } from './errors.ts';

/** One request. Values of `query` that are objects are sent as JSON. */
export interface EngineRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Without version, for instance `/events`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: object;
  /** Credentials for a registry. */
  readonly registry?: object;
}

export interface Connection {
  readonly apiVersion: string;
  /** Aborts at the deadline or with the caller's signal; its reason is always a RelightError. */
  readonly signal: AbortSignal;
  /** The parsed JSON of a success; fails with what docker-modem throws (`statusCode`, `json.message`). */
  send(request: EngineRequest): Promise<unknown>;
  /** The body of a success, unread. `signal` also ends the reading. */
  stream(request: EngineRequest, signal: AbortSignal): Promise<Readable>;
}

export class DockerClient {
  readonly clock: Clock;
  readonly callTimeoutMs: number;
  readonly #socketPath: string;
  readonly #calls = { ended: 0, failed: 0, ms: 0 };
  #connected: { readonly modem: Modem; readonly apiVersion: string } | undefined;

  constructor(options: { readonly socketPath: string; readonly callTimeoutMs: number; readonly clock: Clock }) {
    this.#socketPath = options.socketPath;
    this.callTimeoutMs = options.callTimeoutMs;
    this.clock = options.clock;
  }

  /** Since the beginning: calls that have ended, those of them that failed, and how long all of them took. */
  get calls(): { readonly ended: number; readonly failed: number; readonly ms: number } {
    return this.#calls;
  }

  /** Runs `work` under a deadline (default: `callTimeoutMs`). Every failure is a RelightError. */
  async call<T>(kind: CallKind, options: CallOptions, work: (connection: Connection) => Promise<T>): Promise<T> {
    using scope = abortScope(options.signal);
    const timeoutMs = options.timeoutMs ?? this.callTimeoutMs;
    // Where the agent itself stood still, the answer may be there: an engine that nobody listened to is not silent.
    let isOver = false;
    const late = (): void => {
      // A stream that is open by now has no deadline any more.
      if (!isOver) scope.abort(timeoutError(timeoutMs));
    };
    const timer = this.clock.after(timeoutMs, () => afterATurn(late));
    const began = this.clock.monotonic();
    try {
      // docker-modem leaves its promise open when the engine dies within a body: the race ends it at the deadline.
      return await Promise.race([this.#connect(scope.signal).then((connection) => work(connection)), scope.aborted]);
    } catch (error) {
      // Who called gave up: that says nothing of the engine.
      if (options.signal?.aborted !== true) this.#calls.failed += 1;
      throw this.#failure(kind, scope.signal, error);
    } finally {
      isOver = true;
      timer.cancel();
      this.#calls.ended += 1;
      this.#calls.ms += this.clock.monotonic() - began;
    }
  }

  /**
   * Opens a stream: the deadline holds until the headers are in, then only the signal ends it. The reader passes what it
   * catches to `streamFailure`.
   */
  async open(kind: CallKind, signal: AbortSignal | undefined, request: EngineRequest, timeoutMs = this.callTimeoutMs): Promise<Readable> {
    const controller = new AbortController();
    const abort = (): void => controller.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const stream = await this.call(kind, { timeoutMs, ...(signal === undefined ? {} : { signal }) }, (connection) => {
        connection.signal.addEventListener('abort', () => controller.abort(connection.signal.reason), { once: true });
        return connection.stream(request, controller.signal);
      });
      stream.once('close', () => signal?.removeEventListener('abort', abort));
      return stream;
    } catch (error) {
      signal?.removeEventListener('abort', abort);
      throw error;
    }
  }

  /** What a broken stream means: the caller's own cancellation, or an engine that went away. */
  streamFailure(kind: CallKind, signal: AbortSignal | undefined, thrown: unknown): RelightError {
    return this.#failure(kind, signal, thrown);
  }

  #failure(kind: CallKind, signal: AbortSignal | undefined, thrown: unknown): RelightError {
    const failure = signal?.aborted === true ? cancellation(signal.reason) : callFailure(kind, thrown);
    // The engine that answers next may be another version.
    if (failure.code === 'engine-unreachable') this.#connected = undefined;
    return failure;
  }

  async #connect(signal: AbortSignal): Promise<Connection> {
    if (this.#connected === undefined) {
      const answer = (await dial(this.#modem(), { method: 'GET', path: '/version' }, signal, false)) as VersionDocument;
      const apiVersion = negotiateApiVersion({ newest: answer.ApiVersion, oldest: answer.MinAPIVersion });
      this.#connected = { modem: this.#modem(apiVersion), apiVersion };
    }
    const { modem, apiVersion } = this.#connected;
    return {
      apiVersion,
      signal,
      send: (request) => dial(modem, request, signal, false),
      stream: (request, streamSignal) => dial(modem, request, streamSignal, true) as Promise<Readable>,
    };
  }

  #modem(apiVersion?: string): Modem {
    const options = {
      socketPath: this.#socketPath,
      // docker-modem prefers what DOCKER_HOST says to the socket that it is given.
      host: undefined,
      protocol: 'http' as const,
      // A daemon that is shutting down still answers on connections that it has: each call makes a new one.
      agent: new Agent({ keepAlive: false }),
      ...(apiVersion === undefined ? {} : { version: `v${apiVersion}` }),
    };
    return terse(new Docker(options).modem as unknown as Modem);
  }
}

interface Modem {
  dial(options: object, callback: (error: Error | null | undefined, data: unknown) => void): void;
  buildRequest(options: { readonly method: string; readonly path: string }, ...rest: readonly unknown[]): void;
}

interface VersionDocument {
  readonly ApiVersion: string;
  readonly MinAPIVersion: string;
}

/** dockerode's own methods hide what is needed here (warnings of a create, headers before the first event), so its modem is used. */
function dial(modem: Modem, request: EngineRequest, signal: AbortSignal, isStream: boolean): Promise<unknown> {
  return new Promise((resolve, reject) => {
    modem.dial(
      {
        // The question mark is what makes docker-modem add the query.
        path: Object.keys(request.query ?? {}).length > 0 ? `${request.path}?` : request.path,
        method: request.method,
        options: { _query: request.query ?? {}, _body: request.body ?? {} },
        abortSignal: signal,
        isStream,
        ...(request.registry === undefined ? {} : { authconfig: request.registry }),
        statusCodes: { 200: true, 201: true, 204: true },
      },
      (error, data) => (error === null || error === undefined ? resolve(data) : reject(error)),
    );
  });
}

const timeoutError = (timeoutMs: number): RelightError =>
  new RelightError('engine-timeout', `the engine did not answer within ${timeoutMs} ms`, { data: { timeoutMs } });

/** Callers abort with a RelightError that says why; anything else is a plain cancellation. */
function cancellation(reason: unknown): RelightError {
  return reason instanceof RelightError ? reason : new RelightError('cancelled', 'the call was cancelled', { cause: reason });
}

/** An abort signal that follows `parent`, and a promise that rejects with it. Disposing lets the parent go. */
function abortScope(parent: AbortSignal | undefined): {
  readonly signal: AbortSignal;
  readonly aborted: Promise<never>;
  abort(reason: RelightError): void;
  [Symbol.dispose](): void;
} {
  const controller = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason as RelightError), { once: true });
  });
  aborted.catch(() => undefined);
  const follow = (): void => controller.abort(cancellation(parent?.reason));
  if (parent?.aborted === true) follow();
  parent?.addEventListener('abort', follow, { once: true });
  return {
    signal: controller.signal,
    aborted,
    abort: (reason) => controller.abort(reason),
    [Symbol.dispose]: () => parent?.removeEventListener('abort', follow),
  };
}

/**
 * docker-modem describes every request for its debug log, whether anybody reads it or not, with all that can be reached from its
 * options: sockets, signal, credentials. That is half of the CPU time of a call. Here a request describes itself, in a line; hidden,
 * so that whoever copies the options copies nothing of it. There is no public way to it.
 */
function terse(modem: Modem): Modem {
  const buildRequest = modem.buildRequest.bind(modem);
  modem.buildRequest = (options, ...rest) => {
    Object.defineProperty(options, inspect.custom, { value: () => `${options.method} ${options.path}` });
    buildRequest(options, ...rest);
  };
  return modem;
}
