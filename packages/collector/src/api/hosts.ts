/** Hosts and workloads: lists, pre-registration, forgetting, actions. */
import { RelightError } from '@relight/shared/errors';
import { hostStates, phases } from '@relight/shared/phase';
import { matchesSelector } from '@relight/shared/selector';
import { suggest } from '@relight/shared/suggest';
import * as z from 'zod';
import type { Deed } from '../access/deed.ts';
import type { Fleet } from '../fleet.ts';
import type { HostRecord } from '../store/store.ts';
import { after, duration, labels, limit, page, selector } from './fields.ts';
import { presentHost, presentWorkload } from './present.ts';
import { hostSchema, listOf, workloadSchema } from './resources.ts';
import { route, type Answer, type ApiDeps, type Route } from './route.ts';

const names = z.array(z.string()).optional();
const label = selector.optional();
/** The time a host has to arrive when nobody says: the longest start in the field is 15 min. */
const withinDefaultMs = 25 * 60_000;
const allWorkloads = '-';

const action = z.strictObject({
  action: z.enum(['restart', 'pause', 'resume']),
  level: z.enum(['process', 'container']).optional().meta({ description: 'Only for restart.' }),
  reason: z.string().max(1000).optional(),
  for: duration.optional().meta({ description: 'Only for pause: ends by itself.' }),
});
const actionAnswer = z.object({ ok: z.boolean(), message: z.string() });

const deedOf = (target: string, { action: name, ...detail }: z.output<typeof action>): Deed => ({
  action: `workload.${name}`,
  target,
  detail,
});

function nearest(word: string, candidates: readonly string[]): string {
  const near = suggest(word, candidates);
  return near === undefined ? '' : `; did you mean ${near}?`;
}

function knownHost(fleet: Fleet, name: string): HostRecord {
  const host = fleet.host(name);
  if (host !== undefined) return host;
  const all = fleet.hosts().map((one) => one.name);
  throw new RelightError('not-found', `there is no host ${name}${nearest(name, all)}`);
}

