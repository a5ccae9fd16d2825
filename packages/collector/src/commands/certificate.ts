/** `relight-collector certificate show|renew`. */
import { systemClock } from '@relight/shared/clock';
import { fingerprintOf, keyFingerprintOf } from '@relight/shared/certificate';
import { RelightError } from '@relight/shared/errors';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { Option, type Command } from 'commander';
import { selfSigned } from '../access/self-signed.ts';
import { keptUrl } from '../access/public-url.ts';
import { ownTlsFiles, readTls, tlsFilesOf, writeTls } from '../access/tls-files.ts';
import type { CollectorConfig, TlsConfig } from '../config.ts';
import { mustBeEnterable, storeFault } from '../store/database.ts';
import { backdatedMs, certificateMs, collectNames, namesOfThisMachine } from './init.ts';
import { configBeside } from './load-config.ts';
import { parseDuration } from './token.ts';
import { becomeOwnerOf, withTokens } from './tokens-beside.ts';

interface Flags {
  readonly config?: string;
  readonly dataDir?: string;
  readonly json?: true;
  readonly validFor: number;
  readonly name: readonly string[];
  readonly newKey?: true;
}

export function addCertificate(program: Command): void {
  const group = program.command('certificate').description('what agents and operators know this collector by');
  group
    .command('show')
    .description('fingerprints and validity; either fingerprint can be pinned')
    .option('--config <file>', 'YAML configuration, as for serve (default: /etc/relight/collector.yaml, where it is)')
    .option('--data-dir <dir>', 'where the store lives')
    .option('--json', 'one JSON document')
    .action((flags: Flags) => {
      const config = configBeside(flags);
      if (config.tls === null) mustBeEnterable(config.dataDir);
      const files = filesOf(config);
      print(files.certFile, readTls(files).certificate, flags.json === true);
    });
  group
    .command('renew')
    .description('a new certificate with the same key, used by the running service within a minute; who pins the key goes on')
    .option('--config <file>', 'YAML configuration, as for serve (default: /etc/relight/collector.yaml, where it is)')
    .option('--data-dir <dir>', 'where the store lives')
    .addOption(
      new Option('--valid-for <duration>', 'how long it is valid')
        .argParser(parseDuration)
        .default(certificateMs, `${certificateMs / 86_400_000}d`),
    )
    .addOption(new Option('--name <name>', 'a further name or address (repeatable)').argParser(collectNames).default([], 'none'))
    .option('--new-key', 'for a key that is lost or stolen: another key, too. Every host and operator that pins the old one has to be told')
    .option('--json', 'one JSON document')
    .action(async (flags: Flags) => {
      const config = configBeside(flags);
      if (config.tls !== null) {
        throw new RelightError('conflict', `the certificate in ${config.tls.certFile} is your own (tls.cert_file)`, {
          advice: 'Renew it where it came from and put it there: it is used within a minute.',
        });
      }
      mustBeEnterable(config.dataDir);
      becomeOwnerOf(config.dataDir);
      const isNewKey = flags.newKey === true;
      const files = isNewKey && wasSecure(config) ? ownTlsFiles(config.dataDir) : filesOf(config);
      const { names: known, keyPem } = isNewKey ? { names: namesLeft(config.dataDir), keyPem: null } : present(files);
      const now = systemClock.now();
      const names = [...known, ...namesOfThisMachine(), ...flags.name];
      const life = { notBefore: now - backdatedMs, notAfter: now + flags.validFor };
      const made = await selfSigned({ names, keyPem, ...life });
      const renewed = new X509Certificate(made.certPem);
      const write = (outcome: 'done' | 'failed'): void =>
        withTokens(config.dataDir, ({ audit }) =>
          audit('certificate.renew', fingerprintOf(renewed), isNewKey ? { newKey: true } : {}, outcome),
        );
      // First: what is in its place is used, whatever becomes of this command.
      write('done');
      try {
        writeTls(files, made);
      } catch (error) {
        write('failed');
        throw storeFault(config.dataDir, error);
      }
      print(files.certFile, renewed, flags.json === true, isNewKey ? newKeyNote(keyFingerprintOf(renewed), keptUrl(config.dataDir)) : null);
    });
}

function present(files: TlsConfig): { readonly names: readonly string[]; readonly keyPem: string } {
  const { certificate, key } = readTls(files);
  return { names: namesIn(certificate), keyPem: key };
}

/** What is left of the old certificate, if anything, and the name that hosts were told. */
function namesLeft(dataDir: string): readonly string[] {
  const url = keptUrl(dataDir);
  const told = url === null ? [] : [new URL(url).hostname.replace(/^\[|\]$/g, '')];
  try {
    return [...namesIn(new X509Certificate(readFileSync(ownTlsFiles(dataDir).certFile))), ...told];
  } catch {
    return told;
  }
}

const newKeyNote = (keyFingerprint: string, url: string | null): string =>
  `The key is another one: who pins the old one stays away until told. A service that runs takes it within a minute; one that waits for it: ` +
  `systemctl restart relight-collector.\n` +
  `Hosts: relight-collector token create --kind join --uses COUNT, and on each, as root, the line that it prints: relight-agent join ` +
  `${url ?? 'URL'} TOKEN --fingerprint ${keyFingerprint}. Where agent.yaml names a fingerprint, it goes there.\n` +
  `Operators: this fingerprint into /etc/relight/operator.yaml (fingerprint:) and RELIGHT_FINGERPRINT.`;

/** Also one of an older version that left no mark: hosts were told an https address. Behind a proxy a certificate would shut everybody out. */
const wasSecure = (config: CollectorConfig): boolean =>
  tlsFilesOf(config) !== null || keptUrl(config.dataDir)?.startsWith('https:') === true;

function filesOf(config: CollectorConfig): TlsConfig {
  const files = tlsFilesOf(config);
  if (files !== null) return files;
  throw new RelightError('not-found', 'this collector has no certificate', {
    advice: 'Make one: relight-collector init. Where it has been in use without: name one of your own (tls: in the configuration).',
  });
}

/** `DNS:a, IP Address:b` */
const namesIn = ({ subjectAltName = '' }: X509Certificate): string[] =>
  subjectAltName.split(', ').flatMap((entry) => usual(entry.replace(/^(?:DNS|IP Address):/, '')) || []);

/** An address as everybody writes it: the certificate spells IPv6 out, and each renewal would add it once more. */
const usual = (name: string): string => (isIPv6(name) ? new URL(`http://[${name}]`).hostname.slice(1, -1) : name);

function print(file: string, certificate: X509Certificate, json: boolean, note: string | null = null): void {
  const { subjectAltName: names = '', validFromDate, validToDate } = certificate;
  const shown = {
    file,
    fingerprint: fingerprintOf(certificate),
    keyFingerprint: keyFingerprintOf(certificate),
    validFrom: validFromDate.toISOString(),
    validUntil: validToDate.toISOString(),
    names,
    ...(note === null ? {} : { note }),
  };
  const lines = `${file}\nSHA-256  ${shown.fingerprint}\nof key   ${shown.keyFingerprint} (the same after certificate renew)\nvalid    ${shown.validFrom} to ${shown.validUntil}\nnames    ${names}\n`;
  process.stdout.write(json ? `${JSON.stringify(shown)}\n` : note === null ? lines : `${lines}\n${note}\n`);
}
