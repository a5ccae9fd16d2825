/** Logs: NDJSON or text of what is stored, server-sent events of what comes. */
import { RelightError } from '@relight/shared/errors';
import * as z from 'zod';
import { eventOf, type LogRequest } from '../logs/answer.ts';
import { mistakenSource } from '../logs/asked-source.ts';
import { decodeCursor, encodeCursor, type LogCursor } from '../logs/cursor.ts';
import { followLogs, type FollowItem } from '../logs/follow.ts';
import { compileGrep, grepLengthMax } from '../logs/grep.ts';
import { logLevels } from '../logs/level.ts';
import { newestPlace } from '../logs/read.ts';
import { readingHere } from '../logs/reading.ts';
import { questionOf, showsWindows, watchSelectors, type LogSelection } from '../logs/selection.ts';
import { isWord, wordLengthMax } from '../logs/words.ts';
import type { SseMessage } from '../sse-text.ts';
import { OpenAnswers } from './answers.ts';
import { flag, hostName, logCursor, resolveWhen, selector, since, until, workloadName } from './fields.ts';
import { logEntrySchema } from './resources.ts';
import { route, type ApiDeps, type Route } from './route.ts';
import type { OpenStreams } from './sse.ts';

const tailMax = 100_000;
const tailDefault = 100;
const contextMax = 100;
const wordsMax = 20;

const context = (where: string): z.ZodOptional<z.ZodCoercedNumber> =>
  z.coerce
    .number()
    .int()
    .min(0)
    .max(contextMax)
    .optional()
    .meta({ description: `So many lines of the same stream ${where} each that matches; marked as context.` });

const selectionFields = {
  host: z.array(hostName).default([]).meta({ description: 'Only these hosts; may be repeated.' }),
  workload: workloadName.optional(),
  label: selector.optional(),
  source: z
    .string()
    .max(1_024)
    .refine((text) => mistakenSource(text) === null, { error: ({ input }) => mistakenSource(String(input)) ?? '' })
    .optional()
    .meta({ description: 'container, process, setup, mount, agent or file:NAME, or one that a later version of an agent names.' }),
  generation: z.coerce.number().int().min(0).optional(),
  previous: flag.meta({ description: 'Only the generation before the present one.' }),
  since,
  grep: z.string().min(1).max(grepLengthMax).optional().meta({ description: 'Only lines that match; RE2 syntax.' }),
  word: z
    .array(z.string().refine(isWord, `must be a word of at most ${wordLengthMax} characters`))
    .max(wordsMax)
    .default([])
    .meta({ description: 'Only lines with this word, whole and in any case; may be repeated, then all of them.' }),
  level: z.enum(logLevels).optional().meta({ description: 'Only lines that say of themselves that they are at least so serious.' }),
  linesBefore: context('before'),
  linesAfter: context('after'),
  multiline: flag.meta({
    description:
      'Tracebacks and other lines that belong together are one entry, up to 512 lines and 256 KiB: a longer record comes as several.',
  }),
  tail: z.coerce.number().int().min(0).max(tailMax).optional().meta({ description: 'Only the last so many entries.' }),
  after: logCursor.optional(),
};
const readFields = z.strictObject({
  ...selectionFields,
  until,
  limit: z.coerce.number().int().min(1).optional(),
  order: z.enum(['oldest', 'newest']).default('oldest').meta({ description: 'Which entries come first.' }),
  format: z.enum(['ndjson', 'text']).default('ndjson').meta({ description: 'text: a line for people, without control characters.' }),
});
const tailFields = z.strictObject(selectionFields);

type Query = z.output<typeof tailFields> & { readonly until?: z.output<typeof until> };

