import type { ApiAlert, ApiHost } from '@relight/shared/api';
import { matchesSelector, parseSelector } from '@relight/shared/selector';
import { delay } from '@relight/shared/clock';
import { selectors } from '../arguments.ts';
import { examples, jsonDocument, viewContext, type AddCommand, type Cli } from '../cli.ts';
import type { ApiClient } from '../client.ts';
import { follow, followNotices } from '../follow.ts';
import { sortPicture, statusText, type Picture } from '../view/status-view.ts';

interface StatusOptions {
  readonly json?: true;
  readonly watch?: true;
  readonly host?: string;
  readonly label?: string;
}

/** Redraws at most this often: reading the fleet costs the collector more than a person can see. */
const redrawMs = 500;

export const addStatus: AddCommand = (program, cli) => {
  program
    .command('status')
    .summary('the fleet in one picture, worst first')
    .description('Hosts, workloads and firing alerts, worst first.')
    .option('--host <name>', 'only this host')
    .option('--label <selector>', 'only hosts with these labels, like pool=v5e,zone!=us-west4-a (repeatable)', selectors)
    .option('-w, --watch', 'keep the picture up to date')
    .option('--json', 'one JSON document {hosts, workloads, alerts}; with --watch one a line')
    .addHelpText(
      'after',
      examples([
        'relight status',
        'relight status --watch --label pool=v5e',
        'relight status --json | jq ".workloads[] | select(.phase != \\"ready\\")"',
      ]),
    )
    .action((options: StatusOptions) => status(options, cli));
};

async function status(options: StatusOptions, cli: Cli): Promise<void> {
  const client = cli.client();
  const { io } = cli;
  const read = (): Promise<Picture> => readPicture(client, options);
  if (options.watch !== true) {
    const picture = await read();
    await io.write(options.json === true ? jsonDocument(sortPicture(picture)) : statusText(picture, viewContext(io)));
    return;
  }
  const draw = async (): Promise<void> => {
    const picture = await read();
    if (options.json === true) await io.write(`${JSON.stringify(sortPicture(picture))}\n`);
    // Home, and clear from there on: no flicker, and what was on the screen before stays in the scrollback.
    else
      await io.write(
        `${io.columns === null ? '' : '\u001b[H\u001b[2J'}${statusText(picture, viewContext(io))}${io.columns === null ? '\n' : ''}`,
      );
  };
  await draw();
  const changes = follow(client, 'stream', { host: options.host }, { clock: io.clock, signal: io.signal, ...followNotices(io.note) });
  for await (const _batch of changes) {
    await draw();
    await delay(io.clock, redrawMs, io.signal);
  }
}

async function readPicture(client: ApiClient, options: StatusOptions): Promise<Picture> {
  const [hosts, alerts] = await Promise.all([
    client.list<ApiHost>('hosts', { host: options.host }),
    client.list<ApiAlert>('alerts', { host: options.host, state: 'firing' }),
  ]);
  const selector = parseSelector(options.label ?? '') ?? [];
  const chosen = hosts.items.filter((host) => matchesSelector(selector, host.labels));
  const names = new Set(chosen.map((host) => host.name));
  return {
    hosts: chosen,
    workloads: chosen.flatMap((host) => host.workloads),
    alerts: alerts.items.filter((alert) => alert.state === 'firing' && names.has(alert.host)),
  };
}
