/** A real HTTP server with scripted answers, and the real command against it. */
import { spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { ApiHost } from '@relight/shared/api';
import { matchesSelector, parseSelector } from '@relight/shared/selector';

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}

export interface FakeApi {
  readonly url: string;
  readonly port: number;
  readonly calls: readonly Call[];
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export type Answer = (call: Call, response: ServerResponse) => void | Promise<void>;

/** Keys are `METHOD path`, without `/api/v1/`; what is not there is a problem 404. */
export async function fakeApi(answers: Readonly<Record<string, Answer>>, port = 0): Promise<FakeApi> {
  const calls: Call[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url ?? '/', 'http://fake');
      const text = (await request.toArray()).join('');
      const call: Call = {
        method: request.method ?? '',
        path: url.pathname.replace('/api/v1/', ''),
        query: Object.fromEntries(url.searchParams),
        headers: request.headers,
        body: text === '' ? null : JSON.parse(text),
      };
      calls.push(call);
      const answer = answers[`${call.method} ${call.path}`];
      if (answer === undefined) problem(response, 404, 'not-found', `there is no ${call.path}`);
      else await answer(call, response);
    })();
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { url: `http://127.0.0.1:${address.port}`, port: address.port, calls, close, [Symbol.asyncDispose]: close };
}

export const json =
  (value: unknown): Answer =>
  (_call, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
  };

export const list = (items: readonly unknown[]): Answer => json({ items, next: null });

/** What the lists of hosts and of workloads answer, filtered by name and by labels as the collector does it. */
export function knownFleet(hosts: readonly ApiHost[]): Readonly<Record<'GET hosts' | 'GET workloads', Answer>> {
  const matching = ({ query: { host, label = '' } }: Call): readonly ApiHost[] =>
    hosts.filter(({ name, labels }) => (host ?? name) === name && matchesSelector(parseSelector(label) ?? [], labels));
  return {
    'GET hosts': (call, response) => list(matching(call))(call, response),
    'GET workloads': (call, response) => {
      const all = matching(call).flatMap(({ name, workloads }) => workloads.map((workload) => ({ ...workload, host: name })));
      const { workload } = call.query;
      return list(all.filter(({ name }) => (workload ?? name) === name))(call, response);
    },
  };
}

export function problem(response: ServerResponse, status: number, code: string, detail: string): void {
  const body = { type: `about:${code}`, title: code, status, detail, code, advice: `advice for ${code}` };
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(body));
}

export function sse(
  response: ServerResponse,
  messages: readonly { readonly id: number; readonly event: string; readonly data: unknown }[],
): void {
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(messages.map(({ id, event, data }) => `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join(''));
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly ended: Promise<Ended>;
  /** Resolves as soon as stdout and stderr together contain the text. */
  shows(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** Goes away as a reader, like `| head`. */
  closeOutput(): void;
}

/** The command as an operator starts it, without a terminal. */
export function relight(url: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], TZ: 'UTC', RELIGHT_URL: url, RELIGHT_TOKEN: 'secret-token', ...env },
  });
  let stdout = '';
  let stderr = '';
  const watchers = new Set<() => void>();
  const seen = (): void => {
    for (const watcher of watchers) watcher();
  };
  child.stdout.on('data', (piece: Buffer) => {
    stdout += piece.toString();
    seen();
  });
  child.stderr.on('data', (piece: Buffer) => {
    stderr += piece.toString();
    seen();
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code) => {
      resolve({ code, stdout, stderr });
      seen();
    });
  });
  return {
    ended,
    shows: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if ((stdout + stderr).includes(text)) resolve();
          else if (child.exitCode !== null)
            reject(new Error(`ended with ${child.exitCode} before it showed "${text}":\n${stdout}${stderr}`));
          else return;
          watchers.delete(look);
        };
        watchers.add(look);
        look();
      }),
    kill: (signal) => void child.kill(signal),
    closeOutput: () => child.stdout.destroy(),
  };
}
