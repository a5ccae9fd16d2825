/** Incidents: failures and their recovery, with what was found on the host. */
import { RelightError } from '@relight/shared/errors';
import { severities } from '@relight/shared/event';
import { evidenceUnpackedBytesMax } from '@relight/shared/incident';
import { incidentResource } from '@relight/shared/incident-resource';
import { levels } from '@relight/shared/phase';
import { zstdDecompress } from 'node:zlib';
import { promisify } from 'node:util';
import * as z from 'zod';
import type { Store, StoredIncident } from '../store/store.ts';
import { after, host, limit, page, resolveWhen, since, until, workload } from './fields.ts';
import { incidentResourceSchema, listOf } from './resources.ts';
import { route, type ApiDeps, type Route } from './route.ts';

const unpack = promisify(zstdDecompress);
/** More than this many with one beginning are nobody's abbreviation. */
const candidatesMax = 6;

export function incidentRoutes({ store, clock }: ApiDeps): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/incidents',
      summary: 'Incidents, newest first; their evidence without its text.',
      query: z.strictObject({
        host,
        workload,
        kind: z.array(z.string()).optional().meta({ description: 'Error codes of the cause: process-oom, mount-lost …' }),
        level: z.array(z.enum(levels)).optional(),
        severity: z.array(z.enum(severities)).optional().meta({ description: 'The worst severity in the timeline.' }),
        state: z.enum(['open', 'closed']).optional(),
        since,
        until,
        limit,
        after,
      }),
      answers: { status: 200, schema: listOf(incidentResourceSchema) },
      handle({ query }) {
        const now = clock.now();
        const from = resolveWhen(query.since, now);
        const to = resolveWhen(query.until, now);
        const found = store.incidents({
          limit: query.limit + 1,
          ...(query.host === undefined ? {} : { host: query.host }),
          ...(query.workload === undefined ? {} : { workload: query.workload }),
          ...(query.kind === undefined ? {} : { codes: query.kind }),
          ...(query.level === undefined ? {} : { levels: query.level }),
          ...(query.severity === undefined ? {} : { severities: query.severity }),
          ...(query.state === undefined ? {} : { open: query.state === 'open' }),
          ...(from === undefined ? {} : { since: from }),
          ...(to === undefined ? {} : { until: to }),
          ...(query.after === undefined ? {} : { after: query.after }),
        });
        const { items, next } = page(found, query.limit, ({ host, incident }) => `${host}/${incident.id}`);
        return { body: { items: items.map(({ host, incident }) => incidentResource(host, incident)), next } };
      },
    }),
    route({
      method: 'GET',
      path: '/incidents/:id',
      summary: 'One incident with the text of its evidence. The beginning of its id is enough where it is unambiguous.',
      params: z.strictObject({ id: z.string() }),
      query: z.strictObject({ host }),
      answers: { status: 200, schema: incidentResourceSchema },
      async handle({ params, query }) {
        const found = theOne(store, params.id, query.host);
        const texts = await evidenceTexts(store, found);
        return { body: incidentResource(found.host, found.incident, texts) };
      },
    }),
  ];
}

function theOne(store: Store, id: string, onlyHost: string | undefined): StoredIncident {
  const candidates = store.incidentsById(id, candidatesMax).filter(({ host }) => onlyHost === undefined || host === onlyHost);
  const exact = candidates.filter(({ incident }) => incident.id === id);
  const [only, another] = exact.length > 0 ? exact : candidates;
  if (only === undefined) throw new RelightError('not-found', `there is no incident ${id}`);
  if (another === undefined) return only;
  const names = candidates.map(({ host, incident }) => `${incident.id} (${host})`).join(', ');
  throw new RelightError('conflict', `more than one incident begins with ${id}: ${names}`, { advice: 'Give more of the id, or the host.' });
}

async function evidenceTexts(store: Store, { host, incident }: StoredIncident): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for (const { name } of incident.evidence) {
    const body = store.incidentEvidence(host, incident.id, name);
    if (body === null) continue;
    const text = await unpack(body, { maxOutputLength: evidenceUnpackedBytesMax }).catch(() => null);
    if (text !== null) texts.set(name, text.toString('utf8'));
  }
  return texts;
}
