/** What the collector may answer, by who asks: the roles are those that its document names. */
import { joinPath, renewPath } from '@relight/shared/join';
import type { ErrorCode } from '@relight/shared/errors';
import type { Answered } from './http-line.ts';
import type { HttpInput, OpenApi } from './http-requests.ts';

const roles = ['view', 'operate', 'admin'] as const;
type Role = (typeof roles)[number];
/** `stranger`: nobody has made his token. */
export type Caller = Role | 'stranger' | 'revoked' | 'agent' | 'join';

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

/** What is no HTTP or no URL is refused before anybody is asked who he is. */
const early = new Set([400, 413, 414, 415, 431]);
/** A longer one, before or after it is decoded, is no parameter of any path. */
const parameterMax = 100;
/** Who comes for a token of his own: to him, and to nobody else. */
const entrances: Readonly<Partial<Record<Caller, string>>> = { join: joinPath, agent: renewPath };
/** Of so many requests, each kind of caller is refused some. */
const enoughRequests = 500;

interface Guarded {
  readonly method: string;
  readonly path: RegExp;
  readonly role: Role;
}

export class HttpOracle {
  readonly #guarded: readonly Guarded[];
  readonly #refused = new Map<Caller, number>();
  #judged = 0;

  constructor(document: OpenApi) {
    this.#guarded = guardedBy(document);
  }

  /** Null: nothing is wrong with it. */
  judge({ method, path }: HttpInput, caller: Caller, { status, headers, body }: Answered): string | null {
    this.#judged += 1;
    if (status >= 500 && !documented(status, body)) return `${status}: ${body.slice(0, 500)}`;
    const url = plain(path);
    if (url === '/healthz' || (entrances[caller] ?? '') === url) return null;
    const refusals = this.#refusals(method, url, caller);
    if (refusals === null || refusals.length === 0)
      return status === 401 || (refusals === null && status === 403) ? `${status} for ${caller}: ${body.slice(0, 300)}` : null;
    if (refusals.includes(status)) this.#refused.set(caller, (this.#refused.get(caller) ?? 0) + 1);
    else if (!early.has(status))
      return `${status} instead of ${refusals.join(' or ')} for ${caller} at ${method} ${url}: ${body.slice(0, 300)}`;
    return caller === 'stranger' ? told(path, headers, body) : null;
  }

  /** @throws where somebody was never refused: that all others may nothing was not tried */
  expectRefusals(): void {
    if (this.#judged < enoughRequests) return;
    const never = (['stranger', 'revoked', 'agent', 'join', 'view', 'operate'] as const).filter((caller) => !this.#refused.has(caller));
    if (never.length > 0) throw new Error(`in ${this.#judged} requests nothing was refused to ${never.join(', ')}`);
  }

  /** What has to be answered; null: he may ask that; none: nobody documents it. */
  #refusals(method: string, url: string, caller: Caller): readonly number[] | null {
    if (caller === 'stranger') return [401, 429];
    if (caller === 'revoked') return [401];
    if (caller === 'agent' || caller === 'join') return [403];
    if (method === 'POST' && Object.values(entrances).includes(url)) return [403];
    const needed = this.#guarded.find((guarded) => guarded.method === method && guarded.path.test(url))?.role;
    // Another way to write one of these, or none of them.
    if (needed === undefined) return [];
    if (roles.indexOf(caller) >= roles.indexOf(needed)) return null;
    return url.split('/').some((part) => part.length > parameterMax) ? [403, 404] : [403];
  }
}

function guardedBy({ paths }: OpenApi): readonly Guarded[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { description = '' }]) => {
      const role = roles.find((one) => description.includes(`role ${one}.`));
      if (role === undefined) throw new Error(`nothing says which role ${method} ${path} needs`);
      return { method: method.toUpperCase(), path: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`), role };
    }),
  );
}

const plain = (path: string): string => path.split(/[?#]/)[0] ?? '';

function told(path: string, headers: Answered['headers'], body: string): string | null {
  const pattern = telling.find((one) => one.test(body.replaceAll(path, '')));
  if (pattern !== undefined) return `it tells ${String(pattern)} without a token: ${body.slice(0, 500)}`;
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
