/** Where notifications go: whether they arrive there, and a test alert to find out. */
import { isoTimeOrNull, type ApiSink, type ApiSinkTest } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { severities } from '@relight/shared/event';
import * as z from 'zod';
import type { SinkReport } from '../alerts/sinks/sink-book.ts';
import { sinkTypes } from '../config.ts';
import { after, limit, page } from './fields.ts';
import { listOf } from './resources.ts';
import { SinkTestLimit, testsMax } from './sink-test-limit.ts';
import { route, type ApiDeps, type Route } from './route.ts';

const time = z.string().meta({ format: 'date-time' }).nullable();
const sinkSchema = z
  .object({
    position: z.number().int().meta({ description: 'in `alerts.sinks` of the configuration, from 1' }),
    name: z.string().meta({ description: 'its address, without what may be a secret of it' }),
    type: z.enum(sinkTypes),
    state: z.enum(['ok', 'failing', 'unknown']).meta({ description: '`unknown`: nothing was sent to it since the collector started' }),
    failingSince: time,
    reason: z.string().nullable().meta({ description: 'what the last failure said; null: it does not fail' }),
    lastDeliveredAt: time.meta({ description: 'since the collector started' }),
    waiting: z.number().int().meta({ description: 'notifications that it has not taken yet' }),
    waitingSince: time.meta({ description: 'when the oldest of them was made' }),
  })
  .meta({ id: 'Sink' }) satisfies z.ZodType<ApiSink>;
const sinkTestSchema = z
  .object({
    position: z.number().int(),
    name: z.string(),
    type: z.enum(sinkTypes),
    delivered: z.boolean(),
    reason: z.string().nullable().meta({ description: 'why it was not taken' }),
    tookMs: z.number(),
    retryAfterS: z
      .number()
      .int()
      .nullable()
      .meta({ description: 'nothing was posted to it, for it is being tested or was too often: ask again in so many seconds' }),
  })
  .meta({ id: 'SinkTest' }) satisfies z.ZodType<ApiSinkTest>;

const presentSink = ({ failingSince, deliveredAt, waitingSince, ...rest }: SinkReport, index: number): ApiSink => ({
  ...rest,
  position: index + 1,
  failingSince: isoTimeOrNull(failingSince),
  lastDeliveredAt: isoTimeOrNull(deliveredAt),
  waitingSince: isoTimeOrNull(waitingSince),
});

/** Their places. By position, name or host: what stands in the listing, for the address itself may hold a secret. */
function chosen(sinks: readonly SinkReport[], wanted: string | undefined): number[] {
  const all = sinks.map((_, index) => index);
  if (sinks.length === 0) {
    throw new RelightError('conflict', 'this collector has nowhere to send notifications to', {
      advice: 'Name one under alerts.sinks in its configuration, and restart it.',
    });
  }
  if (wanted === undefined) return all;
  const found = all.filter((at) => String(at + 1) === wanted || sinks[at]?.name === wanted);
  const byHost = found.length > 0 ? found : all.filter((at) => hostOf(sinks[at]?.name ?? '') === wanted);
  if (byHost.length > 0) return byHost;
  const known = sinks.map(({ name }, index) => `${index + 1} (${name})`).join(', ');
  throw new RelightError('not-found', `there is no such sink; there is ${known}`);
}

/** With its port, where one is written. */
const hostOf = (name: string): string => URL.parse(name.replace(/ #\d+$/, ''))?.host ?? '';

const limited = `a sink is tested by one at a time, and at most ${testsMax} times a minute`;

export function sinkRoutes({ sinks: desk, clock }: Pick<ApiDeps, 'sinks' | 'clock'>): readonly Route[] {
  if (desk === undefined) return [];
  const testLimit = new SinkTestLimit(clock);
  return [
    route({
      method: 'GET',
      path: '/sinks',
      summary: 'Where notifications go, and whether they arrive there, in the order of the configuration.',
      query: z.strictObject({ limit, after }),
      answers: { status: 200, schema: listOf(sinkSchema) },
      handle({ query }) {
        const sinks = desk.sinks().map(presentSink);
        return { body: page(sinks.slice(Number(query.after ?? 0) || 0), query.limit, ({ position }) => String(position)) };
      },
    }),
    route({
      method: 'POST',
      path: '/sinks/test',
      summary:
        'Posts a test alert, marked as one, to all sinks or to one; what each has answered. Each is tested by one at a time, and at most 6 times a minute: others are tested all the same; where there is no other, 429 with `Retry-After`.',
      body: z.strictObject({
        sink: z.string().min(1).max(2048).optional().meta({ description: 'Its position, name or host. Default: all.' }),
        severity: z.enum(severities).default('warning').meta({ description: 'For receivers that sort by it.' }),
      }),
      answers: { status: 200, schema: listOf(sinkTestSchema) },
      // Not what was asked for: it may be the address itself, with its secret.
      deed: (_, { severity }) => ({ action: 'alert.test', target: null, detail: { severity } }),
      async handle({ body: { sink, severity }, request, reply }) {
        const sinks = desk.sinks();
        const places = chosen(sinks, sink);
        const waits = new Map(places.map((at) => [at, testLimit.waitS(at)]));
        const free = places.filter((at) => waits.get(at) === 0);
        if (free.length === 0) {
          const waitS = Math.min(...waits.values());
          void reply.header('retry-after', String(waitS));
          throw new RelightError('too-many-requests', limited, { advice: `Nothing was posted. Ask again in ${waitS} s.` });
        }
        const answers = await testLimit.run(free, () => desk.test(free, { severity, by: request.visitor?.token.name ?? null }));
        const items = places.flatMap((at): ApiSinkTest[] => {
          const { name, type } = sinks[at] ?? {};
          if (name === undefined || type === undefined) return [];
          const answer = answers[free.indexOf(at)];
          const sink = { position: at + 1, name, type };
          if (answer !== undefined) return [{ ...sink, ...answer, retryAfterS: null }];
          const retryAfterS = waits.get(at) ?? 0;
          const reason = `nothing was posted: ${limited}; ask again in ${retryAfterS} s`;
          return [{ ...sink, delivered: false, reason, tookMs: 0, retryAfterS }];
        });
        const told = items.map(({ name, delivered, reason }) => `${name}: ${delivered ? 'delivered' : reason}`);
        request.deed = {
          action: 'alert.test',
          target: items.length === 1 ? (items[0]?.name ?? null) : null,
          detail: { severity, answers: told },
        };
        return { body: { items, next: null } };
      },
    }),
  ];
}
