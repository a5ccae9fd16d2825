/** Routes as data: what is validated is what is documented. */
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import * as z from 'zod';
import type { SinkDesk } from '../alerts/sinks/sink-desk.ts';
import type { Bus } from '../bus.ts';
import type { Fleet } from '../fleet.ts';
import type { LogReading } from '../logs/reading.ts';
import type { Role, Store } from '../store/store.ts';
import type { Doorkeeper } from '../access/doorkeeper.ts';
import type { RefusalBook } from '../access/refusal-book.ts';
import type { Revocations } from '../access/revocations.ts';
import type { Deed } from '../access/deed.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import type { Clock } from '@relight/shared/clock';
import { audited, type AuthDeps } from './auth.ts';
import { parseBody, parseParams, parseQuery, type Fields } from './validate.ts';
import type { MetricFamily } from './metrics-text.ts';

export interface TokenDesk {
  readonly store: Pick<SqliteStore, 'tokens' | 'createToken' | 'revokeToken'>;
  readonly revocations: Revocations;
}

export interface ApiDeps {
  readonly store: Store;
  readonly bus: Bus;
  readonly fleet: Fleet;
  readonly clock: Clock;
  readonly version: string;
  /** Reads stored logs on other threads. Absent: on this one. */
  readonly logs?: LogReading;
  /** Absent: one of its own, which trusts no proxy. */
  readonly doorkeeper?: Doorkeeper;
  /** Absent: one of its own. */
  readonly refusals?: RefusalBook;
  readonly revocations?: Revocations;
  /** Absent: tokens are made and revoked on the collector's machine alone. */
  readonly tokens?: TokenDesk;
  /** Absent: notifications are not this server's. */
  readonly sinks?: SinkDesk;
  /** More families for /metrics, such as the counters of ingest. */
  readonly metrics?: () => readonly MetricFamily[];
}

const nothing = z.strictObject({});
type Nothing = typeof nothing;

export interface Answer {
  readonly status?: number;
  /** Absent: no body. */
  readonly body?: unknown;
}

export interface RouteContext<P extends Fields, Q extends Fields, B extends Fields> {
  readonly params: z.output<P>;
  readonly query: z.output<Q>;
  readonly body: z.output<B>;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

export interface RouteInfo {
  readonly method: HTTPMethods & ('GET' | 'POST' | 'DELETE');
  /** Below /api/v1, with fastify's `:name` for parameters. */
  readonly path: string;
  readonly summary: string;
  /** Who may call it. */
  readonly role: Role;
  readonly params: Fields;
  readonly query: Fields;
  readonly body: Fields | null;
  /** What comes back: status, media type, and the schema of the body or of one item of a stream. */
  readonly answers: { readonly status: number; readonly type?: string; readonly schema?: z.ZodType };
}

export interface Route extends RouteInfo {
  /** What to answer, with its status; nothing of it has been sent. Null: it has answered by itself. */
  readonly handle: (request: FastifyRequest, reply: FastifyReply) => Promise<(Answer & { readonly status: number }) | null>;
}

/** Declares a route. A handler that answers by itself (a stream) returns null after `reply.hijack()` or sends through `reply`. */
export function route<P extends Fields = Nothing, Q extends Fields = Nothing, B extends Fields = Nothing>(spec: {
  readonly method: RouteInfo['method'];
  readonly path: string;
  readonly summary: string;
  /** Default: view for GET, operate for everything else. */
  readonly role?: Role;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly answers: RouteInfo['answers'];
  /** Of everything that changes something. */
  readonly deed?: (params: z.output<P>, body: z.output<B>) => Deed;
  readonly handle: (context: RouteContext<P, Q, B>) => Promise<Answer | null> | Answer | null;
}): Route {
  const { method, path, summary, answers } = spec;
  const params = spec.params ?? (nothing as unknown as P);
  const query = spec.query ?? (nothing as unknown as Q);
  return {
    method,
    path,
    summary,
    role: spec.role ?? (method === 'GET' ? 'view' : 'operate'),
    params,
    query,
    body: spec.body ?? null,
    answers,
    async handle(request, reply) {
      const context = {
        params: parseParams(params, request.params),
        query: parseQuery(query, request.query),
        body: parseBody(spec.body ?? (nothing as unknown as B), request.body),
        request,
        reply,
      };
      request.deed = spec.deed?.(context.params, context.body) ?? null;
      const answer = await spec.handle(context);
      return answer === null ? null : { ...answer, status: answer.body === undefined ? 204 : (answer.status ?? answers.status) };
    },
  };
}

export function mount(app: FastifyInstance, routes: readonly Route[], deps: Pick<AuthDeps, 'store' | 'clock' | 'refusals'>): void {
  for (const { method, path, role, handle } of routes) {
    const handler = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const act = () => handle(request, reply);
      const answer = await (method === 'GET' ? act() : audited(deps, request, act));
      return answer === null ? reply : reply.code(answer.status).send(answer.body);
    };
    // HEAD of a stream would never end, and nobody needs the others.
    app.route({ method, url: path, exposeHeadRoute: false, config: { role }, handler });
  }
}
