/** `relight-collector support-bundle`: what somebody needs to understand this collector from afar, also when it does not start. */
import { isoTime } from '@relight/shared/api';
import { systemClock } from '@relight/shared/clock';
import { bundleName, refuseIfThere, writeBundle } from '@relight/shared/support-bundle';
import { formatBytes } from '@relight/shared/units';
import { Option, type Command } from 'commander';
import { hostname } from 'node:os';
import type { CollectorConfig } from '../config.ts';
import { askPart, type Gathered } from '../support/ask-part.ts';
import { lookAtConfiguration, withoutSecrets } from '../support/configuration.ts';
import { lookAtPort } from '../support/listening.ts';
import { machineFacts } from '../support/machine.ts';
import { json, type PartName, type PartRequest } from '../support/part.ts';
import { lookAtService } from '../support/service.ts';
import { tellPart } from '../support/tell-part.ts';

interface BundleFlags {
  readonly config?: string;
  readonly dataDir?: string;
  readonly output?: string;
  readonly part?: string;
}

const readme = `A support bundle of a Relight collector, made on its machine. Text only; no logs, no events, no names of who did what.
manifest.json says what is in it, and what could not be had and why.

Taken out: users, passwords, queries and token-like parts of addresses in the configuration, its comments, and what looks like a secret.
The key of the certificate, the tokens and their hashes are not read at all. In it are names of hosts, addresses, and what the service has
logged: look through it before you send it.
`;

export function addSupportBundle(program: Command, version: string): void {
  program
    .command('support-bundle')
    .summary('what somebody needs to understand this collector from afar, in one file, also when it does not start')
    .description(
      'Writes a .tar.gz with versions, machine and disk, configuration and what is wrong with it, state and journal of the service, facts and ' +
        'a check of the store, certificate, tokens by id, and who has the port. Run it as root, on the machine of the collector. ' +
        'It changes nothing that is stored, waits for no part longer than 30 s, and takes out what looks like a secret.',
    )
    .option('--config <file>', 'YAML configuration, as for serve (default: /etc/relight/collector.yaml, where it is)')
    .option('--data-dir <dir>', 'where the store lives')
    .option(
      '-o, --output <file>',
      'where to (default: relight-support-collector-NAME-TIME.tar.gz in this directory); never over a file that is there',
    )
    .addOption(new Option('--part <request>', 'what this program asks of itself').hideHelp())
    .action((flags: BundleFlags) => {
      if (flags.part !== undefined) return tellPart(JSON.parse(flags.part) as PartRequest);
      return makeBundle(flags, version);
    });
}

async function makeBundle(flags: BundleFlags, version: string): Promise<void> {
  const now = systemClock.now();
  const output = flags.output ?? bundleName(`collector-${hostname()}`, now);
  refuseIfThere(output);
  const configuration = lookAtConfiguration(flags);
  const found = [
    { pieces: [{ name: 'host.json', text: json(machineFacts(version, now)) }], missing: [] },
    configuration,
    ...(await gather(configuration.config)),
  ];
  const missing = found.flatMap((one) => one.missing);
  const pieces = found.flatMap((one) => one.pieces);
  const manifest = {
    madeAt: isoTime(now),
    madeBy: `relight-collector ${version}, node ${process.version}`,
    dataDir: configuration.config.dataDir,
    files: pieces.map(({ name }) => name),
    missing,
  };
  const all = [{ name: 'README.txt', text: readme }, { name: 'manifest.json', text: json(manifest) }, ...pieces].map(({ name, text }) => ({
    name,
    text: withoutSecrets(text, configuration.secrets),
  }));
  await writeBundle(output, all);
  process.stdout.write(`${output}\n`);
  const said = [
    ...all.map(({ name, text }) => `in it: ${name}, ${formatBytes(Buffer.byteLength(text))}`),
    ...missing.map(({ name, reason }) => `left out: ${name}: ${withoutSecrets(reason, configuration.secrets)}`),
    `${all.length} files, secrets taken out as far as they can be known; look through it before you send it: tar -tzf ${output}`,
  ];
  process.stderr.write(said.map((line) => `${line}\n`).join(''));
}

/** The files before the store: SQLite puts some beside it when it is read. */
async function gather({ dataDir, tls, listen }: CollectorConfig): Promise<readonly Gathered[]> {
  const program = [process.execPath, ...process.execArgv, process.argv[1] ?? ''];
  const part = (name: PartName): Promise<Gathered> => askPart({ part: name, dataDir, tls }, program, systemClock);
  const files = await part('files');
  return [files, ...(await Promise.all([part('store'), lookAtPort(listen, schemeOf(files), systemClock), lookAtService(systemClock)]))];
}

/** As it was found with the certificate; null: it could not be looked at. */
function schemeOf({ pieces }: Gathered): 'http' | 'https' | null {
  const piece = pieces.find(({ name }) => name === 'certificate.json');
  return piece === undefined ? null : (JSON.parse(piece.text) as { scheme: 'http' | 'https' }).scheme;
}
