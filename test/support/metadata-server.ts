/** A cloud's metadata server, scripted: real HTTP on a port of its own. What is not scripted answers 404, as the real ones do. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export type Answer =
  | { readonly status?: number; readonly body?: string; readonly headers?: Readonly<Record<string, string>> }
  /** Takes the request and never answers. `trickle`: answers 200 and then a byte now and then, for ever. */
  | 'hang'
  | 'trickle';

export interface MetadataServer {
  readonly base: string;
  /** Path with its query → answer. Change it at any time. */
  readonly answers: Map<string, Answer>;
  /** `GET /path {interesting headers}`, in their order. */
  readonly asked: { readonly method: string; readonly path: string; readonly headers: IncomingMessage['headers'] }[];
}

/** Closed when the test ends. `guard`: refuses (403) what the real server would refuse, such as a request without its header. */
export async function startMetadataServer(guard: (headers: IncomingMessage['headers'], path: string) => boolean): Promise<MetadataServer> {
  const answers = new Map<string, Answer>();
  const asked: MetadataServer['asked'] = [];
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    asked.push({ method, path: url, headers });
    const answer = guard(headers, url) ? (answers.get(url) ?? { status: 404 }) : { status: 403 };
    if (answer === 'hang') return;
    if (answer === 'trickle') {
      response.writeHead(200);
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
      return;
    }
    response.writeHead(answer.status ?? 200, answer.headers).end(answer.body ?? '');
  });
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, answers, asked };
}
