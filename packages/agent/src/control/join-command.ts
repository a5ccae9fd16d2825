/** `relight-agent join`: a join token becomes a token of this host's own. */
import { fingerprintOf, keyFingerprintOf, parseFingerprint, pinnedConnection } from '@relight/shared/certificate';
import { connectReason } from '@relight/shared/connect-reason';
import { agentCredentialSchema, joinPath, type JoinRequest } from '@relight/shared/join';
import { RelightError } from '@relight/shared/errors';
import { hostname } from 'node:os';
import type { TLSSocket } from 'node:tls';
import { existsSync } from 'node:fs';
import { isUrl } from '../config/scalars.ts';
import { loadConfig } from '../config/load.ts';
import { defaults } from '../config/defaults.ts';
import { identityOf, loadIdentity } from '../host/identity.ts';
import { readMachineId } from '../host/machine-id.ts';
import { postToCollector } from '../uplink/access.ts';
import { joinedFile, makeStateDir, writeJoined } from '../uplink/joined.ts';
import { hostDefaults } from './host-defaults.ts';
import { chosenStateDir, type ExitCode, type Io, usualConfig } from './io.ts';

export interface JoinFlags {
  readonly fingerprint?: string;
  readonly caFile?: string;
  readonly config?: string;
  readonly host?: string;
  readonly stateDir?: string;
  readonly allowPlaintext?: true;
}

/** Fails with usage, certificate-refused, unauthorized (a join token that is used up, expired or revoked) or collector-unreachable. */
export async function joinCommand(urlText: string, joinToken: string, flags: JoinFlags, io: Io): Promise<ExitCode> {
  const trusted = checkWords(urlText, joinToken, flags);
  io.write(`${await exchange(trusted, joinToken, await whoAmI(flags, io))}\n`);
  io.note(
    configFile(flags, io) === undefined
      ? `This host has no configuration yet. Next: relight-agent setup, which writes ${usualConfig} and starts the agent; or put the file there, and systemctl start relight-agent.`
      : 'An agent that had joined before takes it within half a minute; one that worked alone, or has another machine id since, at its next start: systemctl restart relight-agent. Workloads go on meanwhile.',
  );
  return 0;
}

/** As joinCommand, for a host whose name and state directory are known. What was done, in one line for a person. */
export function join(urlText: string, joinToken: string, trust: JoinTrust, who: Who): Promise<string> {
  return exchange(checkWords(urlText, joinToken, trust), joinToken, who);
}

type JoinTrust = Pick<JoinFlags, 'fingerprint' | 'caFile' | 'allowPlaintext'>;
interface Who {
  readonly host: string;
  readonly stateDir: string;
}
interface Trusted {
  readonly url: string;
  readonly pin: string | null;
  readonly caFile: string | null;
}

function checkWords(urlText: string, joinToken: string, { fingerprint, caFile, allowPlaintext }: JoinTrust): Trusted {
  const url = checkUrl(urlText, allowPlaintext === true);
  const pin = fingerprint === undefined ? null : checkFingerprint(fingerprint, url);
  if (!/^rlj_[\w-]+$/.test(joinToken)) {
    throw new RelightError('usage', 'that is no join token: they begin with rlj_', {
      advice: 'Make one on the collector: relight-collector token create --kind join.',
    });
  }
  return { url, pin, caFile: caFile ?? null };
}

async function exchange(trusted: Trusted, joinToken: string, who: Who): Promise<string> {
  // Before the token is spent: what it gives must have a place.
  const undo = makeStateDir(who.stateDir);
  // Who leaves `setup` meanwhile is told that nothing was changed.
  process.once('exit', undo);
  try {
    return await exchangeIn(trusted, joinToken, who);
  } catch (thrown) {
    undo();
    throw thrown;
  } finally {
    process.off('exit', undo);
  }
}

/**
 * Nothing is kept before the collector has answered: a host with an identity counts as one that has run, and its service, which has
 * no configuration, would be started at every boot, and wait for one.
 */
