/** `relight-collector init`: certificate, first operator token, and the line that joins an agent. */
import { systemClock } from '@relight/shared/clock';
import { fingerprintOf, keyFingerprintOf } from '@relight/shared/certificate';
import { RelightError } from '@relight/shared/errors';
import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { selfSigned } from '../access/self-signed.ts';
import { keepUrl } from '../access/public-url.ts';
import { ownTlsFiles, readTls, tlsFilesOf, writeTls } from '../access/tls-files.ts';
import { joinValidMs } from '../api/tokens.ts';
import { examples } from '../cli/cli.ts';
import { machineOperatorFile } from '../cli/operator-file.ts';
import type { CollectorConfig } from '../config.ts';
import { lockDataDir } from '../store/database.ts';
import type { TokenRecord } from '../store/store.ts';
import { joinLine, joinsText, ownCertificateNote } from './join-line.ts';
import { configBeside, fileBeside, usualConfig } from './load-config.ts';
import { localUrl, operatorPlace, type OperatorPlace } from './operator-place.ts';
import { parseCount, parseDuration } from './token.ts';
import { becomeOwnerOf, withTokens } from './tokens-beside.ts';

interface InitFlags {
  readonly config?: string;
  readonly dataDir?: string;
  readonly url?: string;
  readonly name: readonly string[];
  readonly uses: number;
  readonly validFor: number;
  /** False: --no-operator-file */
  readonly operatorFile?: string | false;
  /** False: --no-tls */
  readonly tls: boolean;
  readonly json?: true;
}

const dayMs = 86_400_000;
/** Of a certificate that `init` makes. Browsers accept no longer life of a server's certificate. */
export const certificateMs = 825 * dayMs;
/** A client's clock may be a little behind. */
export const backdatedMs = dayMs;

export function addInit(program: Command): void {
  program
    .command('init')
    .summary('the first run: a certificate, the first operator token, and the line that joins a host')
    .description(
      'Makes a certificate and the first operator token, and prints the line that joins an agent. A service that runs takes them up at ' +
        'its next start: systemctl restart relight-collector.',
    )
    .option('--config <file>', 'YAML configuration, as for serve (default: /etc/relight/collector.yaml, where it is)')
    .option('--data-dir <dir>', 'where the store lives (default: /var/lib/relight-collector)')
    .option('--url <url>', "how hosts reach this collector (default: https://, this machine's name and the port of the configuration)")
    .addOption(
      new Option('--name <name>', 'a further name or address for the certificate (repeatable)').argParser(collectNames).default([], 'none'),
    )
    .option('--uses <count>', 'how many agents may join with the join token', parseCount, 1)
    .addOption(
      new Option('--valid-for <duration>', 'how long the join token is good for')
        .argParser(parseDuration)
        .default(joinValidMs, `${joinValidMs / 3_600_000}h`),
    )
    .option('--no-tls', 'no certificate: a reverse proxy in front has one')
    .option(
      '--operator-file <file>',
      `where relight finds the operator token on this machine (default, for the installed service: ${machineOperatorFile})`,
    )
    .option('--no-operator-file', 'write none')
    .option('--json', 'one JSON document')
    .addHelpText('after', examples(['relight-collector init', 'relight-collector init --url https://collector.example:7460 --uses 10']))
    .action(async (flags: InitFlags) => {
      const config = configBeside(flags);
      const made = await init(flags, config);
      process.stdout.write(flags.json === true ? `${JSON.stringify(made)}\n` : text(made, config));
    });
}

/** An option that may be repeated. */
export const collectNames = (name: string, before: readonly string[]): readonly string[] => [...before, name];

interface Made {
  readonly url: string;
  readonly fingerprint: string | null;
  /** The same after `certificate renew`: what the lines name. */
  readonly keyFingerprint: string | null;
  readonly certificateFile: string | null;
  readonly validUntil: string | null;
  readonly operatorToken: string;
  readonly joinToken: string;
  /** The one line. */
  readonly join: string;
  /** How often that goes, and until when. */
  readonly joins: string;
  /** What relight reads on this machine; null: none was written. */
  readonly operatorFile: string | null;
  /** Of a certificate of one's own; null: there is nothing to say. */
  readonly note: string | null;
}

