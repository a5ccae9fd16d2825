/** Asks a metadata server. Only a plain 200 is an answer; everything else (404, 500, a redirect, silence) says nothing at all. */
import { request } from 'node:http';

export interface MetadataQuery {
  readonly path: string;
  readonly method?: 'GET' | 'PUT';
  readonly headers?: Readonly<Record<string, string>>;
}
/** Null: no answer that counts. */
export type AskMetadata = (query: MetadataQuery) => Promise<string | null>;

/** The address is link-local and answers within milliseconds, or not at all. */
const deadlineMs = 2_000;
const bodyBytesMax = 256 * 1024;

/** `base`: `http://169.254.169.254`. Never follows redirects, never uses a proxy, never rejects. */
export function metadataServer(base: string, timeoutMs = deadlineMs): AskMetadata {
  return ({ path, method = 'GET', headers = {} }) =>
    new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      // The signal covers connecting, headers and body together: a server may trickle for ever.
      const asking = request(new URL(path, base), { method, headers, agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
        if (response.statusCode !== 200) {
          asking.destroy();
          resolve(null);
          return;
        }
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > bodyBytesMax) asking.destroy();
          else chunks.push(chunk);
        });
        response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
        response.on('error', () => resolve(null));
        response.on('close', () => resolve(null));
      });
      asking.on('error', () => resolve(null));
      asking.end();
    });
}

/** Null: no JSON. */
export function parseJson(text: string | null): unknown {
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Epoch milliseconds; null for anything that is no time. */
export function timeOf(value: unknown): number | null {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}