function inOrder(fleet: Fleet): HostRecord[] {
  return fleet.hosts().toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function act(fleet: Fleet, hostName: string, workload: string | undefined, body: z.output<typeof action>): Promise<Answer> {
  const host = knownHost(fleet, hostName);
  const all = host.workloads.map((status) => status.name);
  if (workload !== undefined && !all.includes(workload)) {
    throw new RelightError('not-found', `there is no workload ${workload} on ${hostName}${nearest(workload, all)}`);
  }
  const { action: name, level, reason, for: forMs } = body;
  if (level !== undefined && name !== 'restart') throw new RelightError('usage', `level: is only for restart, not for ${name}`);
  if (forMs !== undefined && name !== 'pause') throw new RelightError('usage', `for: is only for pause, not for ${name}`);
  const answer = await fleet.act(hostName, {
    action: name,
    ...(workload === undefined ? {} : { workload }),
    ...(level === undefined ? {} : { level }),
    ...(reason === undefined ? {} : { reason }),
    ...(forMs === undefined ? {} : { forMs }),
  });
  if (!answer.ok) throw new RelightError('conflict', answer.message);
  return { body: answer };
}

export function hostRoutes({ fleet, clock }: ApiDeps): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/hosts',
      summary: 'All hosts with their workloads, by name.',
      query: z.strictObject({ host: names, workload: names, state: z.array(z.enum(hostStates)).optional(), label, limit, after }),
      answers: { status: 200, schema: listOf(hostSchema) },
      handle({ query }) {
        const wanted = inOrder(fleet).filter(
          (host) =>
            (query.after === undefined || host.name > query.after) &&
            (query.host?.includes(host.name) ?? true) &&
            (query.state?.includes(host.state) ?? true) &&
            (query.workload === undefined || host.workloads.some((status) => query.workload?.includes(status.name))) &&
            matchesSelector(query.label ?? [], host.labels),
        );
        const { items, next } = page(wanted, query.limit, (host) => host.name);
        return { body: { items: items.map((host) => presentHost(host, clock.now())), next } };
      },
    }),
    route({
      method: 'GET',
      path: '/hosts/:name',
      summary: 'One host with its workloads.',
      params: z.strictObject({ name: z.string() }),
      answers: { status: 200, schema: hostSchema },
      handle: ({ params }) => ({ body: presentHost(knownHost(fleet, params.name), clock.now()) }),
    }),
    route({
      method: 'POST',
      path: '/hosts',
      summary: 'Pre-registers a host: expected until it arrives, an alert when it does not.',
      body: z.strictObject({
        name: z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/, 'must be a host name: letters, digits, dots, dashes'),
        labels,
        within: duration.optional(),
        withinMs: z.number().int().positive().optional(),
      }),
      answers: { status: 201, schema: hostSchema },
      deed: (_, { name, labels }) => ({ action: 'host.expect', target: name, detail: { labels } }),
      async handle({ body }) {
        if (body.within !== undefined && body.withinMs !== undefined) throw new RelightError('usage', 'give within or withinMs, not both');
        const expectedBy = clock.now() + (body.within ?? body.withinMs ?? withinDefaultMs);
        const known = fleet.host(body.name) !== undefined;
        return { status: known ? 200 : 201, body: presentHost(await fleet.expect(body.name, body.labels, expectedBy), clock.now()) };
      },
    }),
    route({
      method: 'DELETE',
      path: '/hosts/:name',
      summary: 'Forgets a host that is gone for good; its events and logs are kept.',
      role: 'admin',
      params: z.strictObject({ name: z.string() }),
      answers: { status: 204 },
      deed: ({ name }) => ({ action: 'host.forget', target: name }),
      async handle({ params }) {
        if (!(await fleet.forget(params.name))) knownHost(fleet, params.name);
        return {};
      },
    }),
    route({
      method: 'GET',
      path: '/workloads',
      summary: 'All workloads, by host and name.',
      query: z.strictObject({ host: names, workload: names, phase: z.array(z.enum(phases)).optional(), label, limit, after }),
      answers: { status: 200, schema: listOf(workloadSchema) },
      handle({ query }) {
        // A byte that no name holds and that sorts before all of them.
        const cursorOf = (one: { readonly host: string; readonly name: string }): string => `${one.host}\t${one.name}`;
        const wanted = inOrder(fleet)
          .filter((host) => (query.host?.includes(host.name) ?? true) && matchesSelector(query.label ?? [], host.labels))
          .flatMap((host) => host.workloads.map((status) => presentWorkload(host, status)))
          .filter((one) => (query.workload?.includes(one.name) ?? true) && (query.phase?.includes(one.phase) ?? true))
          .toSorted((a, b) => (cursorOf(a) < cursorOf(b) ? -1 : 1))
          .filter((one) => query.after === undefined || cursorOf(one) > query.after);
        return { body: page(wanted, query.limit, cursorOf) };
      },
    }),
    route({
      method: 'POST',
      path: '/workloads/:host/:workload/actions',
      summary: 'Restarts, pauses or resumes a workload; `-` stands for all workloads of the host.',
      params: z.strictObject({ host: z.string(), workload: z.string() }),
      body: action,
      answers: { status: 200, schema: actionAnswer },
      deed: ({ host, workload }, body) => deedOf(workload === allWorkloads ? host : `${host}/${workload}`, body),
      handle: ({ params, body }) => act(fleet, params.host, params.workload === allWorkloads ? undefined : params.workload, body),
    }),
    route({
      method: 'POST',
      path: '/hosts/:name/actions',
      summary: 'Restarts, pauses or resumes all workloads of a host.',
      params: z.strictObject({ name: z.string() }),
      body: action,
      answers: { status: 200, schema: actionAnswer },
      deed: ({ name }, body) => deedOf(name, body),
      handle: ({ params, body }) => act(fleet, params.name, undefined, body),
    }),
  ];
}
