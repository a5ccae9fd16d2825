/** The operator file: where the collector is, and what opens it, so that nobody has to export it by hand. */
import { RelightError, errorMessage } from '@relight/shared/errors';
import { suggest } from '@relight/shared/suggest';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseYaml } from '../yaml-document.ts';

/** Of root, on the machine of the collector: `relight-collector init` makes it. */
export const machineOperatorFile = '/etc/relight/operator.yaml';

const keys = ['url', 'token', 'token_file', 'ca_file', 'fingerprint'] as const;

export interface OperatorFile {
  readonly url: string;
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly caFile?: string | undefined;
  readonly fingerprint?: string | undefined;
}

/** The person's own before the machine's. */
export function operatorFiles(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  const set = (name: string): string | undefined => (env[name] === '' ? undefined : env[name]);
  const named = set('RELIGHT_OPERATOR_FILE');
  if (named !== undefined) return [named];
  const home = set('HOME');
  const config = set('XDG_CONFIG_HOME') ?? (home === undefined ? undefined : join(home, '.config'));
  return [...(config === undefined ? [] : [join(config, 'relight', 'operator.yaml')]), machineOperatorFile];
}

/**
 * Null: none is there, or none is this person's to read. Fails with usage for one that others can read, and with config-invalid for one that
 * says something else, without repeating it.
 */
export function readOperatorFile(files: readonly string[], parseUrl: (text: string) => string): OperatorFile | null {
  for (const file of files) {
    const text = readOwn(file);
    if (text !== null && text.trim() !== '') return parse(text, file, parseUrl);
  }
  return null;
}

function readOwn(file: string): string | null {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (thrown) {
    // Another person's, or root's: whoever has neither asks without.
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((thrown as NodeJS.ErrnoException).code ?? '')) return null;
    throw unreadable(file, thrown);
  }
  try {
    if ((fstatSync(descriptor).mode & 0o077) !== 0) {
      throw new RelightError('usage', `${file} can be read by other users of this machine, and holds a token`, {
        advice: `chmod 600 ${file}. If somebody may have read it: relight-collector token revoke ID, and make another one.`,
      });
    }
    return readFileSync(descriptor, 'utf8');
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
  return {
    url: parseUrl(url),
    token: word('token'),
    tokenFile: word('token_file'),
    caFile: word('ca_file'),
    fingerprint: word('fingerprint'),
  };
}