async function init(flags: InitFlags, config: CollectorConfig): Promise<Made> {
  const url = urlOf(flags, config);
  const base = url.href.replace(/\/+$/, '');
  // As root, before this becomes the account of the service: it is root's file.
  const place = operatorPlace(operatorFileOf(flags));
  try {
    return await initIn(flags, config, url, base, place);
  } finally {
    place.close();
  }
}

async function initIn(flags: InitFlags, config: CollectorConfig, url: URL, base: string, place: OperatorPlace): Promise<Made> {
  const { dataDir } = config;
  const secure = url.protocol === 'https:';
  // Makes the directory where it is missing, and says clearly when that cannot be.
  becomeOwnerOf(dataDir);
  // By the dot a file in its place counts as missing.
  if (!existsSync(`${dataDir}/.`)) lockDataDir(dataDir).release();
  // Its certificate is served, whatever this says: a line with http would bring no host in.
  const served = secure ? null : tlsFilesOf(config);
  if (served !== null) {
    throw new RelightError('conflict', `this collector serves HTTPS, with the certificate ${served.certFile}, and ${url.href} is http`, {
      advice:
        'Give an https address (--url), or take the certificate, its key, tls-made in the data directory and tls: of the configuration away first.',
    });
  }
  // Refused before anything is made: at its next start a collector with a certificate serves HTTPS alone.
  withTokens(dataDir, ({ reads }) => requireNew(dataDir, reads.tokens()));
  const certificate = flags.tls && secure ? await certificateOf(config, [url.hostname.replace(/^\[|\]$/g, ''), ...flags.name]) : null;
  const { operatorToken, joinToken, joins } = withTokens(dataDir, ({ reads, writes, now, audit }) => {
    requireNew(dataDir, reads.tokens());
    const operator = writes.createToken('operator', null, now, { name: 'init', role: 'admin' });
    const join = writes.createToken('join', null, now, { name: 'init', expiresAt: now + flags.validFor, usesLeft: flags.uses });
    audit('collector.init', url.href, { operator: operator.id, join: join.id });
    // Last: when one of them fails, there are no tokens either.
    keepUrl(dataDir, base);
    certificate?.keep();
    return { operatorToken: operator.token, joinToken: join.token, joins: joinsText(flags.uses, now + flags.validFor) };
  });
  // What is one's own is renewed with another key, as a rule: a pin would refuse it then.
  const pinned = config.tls === null ? certificate : null;
  const keyFingerprint = pinned === null ? null : keyFingerprintOf(pinned.x509);
  const left = place.write({
    // Authorities vouch for names: for 127.0.0.1 hardly any does.
    url: pinned === null && certificate !== null ? base : localUrl(config, base, certificate !== null),
    token: operatorToken,
    fingerprint: keyFingerprint,
    caFile: pinned === null && certificate !== null && isSelfSigned(certificate.x509) ? certificate.file : null,
  });
  if (left.problem !== null) process.stderr.write(`relight-collector: ${left.problem}\n`);
  return {
    url: base,
    fingerprint: pinned === null ? null : fingerprintOf(pinned.x509),
    keyFingerprint,
    certificateFile: certificate?.file ?? null,
    validUntil: certificate?.x509.validToDate.toISOString() ?? null,
    operatorToken,
    joinToken,
    join: joinLine({ url: base, fingerprint: keyFingerprint }, joinToken),
    joins,
    operatorFile: left.file,
    note: config.tls === null || certificate === null ? null : ownCertificateNote(config.tls, certificate.x509),
  };
}

/** Nobody else vouches for it: it is its own authority. */
const isSelfSigned = (x509: X509Certificate): boolean => x509.issuer === x509.subject && x509.verify(x509.publicKey);

/** Where relight looks, too. Of another collector than the installed one nobody reads the usual file. */
function operatorFileOf({ operatorFile, ...flags }: InitFlags): string | null {
  if (operatorFile === false) return null;
  if (typeof operatorFile === 'string') return resolve(operatorFile);
  const named = process.env['RELIGHT_OPERATOR_FILE'] ?? '';
  if (named !== '') return resolve(named);
  return fileBeside(flags) === usualConfig ? machineOperatorFile : null;
}

function urlOf({ url, tls }: InitFlags, { listen }: CollectorConfig): URL {
  const parsed = URL.parse(url ?? `${tls ? 'https' : 'http'}://${hostname()}:${listen.port}`);
  if (parsed !== null && /^https?:$/.test(parsed.protocol)) return parsed;
  throw new RelightError('usage', `--url: "${url}" is not an address such as https://collector.example:7460`);
}

