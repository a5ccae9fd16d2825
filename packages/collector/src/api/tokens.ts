/** Tokens by the API, for whoever administers a collector from elsewhere. The same as `relight-collector token` does on its machine. */
import { isoTimeOrNull, type ApiToken } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { hostNameSchema } from '@relight/shared/join';
import * as z from 'zod';
import { roles, tokenKinds, type TokenRecord } from '../store/store.ts';
import { after, duration, limit, page } from './fields.ts';
import { listOf } from './resources.ts';
import { route, type ApiDeps, type Route } from './route.ts';

const hourMs = 3_600_000;
/** How long a join token is good for when nobody says: long enough to set up a rack, short enough to be forgotten in a shell history. */
export const joinValidMs = 24 * hourMs;

const time = z.string().meta({ format: 'date-time' }).nullable();
const tokenSchema = z
  .object({
    id: z.string(),
    kind: z.enum(tokenKinds),
    name: z.string().nullable(),
    role: z.enum(roles).nullable(),
    host: z.string().nullable(),
    agentId: z.string().nullable(),
    usesLeft: z.number().nullable(),
    createdAt: time,
    expiresAt: time,
    lastUsedAt: time,
    revokedAt: time,
  })
  .meta({ id: 'Token' }) satisfies z.ZodType<ApiToken>;

export function presentToken(token: TokenRecord): ApiToken {
  const { id, kind, name, role, host, agentId, usesLeft, createdAt, expiresAt, lastUsedAt, revokedAt } = token;
  const times = { createdAt, expiresAt, lastUsedAt, revokedAt };
  const shown = Object.fromEntries(Object.entries(times).map(([field, at]) => [field, isoTimeOrNull(at)]));
  return { id, kind, name, role, host, agentId, usesLeft, ...(shown as Pick<ApiToken, keyof typeof times>) };
}

export function tokenRoutes({ clock, tokens }: Pick<ApiDeps, 'clock' | 'tokens'>): readonly Route[] {
  if (tokens === undefined) return [];
  const { store, revocations } = tokens;
  return [
    route({
      method: 'GET',
      path: '/tokens',
      summary: 'All tokens by id; the tokens themselves are not stored.',
      role: 'admin',
      query: z.strictObject({ limit, after }),
      answers: { status: 200, schema: listOf(tokenSchema) },
      handle({ query }) {
        const all = store.tokens();
        // One that was deleted meanwhile begins the list anew.
        const from = query.after === undefined ? 0 : all.findIndex(({ id }) => id === query.after) + 1;
        const { items, next } = page(all.slice(from), query.limit, ({ id }) => id);
        return { body: { items: items.map(presentToken), next } };
      },
    }),
    route({
      method: 'POST',
      path: '/tokens',
      summary: 'Makes a token. It is answered once, and stored hashed.',
      role: 'admin',
      body: z.strictObject({
        kind: z.enum(tokenKinds),
        name: z.string().min(1).max(200).optional(),
        role: z.enum(roles).optional().meta({ description: 'Of an operator. Default: view.' }),
        host: hostNameSchema.optional().meta({ description: 'The only host it is for; not of an operator.' }),
        validFor: duration.optional().meta({ description: 'Default: 24h for a join token, for ever for the others.' }),
        uses: z.number().int().min(1).max(1_000_000).optional().meta({ description: 'Of a join token. Default: 1.' }),
      }),
      answers: { status: 201, schema: tokenSchema.extend({ token: z.string() }) },
      deed: (_, { kind, name, role, host, uses }) => ({ action: 'token.create', target: name ?? kind, detail: { kind, role, host, uses } }),
      async handle({ body: { kind, name, role, host, validFor, uses }, request }) {
        if (kind === 'operator' && host !== undefined) throw new RelightError('usage', 'host: belongs to agent and join tokens only');
        if (kind !== 'operator' && role !== undefined) throw new RelightError('usage', 'role: belongs to operator tokens only');
        if (kind !== 'join' && uses !== undefined) throw new RelightError('usage', 'uses: belongs to join tokens only');
        const validMs = validFor ?? (kind === 'join' ? joinValidMs : undefined);
        const made = await store.createToken(kind, host ?? null, {
          ...(name === undefined ? {} : { name }),
          ...(kind === 'operator' ? { role: role ?? 'view' } : {}),
          ...(validMs === undefined ? {} : { expiresAt: clock.now() + validMs }),
          ...(kind === 'join' ? { usesLeft: uses ?? 1 } : {}),
        });
        const record = store.tokens().find(({ id }) => id === made.id);
        if (record === undefined) throw new RelightError('internal', 'the token that was made is not there');
        const { role: given, usesLeft, expiresAt } = presentToken(record);
        request.deed = { action: 'token.create', target: made.id, detail: { kind, name, role: given, host, uses: usesLeft, expiresAt } };
        return { body: { ...presentToken(record), token: made.token } };
      },
    }),
    route({
      method: 'DELETE',
      path: '/tokens/:id',
      summary: 'Revokes a token, and what its agent has renewed it to: what is open on them is closed at once.',
      role: 'admin',
      params: z.strictObject({ id: z.string() }),
      answers: { status: 204 },
      deed: ({ id }) => ({ action: 'token.revoke', target: id }),
      async handle({ params: { id }, request }) {
        const revoked = await store.revokeToken(id);
        if (revoked.length === 0) throw new RelightError('not-found', `there is no valid token with the id ${id}`);
        for (const one of revoked) revocations.revoked(one);
        request.deed = { action: 'token.revoke', target: id, detail: { revoked } };
        return {};
      },
    }),
  ];
}
