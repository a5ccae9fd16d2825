/** Logs: NDJSON of what is stored, server-sent events of what comes. */
import { Readable } from 'node:stream';
import type { ApiLogEntry } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { logSourceSchema } from '@relight/shared/log-stream';
import { z } from 'zod';
import { decodeCursor, encodeCursor, type LogCursor } from '../logs/cursor.ts';
import { followLogs, type FollowFrom, type FollowItem } from '../logs/follow.ts';
import { compileGrep, grepLengthMax } from '../logs/grep.ts';
import { lastEntries, newestPiece, readLogs, type EntryBatch } from '../logs/read.ts';
import { watchSelectors, type LogSelection } from '../logs/selection.ts';
import { flag, logCursor, resolveWhen, selector, since, until } from './fields.ts';
import { logEntrySchema } from './resources.ts';
import { route, type ApiDeps, type Route } from './route.ts';
import type { OpenStreams, SseMessage } from './sse.ts';

const tailMax = 100_000;
const tailDefault = 100;

const selectionFields = {
  host: z.array(z.string()).default([]).meta({ description: 'Only these hosts; may be repeated.' }),
  workload: z.string().optional(),
  label: selector.optional(),
  source: logSourceSchema.optional().meta({ description: 'container, process, setup, mount, agent or file:NAME' }),
  generation: z.coerce.number().int().min(0).optional(),
  previous: flag.meta({ description: 'Only the generation before the present one.' }),
  since,
  grep: z.string().min(1).max(grepLengthMax).optional().meta({ description: 'Only lines that match; RE2 syntax.' }),
  tail: z.coerce.number().int().min(0).max(tailMax).optional().meta({ description: 'Only the last so many entries.' }),
  after: logCursor.optional(),
};
const readFields = z.strictObject({ ...selectionFields, until, limit: z.coerce.number().int().min(1).optional() });
const tailFields = z.strictObject(selectionFields);

type Query = z.output<typeof tailFields> & { readonly until?: z.output<typeof until> };

function selectionOf(query: Query, now: number): LogSelection {
  const { host, workload, label, source, generation, previous, grep } = query;
  if (previous && generation !== undefined) throw new RelightError('usage', 'previous: give previous or generation, not both');
  if (query.tail !== undefined && query.after !== undefined) throw new RelightError('usage', 'tail: give tail or after, not both');
  const from = resolveWhen(query.since, now);
  const to = resolveWhen(query.until, now);
  return {
    hosts: host,
    labels: label ?? [],
    previous,
    ...(workload === undefined ? {} : { workload }),
    ...(source === undefined ? {} : { source }),
    ...(generation === undefined ? {} : { generation }),
    ...(from === undefined ? {} : { since: from }),
    ...(to === undefined ? {} : { until: to }),
    ...(grep === undefined ? {} : { match: compileGrep(grep) }),
  };
}

const beginning: LogCursor = { done: 0, partly: [] };

/** At most `limit` entries; when there are more, the last one says where to go on. */
async function* limited(batches: AsyncIterable<EntryBatch>, limit: number): AsyncGenerator<readonly ApiLogEntry[]> {
  let left = limit;
  let held: EntryBatch | null = null;
  for await (const batch of batches) {
    if (held !== null) {
      if (left === 0) {
        const last = held.entries.at(-1);
        yield last === undefined ? [] : [...held.entries.slice(0, -1), { ...last, next: encodeCursor(held.cursor) }];
        return;
      }
      yield held.entries;
    }
    held = batch;
    left -= batch.entries.length;
  }
  if (held !== null) yield held.entries;
}

async function* ndjson(batches: AsyncIterable<readonly ApiLogEntry[]>): AsyncGenerator<string> {
  for await (const entries of batches) yield entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
}

function messageOf({ entry, cursor }: FollowItem): SseMessage {
  const id = cursor === null ? {} : { id: encodeCursor(cursor) };
  return entry === null ? id : { ...id, event: 'gap' in entry ? 'gap' : 'line', data: entry };
}

export function logRoutes(deps: ApiDeps, streams: OpenStreams): readonly Route[] {
  const { fleet, clock } = deps;

  async function* read(selection: LogSelection, query: z.output<typeof readFields>): AsyncGenerator<readonly ApiLogEntry[]> {
    const upTo = newestPiece(deps, selection);
    if (query.tail !== undefined) yield await lastEntries(deps, selection, Math.min(query.tail, query.limit ?? tailMax), upTo);
    else {
      const limit = query.limit ?? Infinity;
      yield* limited(readLogs(deps, selection, { from: query.after ?? beginning, upTo, limit }), limit);
    }
  }

  return [
    route({
      method: 'GET',
      path: '/logs',
      summary: 'Stored lines and gaps in order, one JSON object a line.',
      query: readFields,
      answers: { status: 200, type: 'application/x-ndjson', schema: logEntrySchema },
      handle({ query, reply }) {
        const selection = selectionOf(query, clock.now());
        void reply.type('application/x-ndjson').send(Readable.from(ndjson(read(selection, query))));
        return null;
      },
    }),
    route({
      method: 'GET',
      path: '/logs/tail',
      summary: 'The last lines, then every new one: server-sent events `line` and `gap`. Resumes behind Last-Event-ID.',
      query: tailFields,
      answers: { status: 200, type: 'text/event-stream', schema: logEntrySchema },
      async handle({ query, request, reply }) {
        const selection = selectionOf(query, clock.now());
        const resume = request.headers['last-event-id'];
        const cursor = query.after ?? (typeof resume === 'string' ? decodeCursor(resume) : undefined);
        const last = query.tail ?? (query.since === undefined ? tailDefault : undefined);
        const from: FollowFrom = cursor !== undefined ? { cursor } : last === undefined ? { all: true } : { last };
        await streams.run(request, reply, clock, async (connection) => {
          const watches = watchSelectors(selection, fleet).map((one) => fleet.watch(one));
          try {
            for await (const items of followLogs(deps, selection, from, connection.signal)) await connection.send(items.map(messageOf));
          } finally {
            for (const watch of watches) watch.dispose();
          }
        });
        return null;
      },
    }),
  ];
}
