/** Every route of the collector with what nobody should ask, with tokens of every kind and with none. */
import { nastyText } from './mutate.ts';
import type { CollectorTarget } from './collector-target.ts';
import { askHttp, HttpLine, type Answered } from './http-line.ts';
import { HttpOracle, type Caller } from './http-oracle.ts';
import { httpInput, operationsOf, type HttpInput, type OpenApi } from './http-requests.ts';
import type { Input } from './campaign.ts';
import type { Randomness } from './randomness.ts';

/** Of a request of which the collector reads the whole head. */
const headBytesMax = 16 * 1024;

interface Shown {
  readonly authorization: string | null;
  readonly caller: Caller;
}

export interface HttpFuzz {
  input(random: Randomness): Input;
  /** @throws where it was not tried that somebody may not do something */
  check(): void;
  close(): void;
}

export async function httpFuzz(target: CollectorTarget, connections: number): Promise<HttpFuzz> {
  const { endpoint, tokens } = target;
  const line = new HttpLine(endpoint, connections);
  const { body } = await askHttp(line, 'GET', '/api/v1/openapi.json', { authorization: `Bearer ${tokens.view}` });
  const document = JSON.parse(body) as OpenApi;
  const operations = operationsOf(document);
  const oracle = new HttpOracle(document);
  const known: readonly (readonly [Caller, string])[] = [
    ['admin', tokens.admin],
    ['admin', tokens.admin],
    ['operate', tokens.operate],
    ['view', tokens.view],
    ['join', tokens.join],
    ['revoked', tokens.revoked],
    ...Object.values(tokens.hosts).map((token) => ['agent', token] as const),
  ];
  const shownBy = (random: Randomness): Shown => {
    const draw = random.next();
    if (draw < 0.12) return { authorization: null, caller: 'stranger' };
    if (draw < 0.16) return { authorization: `Bearer rlo_${random.bytes(32).toString('base64url')}`, caller: 'stranger' };
    if (draw < 0.19) {
      const text = nastyText(random)
        .replaceAll(/[^\u0021-\u007e]/g, '')
        .slice(0, 9_000);
      return { authorization: `Bearer ${text}`, caller: 'stranger' };
    }
    const [caller, token] = random.pick(known);
    return { authorization: `Bearer ${token}`, caller };
  };
  return {
    input(random) {
      const shown = shownBy(random);
      const drawn = httpInput(random, operations, shown.authorization);
      // An odd header may be that of another token, which nobody has made.
      const caller = (drawn.headers['authorization'] ?? null) === shown.authorization ? shown.caller : 'stranger';
      const forwarded = Array.from({ length: 4 }, () => random.int(256)).join('.');
      const input = { ...drawn, headers: { 'x-forwarded-for': forwarded, ...drawn.headers } };
      return {
        what: () => `${described(input)} (by ${caller})`,
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
          return oracle.judge(input, caller, answer);
        },
      };
    },
    check: () => oracle.expectRefusals(),
    close: () => line.close(),
  };
}

const described = ({ method, path, headers, body }: HttpInput): string =>
  `${method} ${path.slice(0, 300)} ${JSON.stringify(headers).slice(0, 300)} ${body === null ? '' : JSON.stringify(body.toString('latin1').slice(0, 1_000))}`;