function requireNew(dataDir: string, tokens: readonly TokenRecord[]): void {
  if (!tokens.some(({ kind }) => kind === 'operator')) return;
  throw new RelightError('conflict', `the collector in ${dataDir} has been set up already: there is an operator token`, {
    advice:
      'Join further agents with relight-collector token create --kind join, ask with a token of --kind operator; their fingerprint: relight-collector certificate show.',
  });
}

interface Certificate {
  readonly file: string;
  readonly x509: X509Certificate;
  /** Puts it where the service looks for it. */
  readonly keep: () => void;
}

/** What is configured or was made before is used as it is. */
async function certificateOf(config: CollectorConfig, names: readonly string[]): Promise<Certificate> {
  const known = tlsFilesOf(config);
  if (known !== null) return { file: known.certFile, x509: readTls(known).certificate, keep: () => undefined };
  const files = ownTlsFiles(config.dataDir);
  const now = systemClock.now();
  const life = { notBefore: now - backdatedMs, notAfter: now + certificateMs };
  const made = await selfSigned({ names: [...names, ...namesOfThisMachine()], keyPem: null, ...life });
  return { file: files.certFile, x509: new X509Certificate(made.certPem), keep: () => writeTls(files, made) };
}

export function namesOfThisMachine(): readonly string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).filter(({ internal, scopeid }) => !internal && !(scopeid ?? 0)),
  );
  return [hostname(), 'localhost', '127.0.0.1', '::1', ...addresses.map(({ address }) => address)];
}

function text(
  { url, fingerprint, keyFingerprint, certificateFile, validUntil, operatorToken, join, joins, operatorFile, note }: Made,
  { listen }: CollectorConfig,
): string {
  return [
    ...(certificateFile === null ? [] : [`Certificate  ${certificateFile}, valid until ${validUntil}`]),
    ...(fingerprint === null ? [] : [`SHA-256      ${fingerprint}`, `of its key   ${keyFingerprint} (the same after certificate renew)`]),
    ...(certificateFile === null ? [] : ['']),
    'If the collector runs already: systemctl restart relight-collector. Then',
    `join a host (as root, on that host; ${joins}):`,
    '',
    `  ${join}`,
    '',
    ...(note === null
      ? []
      : [
          note,
          'The same holds for relight: RELIGHT_CA_FILE, or ca_file: in the operator file, for an authority that this machine does not trust.',
          '',
        ]),
    ...(operatorFile === null
      ? ['Ask as an operator (this token is shown only now):', '']
      : [
          `Ask as an operator, on this machine: relight status (${operatorFile} has the token).`,
          `From another machine (the token is shown only now), or in ~/.config/relight/operator.yaml there:`,
          '',
        ]),
    `  export RELIGHT_URL=${url} RELIGHT_TOKEN=${operatorToken}${keyFingerprint === null ? '' : ` RELIGHT_FINGERPRINT=${keyFingerprint}`}`,
    '  relight status',
    '',
    ...listenNote({ url, certificateFile }, listen),
  ].join('\n');
}

/** What has to be changed, if anything, before the line works from another host. */
function listenNote(
  { url, certificateFile }: Pick<Made, 'url' | 'certificateFile'>,
  { host, port }: CollectorConfig['listen'],
): readonly string[] {
  const { protocol, port: named } = new URL(url);
  const shown = (address: string, at: number): string => `${address.includes(':') ? `[${address}]` : address}:${at}`;
  const local = /^(?:127\.|::1$|localhost$)/.test(host);
  const listens = `Note: it listens on ${shown(host, port)}${local ? ' only' : ''}`;
  // HTTPS without a certificate of its own: a proxy in front has one, and a port of its own.
  if (protocol === 'https:' && certificateFile === null) return local ? [`${listens}: the proxy has to be on this machine.`, ''] : [];
  const wanted = named === '' ? (protocol === 'https:' ? 443 : 80) : Number(named);
  if (!local && wanted === port) return [];
  const listen = shown(local ? '0.0.0.0' : host, wanted);
  return [
    `${listens}. Other hosts reach it at ${url} with listen: ${listen} in its configuration, unless something forwards that port.`,
    '',
  ];
}
