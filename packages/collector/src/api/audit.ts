/** Who did what. */
import { isoTime, type ApiAuditEntry } from '@relight/shared/api';
import * as z from 'zod';
import { roles, type StoredAuditEntry } from '../store/store.ts';
import { limit, page, resolveWhen, since, until } from './fields.ts';
import { listOf } from './resources.ts';
import { route, type ApiDeps, type Route } from './route.ts';

const outcomes = ['done', 'failed', 'refused'] as const;

const auditSchema = z
  .object({
    id: z.string(),
    at: z.string().meta({ format: 'date-time' }),
    action: z
      .string()
      .meta({ description: 'workload.restart, host.forget, token.create, agent.join … or METHOD PATH of what was refused' }),
    outcome: z.enum(outcomes),
    target: z.string().nullable(),
    actor: z.string().meta({ description: "id of the token, or 'local' for a command on the collector's machine" }),
    name: z.string().nullable().meta({ description: 'of the token' }),
    role: z.enum(roles).nullable(),
    address: z.string().nullable(),
    detail: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'AuditEntry' }) satisfies z.ZodType<ApiAuditEntry>;

const present = ({ id, at, ...entry }: StoredAuditEntry): ApiAuditEntry => ({ id: String(id), at: isoTime(at), ...entry });

export function auditRoutes({ store, clock }: Pick<ApiDeps, 'store' | 'clock'>): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/audit',
      summary: 'Who did what, and what was refused, newest first.',
      role: 'admin',
      query: z.strictObject({
        actor: z.string().optional().meta({ description: 'Id of a token, or local.' }),
        action: z.string().optional(),
        target: z.string().optional(),
        outcome: z.enum(outcomes).optional(),
        since,
        until,
        limit,
        after: z
          .string()
          .regex(/^\d{1,15}$/, 'must be the `next` of an earlier answer')
          .optional(),
      }),
      answers: { status: 200, schema: listOf(auditSchema) },
      handle({ query }) {
        const now = clock.now();
        const { actor, action, target, outcome, after } = query;
        const from = resolveWhen(query.since, now);
        const to = resolveWhen(query.until, now);
        const found = store.audit({
          ...(actor === undefined ? {} : { actor }),
          ...(action === undefined ? {} : { action }),
          ...(target === undefined ? {} : { target }),
          ...(outcome === undefined ? {} : { outcome }),
          ...(from === undefined ? {} : { since: from }),
          ...(to === undefined ? {} : { until: to }),
          ...(after === undefined ? {} : { after: Number(after) }),
          limit: query.limit + 1,
        });
        const { items, next } = page(found, query.limit, (entry) => String(entry.id));
        return { body: { items: items.map(present), next } };
      },
    }),
  ];
}
