/** Every route of the collector with what nobody should ask, with tokens of every kind and with none. */
import type { ErrorCode } from '@relight/shared/errors';
import { nastyText } from './mutate.ts';
import type { CollectorTarget } from './collector-target.ts';
import { askHttp, HttpLine, type Answered } from './http-line.ts';
import { httpInput, operationsOf, type HttpInput, type OpenApi } from './http-requests.ts';
import type { Input } from './campaign.ts';
import type { Randomness } from './randomness.ts';

/** What may not be said to who has shown no token: versions, places in the file system and in the source. */
const telling = [/node_modules/, /\.m?[jt]s\b/, /\n\s+at /, /fastify/i, /node\.js/i, /sqlite/i, /\/data\b/, /"version"/];
const quietHeaders = new Set([
  'content-type',
  'content-length',
  'date',
  'connection',
  'keep-alive',
  'www-authenticate',
  'retry-after',
  'allow',
]);

/** Of a request of which the collector reads the whole head. */
const headBytesMax = 16 * 1024;

interface Caller {
  readonly authorization: string | null;
  /** Whether the token opens anything of the API. */
  readonly known: boolean;
}

export interface HttpFuzz {
  input(random: Randomness): Input;
  close(): void;
}

export async function httpFuzz(target: CollectorTarget, connections: number): Promise<HttpFuzz> {
  const { endpoint, tokens } = target;
  const line = new HttpLine(endpoint, connections);
  const document = await askHttp(line, 'GET', '/api/v1/openapi.json', { authorization: `Bearer ${tokens.view}` });
  const operations = operationsOf(JSON.parse(document.body) as OpenApi);
  const agents = Object.values(tokens.hosts);
  const callerOf = (random: Randomness): Caller => {
    const draw = random.next();
    if (draw < 0.12) return { authorization: null, known: false };
    if (draw < 0.16) return { authorization: `Bearer rlo_${random.bytes(32).toString('base64url')}`, known: false };
    if (draw < 0.19)
      return {
        authorization: `Bearer ${nastyText(random)
          .replaceAll(/[^\u0021-\u007e]/g, '')
          .slice(0, 9_000)}`,
        known: false,
      };
    const token = random.pick([tokens.admin, tokens.admin, tokens.operate, tokens.view, tokens.join, tokens.revoked, ...agents]);
    return { authorization: `Bearer ${token}`, known: true };
  };
  return {
    input(random) {
      const { authorization, known } = callerOf(random);
      const drawn = httpInput(random, operations, authorization);
      const forwarded = Array.from({ length: 4 }, () => random.int(256)).join('.');
      const input = { ...drawn, headers: { 'x-forwarded-for': forwarded, ...drawn.headers } };
      return {
        what: () => `${described(input)} (${known ? 'with' : 'without'} a token)`,
        weight: 1,
        async run() {
          let answer: Answered;
          try {
            answer = await askHttp(line, input.method, input.path, input.headers, input.body);
          } catch (error) {
            const { code = '' } = error as NodeJS.ErrnoException;
            // Ended by the collector before it had all of the request: allowed, where it goes on with the next one.
            if (['ECONNRESET', 'EPIPE'].includes(code)) return null;
            // A head that is too long is refused before its method is known: with a body, which the answer to HEAD has not.
            if (input.method === 'HEAD' && code.startsWith('HPE_') && JSON.stringify(input).length > headBytesMax) return null;
            throw error;
          }
          return judge(input, known || ('authorization' in drawn.headers && drawn.headers['authorization'] !== authorization), answer);
        },
      };
    },
    close: () => line.close(),
  };
}

const described = ({ method, path, headers, body }: HttpInput): string =>
  `${method} ${path.slice(0, 300)} ${JSON.stringify(headers).slice(0, 300)} ${body === null ? '' : JSON.stringify(body.toString('latin1').slice(0, 1_000))}`;

/** What is wrong with an answer. */
function judge({ method, path }: HttpInput, known: boolean, { status, headers, body }: Answered): string | null {
  if (status >= 500 && !documented(status, body)) return `${status}: ${body.slice(0, 500)}`;
  if (known) return null;
  const url = path.split('?')[0];
  if (url === '/healthz') return null;
  // 400: what is no HTTP or no URL is refused before anybody is asked who he is. So are 413 and 431.
  if (![400, 401, 413, 414, 415, 429, 431].includes(status)) return `${status} without a token for ${method} ${url}: ${body.slice(0, 300)}`;
  const told = telling.find((pattern) => pattern.test(body.replaceAll(path, '')));
  if (told !== undefined) return `it tells ${String(told)} without a token: ${body.slice(0, 500)}`;
  const loud = Object.keys(headers).filter((name) => !quietHeaders.has(name));
  return loud.length === 0 ? null : `it sends the headers ${loud.join(', ')} without a token`;
}

/** A store that cannot be written, and too much at once, have a code of their own; a defect is documented as nothing else. */
function documented(status: number, body: string): boolean {
  try {
    const { code } = JSON.parse(body) as { code: ErrorCode };
    return status === 503 && ['store-failed', 'overloaded'].includes(code);
  } catch {
    return false;
  }
}
