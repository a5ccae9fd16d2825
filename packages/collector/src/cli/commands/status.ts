import type { ApiAlert, ApiHost, ApiSink } from '@relight/shared/api';
import { delay } from '@relight/shared/clock';
import { selectors } from '../arguments.ts';
import { examples, jsonDocument, viewContext, type AddCommand, type Cli } from '../cli.ts';
import type { ApiClient } from '../client.ts';
import { follow, followNotices, parseData } from '../follow.ts';
import { readSinks } from './sinks.ts';
import { sortPicture, statusText, type Picture } from '../view/status-view.ts';

interface StatusOptions {
  readonly json?: true;
  readonly watch?: true;
  readonly host?: string;
  readonly label?: string;
}

/** Redraws at most this often: more than a person can see. What comes meanwhile is taken in at once afterwards. */
const redrawMs = 500;
/** The stream does not tell of sinks: they are asked about, with a redraw, at most this often. */
const sinksEveryMs = 5_000;

export const addStatus: AddCommand = (program, cli) => {
  program
    .command('status')
    .summary('the fleet in one picture, worst first')
    .description('Hosts, workloads, firing alerts, and sinks that do not take them, worst first.')
    .option('--host <name>', 'only this host')
    .option('--label <selector>', 'only hosts with these labels, like pool=v5e,zone!=us-west4-a (repeatable)', selectors)
    .option('-w, --watch', 'keep the picture up to date')
    .option('--json', 'one JSON document {hosts, workloads, alerts, sinks}; with --watch one a line')
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
  if (options.watch === true) return watch(client, options, cli);
  const [picture, trouble] = await Promise.all([readPicture(client, options), client.storeTrouble()]);
  if (trouble !== null) io.note(`relight: the collector is in trouble, what it shows may be old: ${trouble}`);
  return io.write(options.json === true ? jsonDocument(sortPicture(picture)) : statusText(picture, viewContext(io)));
}

async function readPicture(client: ApiClient, { host, label }: StatusOptions): Promise<Picture> {
  const [hosts, alerts, sinks] = await Promise.all([
    client.list<ApiHost>('hosts', { host, label }),
    client.list<ApiAlert>('alerts', { host, state: 'firing' }),
    readSinks(client),
  ]);
  return pictureOf(hosts.items, alerts.items, sinks);
}

function pictureOf(hosts: readonly ApiHost[], alerts: readonly ApiAlert[], sinks: readonly ApiSink[] | undefined): Picture {
  const names = new Set(hosts.map((host) => host.name));
  return {
    hosts,
    workloads: hosts.flatMap((host) => host.workloads),
    // An alert without a host is about the whole fleet, whichever part of it is looked at.
    alerts: alerts.filter((alert) => alert.state === 'firing' && (alert.host === '' || names.has(alert.host))),
    sinks,
  };
}

/** The stream begins with the whole picture, after every reconnect, too. */
async function watch(client: ApiClient, { host, label, json }: StatusOptions, { io }: Cli): Promise<void> {
  const fleet = { connection: 0, hosts: new Map<string, ApiHost>(), alerts: new Map<string, ApiAlert>() };
  const stream = follow(client, 'stream', { host, label }, { clock: io.clock, signal: io.signal, ...followNotices(io.note) });
  let sinks: readonly ApiSink[] | undefined;
  let sinksAt = -Infinity;
  for await (const { messages, connection } of stream) {
    if (connection !== fleet.connection) {
      fleet.connection = connection;
      fleet.hosts.clear();
      fleet.alerts.clear();
    }
    for (const message of messages) {
      if (message.event === 'host') takeHost(fleet.hosts, parseData(message) as ApiHost | GoneHost);
      if (message.event === 'alert') {
        const alert = parseData(message) as ApiAlert;
        fleet.alerts.set(alert.id, alert);
      }
    }
    if (io.clock.monotonic() - sinksAt >= sinksEveryMs) {
      // The picture goes on without them: the stream says by itself that the collector is away.
      sinks = await readSinks(client).catch(() => sinks);
      sinksAt = io.clock.monotonic();
    }
    const picture = pictureOf([...fleet.hosts.values()], [...fleet.alerts.values()], sinks);
    await io.write(
      json === true ? `${JSON.stringify(sortPicture(picture))}\n` : redrawn(statusText(picture, viewContext(io)), io.columns !== null),
    );
    await delay(io.clock, redrawMs, io.signal);
  }
}

interface GoneHost {
  readonly name: string;
  readonly deleted: true;
}

function takeHost(hosts: Map<string, ApiHost>, host: ApiHost | GoneHost): void {
  if ('deleted' in host) hosts.delete(host.name);
  else hosts.set(host.name, host);
}

/** Home, and clear from there on: what was on the screen before stays in the scrollback. */
const redrawn = (text: string, terminal: boolean): string => (terminal ? `\u001b[H\u001b[2J${text}` : `${text}\n`);
