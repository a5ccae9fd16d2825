/** Errors as RFC 9457 problems with our stable codes. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ApiProblem } from '@relight/shared/api';
import { catalogue, RelightError, toRelightError, type ErrorCode } from '@relight/shared/errors';

const statusOf = (code: ErrorCode): number => catalogue[code].status ?? (code === 'stage-timeout' ? 504 : 500);

export function problem(error: RelightError, status = statusOf(error.code)): ApiProblem {
  const { code, message, advice } = error;
  return { type: `urn:relight:error:${code}`, title: catalogue[code].title, status, detail: message, code, advice };
}

export function sendProblem(reply: FastifyReply, error: RelightError, status?: number): FastifyReply {
  const body = problem(error, status);
  if (body.status === 401) void reply.header('www-authenticate', 'Bearer realm="relight"');
  if (body.status === 503) void reply.header('retry-after', '1');
  // Bytes, because fastify would add a charset to text, which JSON does not have.
  return reply
    .code(body.status)
    .header('content-type', 'application/problem+json')
    .send(Buffer.from(JSON.stringify(body)));
}

/** What fastify raises before a handler runs has a status of its own: bad JSON, too large, wrong content type. */
function fromFastify(thrown: unknown): { readonly error: RelightError; readonly status?: number } {
  if (thrown instanceof RelightError) return { error: thrown };
  const status = (thrown as { statusCode?: unknown }).statusCode;
  if (typeof status !== 'number' || status < 400 || status > 499) return { error: toRelightError(thrown) };
  if (status === 413) return { error: toRelightError(thrown, 'too-large') };
  return { error: toRelightError(thrown, 'usage'), status };
}

/** For what fastify refuses before any route or hook: a malformed URL. Nothing is told but that, so no token is asked for. */
export function sendFrameworkProblem(thrown: unknown, _request: unknown, reply: FastifyReply): void {
  const { error, status } = fromFastify(thrown);
  void sendProblem(reply, error, status);
}

/** For the whole server: every failure of every route, and every unknown path, is a problem. */
export function registerProblems(app: FastifyInstance): void {
  app.setErrorHandler((thrown, request, reply) => {
    const { error, status } = fromFastify(thrown);
    if ((status ?? statusOf(error.code)) >= 500) request.log.error({ err: thrown }, error.message);
    return sendProblem(reply, error, status);
  });
  app.setNotFoundHandler((request: FastifyRequest, reply) => {
    const path = request.url.replace(/\?.*$/s, '');
    return sendProblem(
      reply,
      new RelightError('not-found', `${request.method} ${path} does not exist`, { advice: 'See /api/v1/openapi.json.' }),
    );
  });
}