function selectionOf(query: Query, now: number): LogSelection {
  const { host, workload, label, source, generation, previous, grep, word, level, linesBefore, linesAfter, multiline } = query;
  if (previous && generation !== undefined) throw new RelightError('usage', 'previous: give previous or generation, not both');
  if (query.tail !== undefined && query.after !== undefined) throw new RelightError('usage', 'tail: give tail or after, not both');
  const from = resolveWhen(query.since, now);
  const to = resolveWhen(query.until, now);
  // An expression that is none is refused before anything is read.
  if (grep !== undefined) compileGrep(grep);
  return {
    hosts: host,
    labels: label ?? [],
    previous,
    ...(workload === undefined ? {} : { workload }),
    ...(source === undefined ? {} : { source }),
    ...(generation === undefined ? {} : { generation }),
    ...(from === undefined ? {} : { since: from }),
    ...(to === undefined ? {} : { until: to }),
    ...(grep === undefined ? {} : { grep }),
    ...(word.length === 0 ? {} : { words: word }),
    ...(level === undefined ? {} : { level }),
    ...(linesBefore === undefined ? {} : { linesBefore }),
    ...(linesAfter === undefined ? {} : { linesAfter }),
    ...(multiline ? { multiline } : {}),
  };
}

const beginning: LogCursor = { done: 0, partly: [] };

function orderOf({ order, tail, limit, after, ...lines }: z.output<typeof readFields>): LogRequest['order'] {
  const most = limit === undefined ? {} : { limit };
  requireOrder(after, order === 'newest');
  if (order === 'oldest') return tail === undefined ? { from: after ?? beginning, ...most } : { last: Math.min(tail, limit ?? tailMax) };
  if (after !== undefined && showsWindows(lines)) {
    throw new RelightError(
      'usage',
      'after: with order=newest not together with linesBefore, linesAfter or multiline; go on with until=TIME',
    );
  }
  const from = after === undefined ? {} : { from: after };
  return { newestFirst: true, ...from, ...(tail === undefined ? most : { limit: Math.min(tail, limit ?? tailMax) }) };
}

/** A place in one order says nothing in the other. */
function requireOrder(after: LogCursor | undefined, newest: boolean): void {
  if (after === undefined || (after.newestFirst === true) === newest) return;
  throw new RelightError('usage', `after: is from an answer with order=${newest ? 'oldest' : 'newest'}; give the same order again`);
}

function messageOf({ entry, cursor }: FollowItem): SseMessage {
  const id = cursor === null ? {} : { id: encodeCursor(cursor) };
  return entry === null ? id : { ...id, event: eventOf(entry), data: entry };
}

export function logRoutes(deps: ApiDeps, streams: OpenStreams): readonly Route[] {
  const { fleet, clock, store } = deps;
  const reading = deps.logs ?? readingHere(store);
  const answers = new OpenAnswers(clock);

  return [
    route({
      method: 'GET',
      path: '/logs',
      summary: 'Stored lines and gaps in order, one JSON object a line.',
      query: readFields,
      answers: { status: 200, type: 'application/x-ndjson', schema: logEntrySchema },
      async handle({ query, reply }) {
        const question = questionOf(selectionOf(query, clock.now()), fleet);
        const upTo = newestPlace(store)?.done ?? 0;
        const type = query.format === 'text' ? 'text/plain; charset=utf-8' : 'application/x-ndjson';
        const asked: LogRequest = { question, order: orderOf(query), upTo, format: query.format };
        await answers.send(reply, type, (signal) => reading.read(asked, signal));
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
        requireOrder(cursor, false);
        const last = query.tail ?? (query.since === undefined ? tailDefault : undefined);
        const order: LogRequest['order'] = cursor === undefined && last !== undefined ? { last } : { from: cursor ?? beginning };
        await streams.run(request, reply, clock, async (connection) => {
          const watches = watchSelectors(selection, fleet).map((one) => fleet.watch(one));
          const question = questionOf(selection, fleet);
          const history = (upTo: number): AsyncIterable<Uint8Array> =>
            reading.read({ question, order, upTo, format: 'sse' }, connection.signal);
          try {
            for await (const found of followLogs(deps, selection, { from: cursor ?? null, history }, connection.signal)) {
              await (found instanceof Uint8Array ? connection.sendText(found) : connection.send(found.map(messageOf)));
            }
          } finally {
            for (const watch of watches) watch.dispose();
          }
        });
        return null;
      },
    }),
  ];
}
