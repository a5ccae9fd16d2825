/**
 * A control socket: HTTP and JSON over a unix socket that only root (the agent's user) may open, or one group besides.
 *
 *   GET  /status   → AgentStatus
 *   GET  /recent   → Recent
 *   POST /actions  ControlAction → ActionOutcome
 *   POST /reload   ReloadRequest → ReloadOutcome
 *
 * The caller holds the state lock, so a socket file that stands here already is a dead agent's and is replaced.
 */
import { catalogue, type ErrorCode, RelightError, toRelightError } from '@relight/shared/errors';
import { chmodSync, chownSync, renameSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import * as z from 'zod';
import { type ActionOutcome, type ControlAction, controlActionSchema } from './action.ts';
import { type ReloadOutcome, type ReloadRequest, reloadRequestSchema } from './reload.ts';
import { shortSocketPath } from './socket-path.ts';
import type { AgentStatus } from './status.ts';
import type { Recent } from './support/recent.ts';

export interface ControlHandlers {
  status(): AgentStatus;
  recent(): Recent;
  reload(request: ReloadRequest): Promise<ReloadOutcome>;
  /** Resolves when the action is under way. A RelightError becomes its code and message. */
  act(action: ControlAction): Promise<ActionOutcome>;
}

const bodyBytesMax = 64 * 1024;
const requestTimeoutMs = 10_000;
/** Of one socket: nobody who may open it takes the agent's file descriptors away, or shuts out who asks at another one. */
export const connectionsMax = 64;

export interface ControlServerOptions {
  readonly path: string;
  readonly handlers: ControlHandlers;
  /** Whose members may open it as well; absent: nobody. */
  readonly groupId?: number;
  /** A connection could not be accepted (no file descriptors left). The server goes on. */
  readonly onError?: (error: Error) => void;
}

export class ControlServer {
  readonly #path: string;
  readonly #handlers: ControlHandlers;
  readonly #groupId: number | undefined;
  readonly #server: Server;

  constructor(options: ControlServerOptions) {
    this.#path = options.path;
    this.#handlers = options.handlers;
    this.#groupId = options.groupId;
    this.#server = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => void this.#serve(request, response));
    this.#server.maxConnections = connectionsMax;
    // Without a listener a failing accept would end the agent.
    this.#server.on('error', (error) => options.onError?.(error));
  }

  /** Resolves when the socket accepts. It appears under its name complete, with its owner and mode (0600, or 0660 for a group), replacing what was there. */
  async listen(): Promise<void> {
    const fresh = `${this.#path}.new`;
    rmSync(fresh, { force: true });
    const name = shortSocketPath(fresh);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(name.path, () => {
          this.#server.off('error', reject);
          resolve();
        });
      });
      // First of all nobody's but ours: what the umask leaves must not let another group in.
      chmodSync(fresh, 0o600);
      if (this.#groupId !== undefined) {
        chownSync(fresh, process.getuid?.() ?? 0, this.#groupId);
        chmodSync(fresh, 0o660);
      }
      renameSync(fresh, this.#path);
    } finally {
      name[Symbol.dispose]();
    }
  }

  /** At once: an open connection that asks nothing must not hold up the end of the agent. */
  async close(): Promise<void> {
    rmSync(this.#path, { force: true });
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      answer(response, 200, await this.#route(request));
    } catch (thrown) {
      const error = toRelightError(thrown);
      answer(response, statusOf(error.code), { ok: false, code: error.code, message: error.message } satisfies ActionOutcome);
    }
  }

  async #route(request: IncomingMessage): Promise<AgentStatus | Recent | ActionOutcome | ReloadOutcome> {
    const what = `${request.method} ${request.url}`;
    if (what === 'GET /status') return this.#handlers.status();
    if (what === 'GET /recent') return this.#handlers.recent();
    if (what === 'POST /actions') return this.#handlers.act(await readAs(controlActionSchema, request));
    if (what === 'POST /reload') return this.#handlers.reload(await readAs(reloadRequestSchema, request));
    throw new RelightError('not-found', `there is no ${what}`);
  }
}

function statusOf(code: ErrorCode): number {
  const entry: { readonly status?: number } = catalogue[code];
  return entry.status ?? 409;
}

async function readAs<T>(schema: z.ZodType<T>, request: IncomingMessage): Promise<T> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) throw new RelightError('too-large', `a request has at most ${bodyBytesMax} bytes`);
    chunks.push(chunk);
  }
  let json: unknown;
  try {
    json = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw new RelightError('usage', 'the request is not JSON', { cause });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new RelightError('usage', z.prettifyError(parsed.error));
  return parsed.data;
}

/** A request that was refused half-read cannot be followed by another one on its connection. */
function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', ...(status === 200 ? {} : { connection: 'close' }) });
  response.end(JSON.stringify(body));
}