async function exchangeIn({ url, pin, caFile }: Trusted, joinToken: string, { host, stateDir }: Who): Promise<string> {
  const machineId = readMachineId({ stateDir, keep: false });
  const { agentId } = identityOf({ stateDir, machineId });
  const fingerprint = pin === null ? null : await keyPin(url, pin);
  const request: JoinRequest = { agentId, machineId, host };
  const answer = agentCredentialSchema.safeParse(await postToCollector({ url, caFile, fingerprint }, joinPath, joinToken, request));
  if (!answer.success) throw new RelightError('collector-unreachable', `what answers at ${url} is no Relight collector`);
  writeJoined(joinedFile(stateDir), { ...answer.data, url, fingerprint, caFile });
  loadIdentity({ stateDir, machineId: readMachineId({ stateDir }) });
  const until = new Date(answer.data.expiresAt).toISOString();
  return `${host} has joined ${url}; its token is in ${joinedFile(stateDir)}, valid until ${until}, and renewed by the agent`;
}

/** Undefined: none is named, and there is none. */
const configFile = ({ config }: JoinFlags, { env }: Io): string | undefined =>
  config ?? env['RELIGHT_CONFIG'] ?? (existsSync(usualConfig) ? usualConfig : undefined);

/** The name and the directory that the agent will have: a token is for one host alone. */
async function whoAmI(flags: JoinFlags, io: Io): Promise<Who> {
  const { host, stateDir } = flags;
  const file = configFile(flags, io);
  const chosen = chosenStateDir(stateDir, io.env);
  if (host !== undefined && chosen !== undefined) return { host, stateDir: chosen };
  const spec = file === undefined ? null : await loadConfig(file, hostDefaults());
  if (spec !== null && spec.collector !== null) io.note(`${file} names a collector of its own, which wins: take that section out.`);
  return { host: host ?? spec?.host.name ?? hostname(), stateDir: chosen ?? spec?.stateDir ?? defaults.stateDir };
}

function checkUrl(text: string, allowPlaintext: boolean): string {
  if (!isUrl(text, ['http:', 'https:', 'ws:', 'wss:'])) {
    throw new RelightError('usage', `"${text}" is not the address of a collector such as https://collector.example:7460`, {
      advice: 'Use the line as relight-collector init, or token create --kind join, has printed it.',
    });
  }
  const url = new URL(text.replace(/^ws/, 'http'));
  const local = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
  if (url.protocol === 'http:' && !local && !allowPlaintext) {
    throw new RelightError('usage', `${text} is not encrypted: whoever listens would have the token`, {
      advice: 'Use https, or give --allow-plaintext on a network that you trust.',
    });
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

function checkFingerprint(text: string, url: string): string {
  const pin = parseFingerprint(text);
  if (pin === undefined)
    throw new RelightError('usage', '--fingerprint: a SHA-256 has 64 hex digits', {
      advice: 'Take it from relight-collector init or certificate show.',
    });
  if (!url.startsWith('https:'))
    throw new RelightError('usage', '--fingerprint needs an https address', {
      advice: 'Write https: in front, or leave the fingerprint out.',
    });
  return pin;
}

/** What lasts: the key's fingerprint, taken from the certificate that has the one that was given. Fails with certificate-refused. */
async function keyPin(url: string, pin: string): Promise<string> {
  const { hostname: host, port } = new URL(url);
  let lasting = pin;
  const connectTo = pinnedConnection(pin, (certificate) => {
    if (pin === fingerprintOf(certificate)) lasting = keyFingerprintOf(certificate);
  });
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    const target = { host: host.replace(/^\[|\]$/g, ''), port: port === '' ? 443 : Number(port) };
    connectTo(target, (error, connected) => (error === null ? resolve(connected) : reject(refusal(url, error))));
  });
  socket.destroy();
  return lasting;
}

function refusal(url: string, error: Error): RelightError {
  if (error instanceof RelightError) return error;
  const first = error instanceof AggregateError ? (error.errors[0] as Error) : error;
  return new RelightError('collector-unreachable', `the collector at ${url} cannot be reached: ${connectReason(first)}`, { cause: error });
}
