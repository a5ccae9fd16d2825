/** Events and alerts: what happened. */
import { eventKinds, severities } from '@relight/shared/event';
import * as z from 'zod';
import type { AlertRecord, Store } from '../store/store.ts';
import { after, host, limit, page, resolveWhen, since, until, workload } from './fields.ts';
import { presentAlert, presentEvent } from './present.ts';
import { alertSchema, eventSchema, listOf } from './resources.ts';
import { route, type ApiDeps, type Route } from './route.ts';

const severity = z.array(z.enum(severities)).optional();
const pageOfAlerts = 500;

type AlertFilter = Omit<Parameters<Store['alerts']>[0], 'limit'>;

/** Newest first, page by page out of the store. */
function* wantedAlerts(store: Store, filter: AlertFilter, wanted: (alert: AlertRecord) => boolean): Generator<AlertRecord> {
  let from = filter;
  for (;;) {
    const found = store.alerts({ ...from, limit: pageOfAlerts });
    yield* found.filter(wanted);
    const last = found.at(-1);
    if (last === undefined || found.length < pageOfAlerts) return;
    from = { ...filter, after: last.id };
  }
}

function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> };
}

export function historyRoutes({ store, clock }: ApiDeps): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/events',
      summary: 'Events, newest first.',
      query: z.strictObject({
        host,
        workload,
        kind: z.array(z.enum(eventKinds)).optional(),
        severity,
        since,
        until,
        order: z
          .enum(['desc', 'asc'])
          .default('desc')
          .meta({ description: 'desc: newest first; asc: in the order in which they were stored.' }),
        limit,
        after: z
          .string()
          .regex(/^\d{1,15}$/, 'must be the `next` of an earlier answer or the id of an event')
          .optional(),
      }),
      answers: { status: 200, schema: listOf(eventSchema) },
      handle({ query }) {
        const now = clock.now();
        const found = store.events(
          defined({
            host: query.host,
            workload: query.workload,
            kinds: query.kind,
            severities: query.severity,
            since: resolveWhen(query.since, now),
            until: resolveWhen(query.until, now),
            after: query.after === undefined ? undefined : Number(query.after),
            newestFirst: query.order === 'desc',
            limit: query.limit + 1,
          }),
        );
        const { items, next } = page(found, query.limit, (event) => String(event.id));
        return { body: { items: items.map(presentEvent), next } };
      },
    }),
    route({
      method: 'GET',
      path: '/alerts',
      summary: 'Alerts, firing and resolved, newest first.',
      query: z.strictObject({
        host,
        workload,
        severity,
        state: z.enum(['firing', 'resolved']).optional(),
        rule: z.string().optional(),
        since,
        until,
        limit,
        after,
      }),
      answers: { status: 200, schema: listOf(alertSchema) },
      handle({ query }) {
        const now = clock.now();
        const from = resolveWhen(query.since, now) ?? -Infinity;
        const to = resolveWhen(query.until, now) ?? Infinity;
        const { state, host, workload, after } = query;
        const wanted = (alert: AlertRecord): boolean =>
          (query.severity?.includes(alert.severity) ?? true) &&
          (query.rule === undefined || alert.rule === query.rule) &&
          alert.startsAt <= to &&
          (alert.endsAt ?? Infinity) >= from;
        const found = wantedAlerts(store, defined({ state, host, workload, after }), wanted);
        const { items, next } = page(found, query.limit, (alert) => alert.id);
        return { body: { items: items.map(presentAlert), next } };
      },
    }),
  ];
}
