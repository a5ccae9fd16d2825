import type { ApiLogEntry } from '@relight/shared/api';
import { delay } from '@relight/shared/clock';
import { isoTime } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { entryText } from '../../logs/entry-text.ts';
import { choice, target, timeBefore, type Target } from '../arguments.ts';
import { examples, type AddCommand, type Cli } from '../cli.ts';
import type { ApiClient, Query } from '../client.ts';
import { ExportFile, type ExportProgress } from '../export-file.ts';
import { storedLogs } from '../stored-logs.ts';
import { addSelection, selectionQuery, word, type SelectionOptions } from './log-options.ts';

const formats = ['ndjson', 'text'] as const;

interface ExportOptions extends SelectionOptions {
  /** As typed: `10m` of an export that goes on means what it meant at its beginning. */
  readonly since?: string;
  readonly until?: string;
  readonly word?: readonly string[];
  readonly format: (typeof formats)[number];
  readonly output?: string;
}

/** Entries that are asked for at a time, held in memory, and written as one. */
const pageEntries = 20_000;
const retryMs = [250, 500, 1_000, 2_000, 5_000];

export const addExport: AddCommand = (program, cli) => {
  const command = program
    .command('export')
    .summary('stored log lines into a file')
    .description(
      'Writes all matching log lines, the oldest first, as NDJSON or text. With --output the file appears when it is complete; ' +
        'the same command goes on where an interrupted one has stopped.',
    )
    .argument('[target]', 'HOST or HOST/WORKLOAD, short for --host and --workload', target);
  addSelection(command)
    .option('--word <word>', 'only lines with this word, whole and in any case (repeatable)', word)
    .option('--since <time>', 'from then on: how long ago (10m) or an ISO-8601 time', checkedTime(cli))
    .option('--until <time>', 'up to then (default: now)', checkedTime(cli))
    .option('--previous', 'of the container before the present one')
    .option('--format <format>', 'ndjson: exactly what is stored; text: for people', choice(formats), 'ndjson')
    .option('-o, --output <file>', 'write to FILE.part, and rename it when it is complete (default: to stdout)')
    .addHelpText(
      'after',
      examples([
        'relight export tpu-v5e-0/ray-worker --since 1h -o worker.ndjson',
        'relight export --label pool=v5e --format text > pool.log',
      ]),
    )
    .action((subject: Target | undefined, options: ExportOptions) => exportLogs(subject, options, cli));
};

/** Refuses what is no time, and keeps what was typed. */
const checkedTime =
  (cli: Cli) =>
  (text: string): string => {
    timeBefore(cli.io.clock.now())(text);
    return text;
  };

async function exportLogs(subject: Target | undefined, options: ExportOptions, cli: Cli): Promise<void> {
  const { io } = cli;
  const client = cli.client();
  const { output, format } = options;
  const time = timeBefore(io.clock.now());
  const typed = { ...selectionQuery(subject, options), word: options.word, since: options.since, until: options.until };
  const query: Query = {
    ...typed,
    since: options.since === undefined ? undefined : time(options.since),
    // What comes while it is written would never let it end.
    until: options.until === undefined ? isoTime(io.clock.now()) : time(options.until),
  };
  const file =
    output === undefined ? null : await ExportFile.open(output, { key: JSON.stringify({ url: client.url, format, ...typed }), query });
  const progress: ExportProgress = file?.progress ?? { query, after: null, lines: 0, gaps: 0, missing: 0 };
  if (progress.after !== null) io.note(`relight: going on with ${output ?? ''}.part behind ${progress.lines} lines`);
  const total = { lines: progress.lines, gaps: progress.gaps, missing: progress.missing };
  try {
    for (let after = progress.after, more = true; more;) {
      const entries = await page(client, { ...progress.query, after: after ?? undefined, limit: pageEntries }, cli);
      if (io.signal.aborted) return;
      after = entries.at(-1)?.next ?? after;
      more = entries.at(-1)?.next !== undefined;
      count(entries, total);
      const text = entries
        .map(({ next: _next, ...entry }) => (format === 'text' ? entryText(entry) : `${JSON.stringify(entry)}\n`))
        .join('');
      if (file === null) await io.write(text);
      else await file.append(text, { query: progress.query, after, ...total });
    }
    await file?.complete();
  } finally {
    await file?.close();
  }
  const gaps = total.gaps === 0 ? 'no gaps' : `${total.gaps} ${total.gaps === 1 ? 'gap' : 'gaps'} (${total.missing} bytes are missing)`;
  io.note(`relight: ${total.lines} ${total.lines === 1 ? 'line' : 'lines'} and ${gaps}${output === undefined ? '' : ` in ${output}`}`);
  if (total.lines === 0) cli.exitWith(1);
}

function count(entries: readonly ApiLogEntry[], total: { lines: number; gaps: number; missing: number }): void {
  for (const entry of entries) {
    if ('gap' in entry) {
      total.gaps += 1;
      total.missing += entry.gap.bytes ?? entry.gap.to - entry.gap.from;
    } else total.lines += 1;
  }
}

/** One page, whole or not at all; a collector that goes away is asked again for a while. */
async function page(client: ApiClient, query: Query, { io }: Cli): Promise<readonly ApiLogEntry[]> {
  for (let attempt = 0; ; attempt += 1) {
    const entries: ApiLogEntry[] = [];
    try {
      for await (const some of storedLogs(client, query)) entries.push(...some);
      return entries;
    } catch (thrown) {
      const wait = retryMs[attempt];
      const lost = thrown instanceof RelightError && thrown.code === 'collector-unreachable';
      // Nothing has come at all: most likely a wrong address.
      if (io.signal.aborted || !lost || wait === undefined || query['after'] === undefined) throw thrown;
      io.note(`relight: ${thrown.message}; trying again`);
      await delay(io.clock, wait, io.signal);
    }
  }
}
