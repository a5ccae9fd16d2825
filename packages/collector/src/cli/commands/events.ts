import type { ApiEvent } from '@relight/shared/api';
import type { EventKind, Severity } from '@relight/shared/event';
import { count, kinds, severityList, timeBefore } from '../arguments.ts';
import { examples, jsonDocument, type AddCommand, type Cli } from '../cli.ts';
import type { Query } from '../client.ts';
import { follow, followNotices, parseData } from '../follow.ts';
import { unknownNames } from '../known-names.ts';
import { firstTime } from '../resume-filter.ts';
import { eventLine } from '../view/event-view.ts';

interface EventsOptions {
  readonly host?: string;
  readonly workload?: string;
  readonly kind?: readonly EventKind[];
  readonly severity?: readonly Severity[];
  readonly since?: string;
  readonly until?: string;
  readonly lines: number;
  readonly follow?: true;
  readonly json?: true;
}

export const addEvents: AddCommand = (program, cli) => {
  const time = timeBefore(cli.io.clock.now());
  program
    .command('events')
    .summary('what happened, and why')
    .description('What happened in the fleet, oldest first.')
    .option('--host <name>', 'only this host')
    .option('--workload <name>', 'only this workload')
    .option('--kind <kinds>', 'only these kinds, like container.died,process.exited (repeatable)', kinds)
    .option('--severity <severities>', 'only these severities: info, warning, error, critical (repeatable)', severityList)
    .option('--since <time>', 'from then on: how long ago (10m) or an ISO-8601 time', time)
    .option('--until <time>', 'up to then', time)
    .option('-n, --lines <count>', 'at most this many, the newest', count, 50)
    .option('-f, --follow', 'go on with what happens from now on')
    .option('--json', 'one JSON document {items, next}; with --follow one event a line')
    .addHelpText(
      'after',
      examples([
        'relight events --since 1h',
        'relight events --host tpu-v5e-0 --kind container.died,workload.ready --json',
        'relight events --follow --severity warning,error,critical',
      ]),
    )
    .action((options: EventsOptions) => events(options, cli));
};

async function events(options: EventsOptions, cli: Cli): Promise<void> {
  const { io } = cli;
  const client = cli.client();
  const filter: Query = {
    host: options.host,
    workload: options.workload,
    kind: options.kind?.join(','),
    severity: options.severity?.join(','),
  };
  const found = await client.list<ApiEvent>('events', { ...filter, since: options.since, until: options.until }, options.lines);
  const items = found.items.toSorted((a, b) => Number(a.id) - Number(b.id));
  const text = (event: ApiEvent): string =>
    options.json === true ? `${JSON.stringify(event)}\n` : `${eventLine(event, { color: io.color, now: io.clock.now() })}\n`;
  if (options.follow !== true) {
    await io.write(options.json === true ? jsonDocument({ items, next: found.next }) : items.map(text).join(''));
    if (items.length === 0) io.note(`relight: ${(await unknownNames(client, filter)) ?? 'no events'}`);
    return;
  }
  await io.write(items.map(text).join(''));
  const fresh = firstTime();
  for (const { id } of items) fresh(id);
  const lastId = items.at(-1)?.id;
  const stream = follow(client, 'stream', filter, {
    clock: io.clock,
    signal: io.signal,
    ...(lastId === undefined ? {} : { lastId }),
    ...followNotices(io.note),
  });
  for await (const { messages } of stream) {
    const found = messages.filter((message) => message.event === 'event').map((message) => parseData(message) as ApiEvent);
    await io.write(
      found
        .filter((event) => matches(event, options) && fresh(event.id))
        .map(text)
        .join(''),
    );
  }
}

/** The stream serves every kind of reader; what this one did not ask for is dropped here. */
function matches(event: ApiEvent, { host, workload, kind, severity }: EventsOptions): boolean {
  return (
    (host === undefined || event.host === host) &&
    (workload === undefined || event.workload === workload) &&
    (kind === undefined || kind.includes(event.kind)) &&
    (severity === undefined || severity.includes(event.severity))
  );
}
