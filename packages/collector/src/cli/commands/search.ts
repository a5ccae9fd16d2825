import type { ApiLogEntry } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { count, timeBefore } from '../arguments.ts';
import { examples, type AddCommand, type Cli } from '../cli.ts';
import { unknownNames } from '../known-names.ts';
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

interface SearchOptions extends SelectionOptions, ContextOptions {
  readonly since?: string;
  readonly until?: string;
  readonly lines: number;
  readonly oldestFirst?: true;
  readonly raw?: true;
  readonly json?: true;
}

const linesDefault = 100;

export const addSearch: AddCommand = (program, cli) => {
  const time = timeBefore(cli.io.clock.now());
  const command = program
    .command('search')
    .summary('stored log lines by word, expression, level and time')
    .description('Finds stored log lines, the newest first. Exits with 1 when there is none.')
    .argument('[words...]', 'only lines with all of these words, whole and in any case: the fastest way', word);
  addContext(addSelection(command))
    .option('--since <time>', 'from then on: how long ago (10m) or an ISO-8601 time', time)
    .option('--until <time>', 'up to then', time)
    .option('--previous', 'of the container before the present one')
    .option('-n, --lines <count>', 'at most so many, context included; 0: all', count, linesDefault)
    .option('--oldest-first', 'the oldest first')
    .option('--raw', 'pass control characters in the lines on to the terminal')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      examples([
        'relight search OutOfMemoryError',
        'relight search nccl timeout --label pool=v5e --since 1h -C 3',
        'relight search --grep "(?i)loss.*nan" --host tpu-v5e-0 --oldest-first -n 0',
        'relight search --level error --since 10m --multiline',
      ]),
    )
    .action((words: readonly string[], options: SearchOptions) => search(words, options, cli));
};

async function search(words: readonly string[], options: SearchOptions, cli: Cli): Promise<void> {
  if (words.length === 0 && options.grep === undefined && options.level === undefined) {
    throw new RelightError('usage', 'say what to look for: words, --grep or --level', {
      advice: 'For everything there is: relight tail --no-follow, or relight export.',
    });
  }
  const { io } = cli;
  const client = cli.client();
  const view = logView({
    color: io.color,
    timestamps: true,
    raw: options.raw === true,
    markers: options.oldestFirst === true,
    context: wantsContext(options),
    now: () => io.clock.now(),
  });
  const text = options.json === true ? (entry: ApiLogEntry): string => `${safeJson(entry)}\n` : view;
  const query = {
    ...selectionQuery(undefined, options),
    ...contextQuery(options),
    word: words,
    since: options.since,
    until: options.until,
    order: options.oldestFirst === true ? 'oldest' : 'newest',
    // One more than is shown: whether there are more.
    limit: options.lines === 0 ? undefined : options.lines + 1,
  };
  let left = options.lines === 0 ? Infinity : options.lines;
  let lines = 0;
  let more = false;
  for await (const entries of storedLogs(client, query)) {
    const shown = entries.slice(0, left);
    more ||= shown.length < entries.length;
    left -= shown.length;
    lines += shown.filter((entry) => !('gap' in entry)).length;
    await io.write(shown.map(({ next: _next, ...entry }) => text(entry)).join(''));
    if (io.signal.aborted) return;
  }
  if (more) io.note(`relight: there are more than ${options.lines}: say more about what you look for, or -n 0 for all`);
  if (lines > 0) return;
  const unknown = await unknownNames(client, query);
  if (unknown !== null) io.note(`relight: ${unknown}`);
  // As grep says it.
  cli.exitWith(1);
}
