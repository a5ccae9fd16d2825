/** Where the collector is and how to be let in: flags first, then the environment, then the operator file. */
import { certificateBytesMax, readBoundedSync, textOf, tokenBytesMax } from '@relight/shared/bounded-read';
import { parseFingerprint, type Fingerprint } from '@relight/shared/certificate';
import { RelightError, errorMessage } from '@relight/shared/errors';
import { namedOperatorFile, operatorFiles, readOperatorFile } from './operator-file.ts';

export interface Connection {
  /** http or https, no trailing slash; may have a path in front of /api. */
  readonly url: string;
  readonly token: string | null;
  /** PEM; null: the system's certificate authorities. */
  readonly ca: string | null;
  /** Null: authorities are asked. */
  readonly fingerprint: Fingerprint | null;
  /** An operator file that should be there and is not; null or absent: there is none such. */
  readonly missingFile?: string | null;
}

export interface ConnectionFlags {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly caFile?: string;
  readonly fingerprint?: string;
}

const defaultUrl = 'http://127.0.0.1:7460';

/** Fails with usage when something given cannot be used. `files`: operator files, the first that is there counts. */
export function resolveConnection(
  flags: ConnectionFlags,
  env: Readonly<Record<string, string | undefined>>,
  files: readonly string[] = operatorFiles(env),
): Connection {
  const given = (name: string): string | undefined => (env[name] === '' ? undefined : env[name]);
  const tokenFile = flags.tokenFile ?? given('RELIGHT_TOKEN_FILE');
  const token = flags.tokenFile === undefined ? given('RELIGHT_TOKEN')?.trim() : undefined;
  const caFile = flags.caFile ?? given('RELIGHT_CA_FILE');
  const pin = flags.fingerprint ?? given('RELIGHT_FINGERPRINT');
  const asked = flags.url ?? given('RELIGHT_URL');
  const askedUrl = asked === undefined ? undefined : parseUrl(asked);
  const isComplete = askedUrl !== undefined && (token ?? tokenFile) !== undefined;
  const found = isComplete ? null : readOperatorFile(files, parseUrl, namedOperatorFile(env));
  // What it holds is for the collector that it names, and must not go to another one.
  const file = found === null || (askedUrl !== undefined && askedUrl !== found.url) ? null : found;
  const url = askedUrl ?? file?.url ?? defaultUrl;
  const trust = caFile === undefined && pin === undefined && file !== null ? file : { caFile, fingerprint: pin };
  const secretFile = token === undefined ? (tokenFile ?? (file?.token === undefined ? file?.tokenFile : undefined)) : undefined;
  const word = token ?? (tokenFile === undefined ? file?.token : undefined);
  return {
    url,
    token: checkToken(word ?? (secretFile === undefined ? null : readSecret(secretFile, 'token', tokenBytesMax))),
    ca: trust.caFile === undefined ? null : readSecret(trust.caFile, 'certificate', certificateBytesMax),
    fingerprint: trust.fingerprint === undefined ? null : checkFingerprint(trust.fingerprint, url),
    // The only one that may be named and not be there, or hold nothing.
    missingFile: !isComplete && found === null ? namedOperatorFile(env) : null,
  };
}

/** ws and wss are what agents are given; the same address serves both. */
function parseUrl(text: string): string {
  const url = URL.parse(text.replace(/^ws(s?):/, 'http$1:'));
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new RelightError('usage', `"${text}" is not the address of a collector`, {
      advice: 'Set RELIGHT_URL or --url to something like https://collector.example:7460.',
    });
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

/** What cannot stand in a header was never a token: a wrong file, or more than one line of it. */
function checkToken(token: string | null): string | null {
  if (token === null || /^[\u0021-\u007e]+$/.test(token)) return token;
  throw new RelightError('usage', 'what was given as a token is empty or holds blanks or other characters that no token has');
}

/** A plain connection shows no certificate: whoever pins one must not send the token to anybody who answers. */
function checkFingerprint(text: string, url: string): Fingerprint {
  const fingerprint = parseFingerprint(text);
  if (fingerprint !== undefined && url.startsWith('https:')) return fingerprint;
  if (fingerprint !== undefined) {
    throw new RelightError('usage', `a fingerprint is given, and ${url} is not encrypted: nothing would be compared with it`, {
      advice: 'Give the https address with RELIGHT_URL or --url, or leave RELIGHT_FINGERPRINT and --fingerprint out.',
    });
  }
  throw new RelightError('usage', 'the fingerprint is no SHA-256 of 64 hex digits', {
    advice: 'Take it from relight-collector init, or certificate show.',
  });
}

function readSecret(file: string, what: string, bytesMax: number): string {
  try {
    return textOf(readBoundedSync(file, bytesMax)).trim();
  } catch (thrown) {
    throw new RelightError('usage', `the ${what} file cannot be read: ${errorMessage(thrown)}`, {
      cause: thrown,
      advice: 'Check the path and its permissions.',
    });
  }
}
