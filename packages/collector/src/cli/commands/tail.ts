import type { ApiLogEntry } from '@relight/shared/api';
import { count, target, timeBefore, type Target } from '../arguments.ts';
import { examples, type AddCommand, type Cli } from '../cli.ts';
import type { ApiClient, Query } from '../client.ts';
import { follow, followNotices, parseData } from '../follow.ts';
import { unknownNames } from '../known-names.ts';
import { resumeFilter } from '../resume-filter.ts';
import { storedLogs } from '../stored-logs.ts';
import { logView } from '../view/log-view.ts';
import { safeJson } from '../view/sanitize.ts';
import {
  addContext,
  addSelection,
  contextQuery,
  selectionQuery,
  wantsContext,
  word,
  type ContextOptions,
  type SelectionOptions,
} from './log-options.ts';

interface TailOptions extends SelectionOptions, ContextOptions {
  readonly lines?: number;
  readonly since?: string;
  readonly until?: string;
  readonly word?: readonly string[];
  readonly follow: boolean;
  readonly timestamps?: true;
  readonly raw?: true;
  readonly json?: true;
}

const linesDefault = 100;

export const addTail: AddCommand = (program, cli) => {
  const time = timeBefore(cli.io.clock.now());
  const command = program
    .command('tail')
    .summary('the logs of all matching workloads, merged')
    .description('Follows the logs of all matching workloads in one terminal; gaps and container changes are visible.')
    .argument('[target]', 'HOST or HOST/WORKLOAD, short for --host and --workload', target);
  addContext(addSelection(command).option('--word <word>', 'only lines with this word, whole and in any case (repeatable)', word))
    .option('-n, --lines <count>', `begin with this many of the last lines (default: ${linesDefault}, or all with --since)`, count)
    .option('--since <time>', 'begin there: how long ago (10m) or an ISO-8601 time', time)
    .option('--until <time>', 'end there, and do not follow', time)
    .option('--previous', 'of the container before the present one; does not follow')
    .option('--no-follow', 'print what is there and end')
    .option('-t, --timestamps', 'with the time of each line; ~ behind it: when the agent caught up with it, not when it was written')
    .option('--raw', 'pass control characters in the lines on to the terminal')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      examples([
        'relight tail',
        'relight tail tpu-v5e-0/ray-worker --source process -n 20',
        'relight tail --label pool=v5e --since 10m --grep "(?i)error" --no-follow',
        'relight tail --host tpu-v5e-0 --previous',
        'relight tail --level error --multiline -n 20',
        'relight tail --word oom -C 5 --since 1h --no-follow',
      ]),
    )
    .action((subject: Target | undefined, options: TailOptions) => tail(subject, options, cli));
};

async function tail(subject: Target | undefined, options: TailOptions, cli: Cli): Promise<void> {
  const { io } = cli;
  const client = cli.client();
  const view = logView({
    color: io.color,
    timestamps: options.timestamps === true,
    raw: options.raw === true,
    context: wantsContext(options),
    now: () => io.clock.now(),
  });
  const text = options.json === true ? (entry: ApiLogEntry): string => `${safeJson(entry)}\n` : view;
  const query = tailQuery(subject, options);
  const following = options.follow && options.until === undefined && options.previous !== true;
  // Beside the stream: the first line waits for nothing.
  const hint = unknownNames(client, query).then((unknown) => {
    if (unknown !== null) io.note(`relight: ${unknown}${following ? ' Waiting for it.' : ''}`);
    return unknown;
  });
  let shown = 0;
  const batches = following ? followed(client, query, cli) : storedLogs(client, query);
  for await (const entries of batches) {
    shown += entries.length;
    await io.write(entries.map(text).join(''));
  }
  // What has gone may still have lines.
  if ((await hint) !== null && shown === 0 && !following) cli.exitWith(1);
}

function tailQuery(subject: Target | undefined, options: TailOptions): Query {
  const linesWanted = options.lines ?? (options.since === undefined ? linesDefault : undefined);
  return {
    ...selectionQuery(subject, options),
    ...contextQuery(options),
    word: options.word,
    since: options.since,
    until: options.until,
    tail: linesWanted,
  };
}

async function* followed(client: ApiClient, query: Query, { io }: Cli): AsyncGenerator<readonly ApiLogEntry[]> {
  const fresh = resumeFilter();
  const stream = follow(client, 'logs/tail', query, { clock: io.clock, signal: io.signal, ...followNotices(io.note) });
  for await (const { messages, connection } of stream) {
    yield messages
      .filter((message) => message.event === 'line' || message.event === 'gap')
      .map((message) => parseData(message) as ApiLogEntry)
      .filter((entry) => fresh(entry, connection > 1));
  }
}
