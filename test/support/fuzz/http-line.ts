/** Requests over connections that are kept, with or without TLS, to their answer or to what is enough of it. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Endpoint } from './collector-target.ts';

export interface Answered {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** Its beginning, where it is long or never ends. */
  readonly body: string;
}

const enoughBytes = 256 * 1024;
/** A machine on which everything else is tested at the same time may be slow for a while; nobody may wait for ever. */
const answerMs = 60_000;

export class HttpLine {
  readonly endpoint: Endpoint;
  readonly agent: HttpAgent | HttpsAgent;

  constructor(endpoint: Endpoint, connections: number) {
    const options = { keepAlive: true, maxSockets: connections, maxFreeSockets: connections };
    this.endpoint = endpoint;
    this.agent = endpoint.secure ? new HttpsAgent({ ...options, rejectUnauthorized: false }) : new HttpAgent(options);
  }

  close(): void {
    this.agent.destroy();
  }
}

/** Fails when there is no answer. */
export function askHttp(
  { agent, endpoint: { port, secure } }: HttpLine,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Buffer | null = null,
  enough = enoughBytes,
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      method,
      path,
      agent,
      // Else it is what the header Host says, and connections of another name are kept beside all others.
      servername: '',
      headers: { ...headers, ...(body === null ? {} : { 'content-length': String(body.length) }) },
    };
    const request = (secure ? httpsRequest : httpRequest)(options, (response) => {
      const { statusCode: status = 0 } = response;
      const chunks: Buffer[] = [];
      let bytes = 0;
      const done = (): void => {
        clearTimeout(timer);
        resolve({ status, headers: response.headers, body: Buffer.concat(chunks).toString('utf8') });
      };
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > enough) response.destroy();
      });
      response.once('close', done);
      response.on('error', () => undefined);
      // It goes on as long as somebody listens.
      if (response.headers['content-type']?.startsWith('text/event-stream') === true) setImmediate(() => response.destroy());
    });
    const timer = setTimeout(() => request.destroy(new Error(`no answer within ${answerMs / 1_000} s`)), answerMs);
    request.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    request.end(body ?? undefined);
  });
}
