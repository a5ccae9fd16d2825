import { hostname } from 'node:os';
import type { ApiAlert, ApiEvent, ApiHost, ApiIncident, ApiList, ApiSink } from '@relight/shared/api';
import { isoTime } from '@relight/shared/api';
import { RelightError, errorMessage } from '@relight/shared/errors';
import { bundleName, writeBundle, type BundlePiece } from '@relight/shared/support-bundle';
import { parseDurationMs } from '@relight/shared/units';
import pc from 'picocolors';
import { timeBefore } from '../arguments.ts';
import { examples, jsonDocument, type AddCommand, type Cli } from '../cli.ts';
import { segment, type ApiClient } from '../client.ts';
import { readSinks } from './sinks.ts';
import { hostText } from '../view/host-view.ts';
import { statusText } from '../view/status-view.ts';

interface BundleOptions {
  readonly since?: string;
  readonly output?: string;
}

/** What is asked for, about whom, and since when. */
interface Request {
  readonly client: ApiClient;
  readonly host: string | undefined;
  readonly since: string;
  readonly now: number;
}

const sinceDefault = '24h';
const eventsMax = 2_000;
const incidentsMax = 200;
const alertsMax = 500;

const readme = `A support bundle of a Relight collector, made with an operator's token. Text only; no logs of workloads, no evidence of incidents.
manifest.json says what is in it, and what could not be had.

Taken out: the token it was made with, and what looks like a secret. Nobody can know what a secret looks like that a workload has printed
into its last words, or that is in a name: look through it before you send it. Of the host itself relight-agent support-bundle knows more.
`;

export const addSupportBundle: AddCommand = (program, cli) => {
  program
    .command('support-bundle')
    .summary('what somebody needs to understand the fleet from afar, in one file')
    .description(
      'Writes a .tar.gz with hosts, alerts, incidents, events, metrics and versions, of the fleet or of one host, without logs and ' +
        'without what looks like a secret. A token with the role view is enough.',
    )
    .argument('[host]', 'only of this host')
    .option('--since <time>', `incidents and events from then on: how long ago (10m) or an ISO-8601 time (default: ${sinceDefault})`)
    .option('-o, --output <file>', 'where to (default: relight-support-NAME-TIME.tar.gz in this directory)')
    .addHelpText('after', examples(['relight support-bundle', 'relight support-bundle tpu-v5e-0 --since 2h -o tpu-v5e-0.tar.gz']))
    .action((host: string | undefined, options: BundleOptions) => makeBundle(host, options, cli, program.version() ?? ''));
};

async function makeBundle(host: string | undefined, options: BundleOptions, cli: Cli, version: string): Promise<void> {
  const now = cli.io.clock.now();
  const client = cli.client();
  const since = options.since === undefined ? isoTime(now - (parseDurationMs(sinceDefault) ?? 0)) : timeBefore(now)(options.since);
  const request = { client, host, since, now };
  // First, and alone: who is not let in, or asks about nobody, is told so instead of being given a bundle of errors.
  const hosts = host === undefined ? (await client.list<ApiHost>('hosts')).items : [await client.get<ApiHost>(`hosts/${segment(host)}`)];
  const { pieces, missing } = await gather(request, hosts);
  const manifest = {
    madeAt: isoTime(now),
    madeBy: `relight ${version}, node ${process.version}`,
    collector: client.url,
    host: host ?? null,
    since,
    files: pieces.map(({ name }) => name),
    missing,
  };
  const all = [{ name: 'README.txt', text: readme }, { name: 'manifest.json', text: jsonDocument(manifest) }, ...pieces];
  const output = options.output ?? bundleName(host ?? (URL.parse(client.url)?.hostname || hostname()), now);
  await writeBundle(
    output,
    all.map(({ name, text }) => ({ name, text: client.withoutToken(text) })),
  );
  await cli.io.write(`${output}\n`);
  for (const { name, reason } of missing) cli.io.note(`relight: left out: ${name}: ${reason}`);
  cli.io.note(`${all.length} files, secrets taken out as far as they can be known; look through it before you send it: tar -tzf ${output}`);
}

interface Gathered {
  readonly pieces: readonly BundlePiece[];
  readonly missing: readonly { readonly name: string; readonly reason: string }[];
}

/** What cannot be had is missing, with the reason: a collector in trouble is what a bundle is made for. */
async function gather(request: Request, hosts: readonly ApiHost[]): Promise<Gathered> {
  const { client, host, now, since } = request;
  const context = { color: pc.createColors(false), columns: null, now };
  const alerts = lazily(() => client.list<ApiAlert>('alerts', { host }, alertsMax));
  const events = lazily(() => client.list<ApiEvent>('events', { host, since }, eventsMax));
  const wanted: readonly (readonly [name: string, text: () => Promise<string> | string])[] = [
    ['hosts.json', () => jsonDocument(hosts)],
    ['sinks.json', async () => jsonDocument((await client.list<ApiSink>('sinks')).items)],
    ['alerts.json', async () => jsonDocument((await alerts()).items)],
    [
      'status.txt',
      async () => {
        const firing = (await alerts()).items.filter(({ state }) => state === 'firing');
        return statusText(
          { hosts, workloads: hosts.flatMap(({ workloads }) => workloads), alerts: firing, sinks: await readSinks(client) },
          context,
        );
      },
    ],
    ...hosts.slice(0, host === undefined ? 0 : 1).map((one) => ['host.txt', () => hostText(one, [], context)] as const),
    ['incidents.json', async () => jsonDocument((await client.list<ApiIncident>('incidents', { host, since }, incidentsMax)).items)],
    ['events.ndjson', async () => oldestFirst(await events())],
    ['metrics.txt', async () => ofHost(await client.text('/metrics'), host)],
    ['collector.json', async () => jsonDocument(await collectorFacts(client))],
  ];
  const pieces: BundlePiece[] = [];
  const missing: { name: string; reason: string }[] = [];
  for (const [name, text] of wanted) {
    try {
      pieces.push({ name, text: await text() });
    } catch (thrown) {
      // Ctrl-C, and a defect of ours, are no answers.
      if (!(thrown instanceof RelightError)) throw thrown;
      missing.push({ name, reason: errorMessage(thrown) });
    }
  }
  return { pieces, missing };
}

function lazily<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined;
  return () => (asked ??= ask());
}

const oldestFirst = ({ items }: ApiList<ApiEvent>): string =>
  items
    .toReversed()
    .map((event) => `${JSON.stringify(event)}\n`)
    .join('');

/** Of one host: without the series of the others. */
function ofHost(metrics: string, host: string | undefined): string {
  if (host === undefined) return metrics;
  const label = `host="${host.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  return metrics
    .split('\n')
    .filter((line) => line.startsWith('#') || !/[{,]host="/.test(line) || line.includes(label))
    .join('\n');
}

async function collectorFacts(client: ApiClient): Promise<unknown> {
  const { info } = await client.get<{ readonly info: { readonly version: string } }>('openapi.json');
  return { version: info.version, trouble: await client.storeTrouble() };
}
