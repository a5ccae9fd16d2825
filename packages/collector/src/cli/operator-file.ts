/** The operator file: where the collector is, and what opens it, so that nobody has to export it by hand. */
import { configBytesMax, readDescriptorSync, textOf } from '@relight/shared/bounded-read';
import { RelightError, errorMessage } from '@relight/shared/errors';
import { suggest } from '@relight/shared/suggest';
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseYaml } from '../yaml-document.ts';

/** Of root, on the machine of the collector: `relight-collector init` makes it. */
export const machineOperatorFile = '/etc/relight/operator.yaml';

/** The image names it always, also before init has made it (docker/Dockerfile). */
export const imageOperatorFile = '/var/lib/relight-collector/operator.yaml';

const keys = ['url', 'token', 'token_file', 'ca_file', 'fingerprint'] as const;

export interface OperatorFile {
  readonly url: string;
  readonly token?: string | undefined;
  /** Absolute, as `caFile`: what is relative there is so to the file's directory. */
  readonly tokenFile?: string | undefined;
  readonly caFile?: string | undefined;
  readonly fingerprint?: string | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Null: the environment names none. */
export const namedOperatorFile = ({ RELIGHT_OPERATOR_FILE: named = '' }: Env): string | null => (named === '' ? null : named);

/** The person's own before the machine's. */
export function operatorFiles(env: Env): readonly string[] {
  const set = (name: string): string | undefined => (env[name] === '' ? undefined : env[name]);
  const named = namedOperatorFile(env);
  if (named !== null) return [named];
  const home = set('HOME');
  const config = set('XDG_CONFIG_HOME') ?? (home === undefined ? undefined : join(home, '.config'));
  return [...(config === undefined ? [] : [join(config, 'relight', 'operator.yaml')]), machineOperatorFile];
}

/**
 * Null: none is there, or none is this person's to read. Fails with usage for one that others can read or have made, and for a `named` one that
 * cannot be read; with config-invalid for one that says something else, without repeating it.
 */
export function readOperatorFile(
  files: readonly string[],
  parseUrl: (text: string) => string,
  named: string | null = null,
): OperatorFile | null {
  for (const file of files) {
    const text = readOwn(file, file === named);
    if (text !== null && text.trim() !== '') return parse(text, file, parseUrl);
  }
  return null;
}

function readOwn(file: string, isNamed: boolean): string | null {
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code ?? '';
    if (isNamed && file === imageOperatorFile && code === 'ENOENT') return null;
    // Asked without it, whoever answers on this machine would be told the token of the environment.
    if (isNamed) throw unreadable(`${file} (RELIGHT_OPERATOR_FILE)`, thrown);
    // Another person's, or root's: whoever has neither asks without.
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(code)) return null;
    throw unreadable(file, thrown);
  }
  try {
    const { uid, mode } = fstatSync(descriptor);
    const own = process.geteuid?.() ?? uid;
    // The token of the environment goes to the address that it names.
    if (uid !== own && uid !== 0) {
      throw new RelightError(
        'usage',
        `${file} belongs to another user of this machine (uid ${uid}, and this is ${own}), who says there where tokens go`,
        {
          advice: `With sudo: sudo -H, for a home of root's. Or chown ${own} ${file}, if what it says is yours.`,
        },
      );
    }
    if ((mode & 0o077) !== 0) {
      throw new RelightError('usage', `${file} can be read by other users of this machine, and holds a token`, {
        advice: `chmod 600 ${file}. If somebody may have read it: relight-collector token revoke ID, and make another one.`,
      });
    }
    return textOf(readDescriptorSync(descriptor, configBytesMax));
  } catch (thrown) {
    throw thrown instanceof RelightError ? thrown : unreadable(file, thrown);
  } finally {
    closeSync(descriptor);
  }
}

const unreadable = (file: string, cause: unknown): RelightError =>
  new RelightError('usage', `${file} cannot be read: ${errorMessage(cause)}`, { cause, advice: 'Check what it is, or take it away.' });

function parse(text: string, file: string, parseUrl: (text: string) => string): OperatorFile {
  const document = parseYaml(text, file);
  const { value } = document;
  const wrong = (path: readonly string[], message: string): never => {
    throw new RelightError('config-invalid', `${document.where(path)}${message}`, { advice: `It may hold ${keys.join(', ')}.` });
  };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrong([], 'key: value is expected');
  const fields = value as Readonly<Record<string, unknown>>;
  for (const [key, held] of Object.entries(fields)) {
    const near = suggest(key, keys);
    if (!keys.some((known) => known === key)) wrong([key], `${key}: unknown key${near === undefined ? '' : `; did you mean "${near}"?`}`);
    if (typeof held !== 'string' || held === '') wrong([key], `${key}: must be text`);
  }
  const word = (key: (typeof keys)[number]): string | undefined => fields[key] as string | undefined;
  const url = word('url') ?? wrong([], 'url: is missing');
  if (!URL.canParse(url)) wrong(['url'], 'url: must be an address such as https://collector.example:7460');
  // Not from where somebody happens to be.
  const beside = (key: (typeof keys)[number]): string | undefined => {
    const path = word(key);
    return path === undefined ? undefined : resolve(dirname(file), path);
  };
  return {
    url: parseUrl(url),
    token: word('token'),
    tokenFile: beside('token_file'),
    caFile: beside('ca_file'),
    fingerprint: word('fingerprint'),
  };
}
