/** The configuration as a stranger may see it, what the service would say of it, and what of it must stand nowhere else either. */
import { configBytesMax, readBoundedSync } from '@relight/shared/bounded-read';
import { RelightError, errorMessage } from '@relight/shared/errors';
import type { BundlePiece } from '@relight/shared/support-bundle';
import { parse, stringify } from 'yaml';
import { sinkName } from '../alerts/sinks/sink-name.ts';
import { configBeside, fileBeside, usualConfig, type ConfigFlags } from '../commands/load-config.ts';
import { overridesFromEnvironment, readConfig, type CollectorConfig, type ConfigOverrides } from '../config.ts';
import type { Gathered, Missing } from './ask-part.ts';

const redacted = '[redacted]';
/** Shorter ones stand in other words. */
const secretLengthMin = 6;

export interface Configuration extends Gathered {
  /** What the service would use; where the file is not valid, as much of it as can be told. */
  readonly config: CollectorConfig;
  readonly secrets: readonly string[];
}

/** Never fails. */
export function lookAtConfiguration(flags: ConfigFlags, usual = usualConfig): Configuration {
  const checked = attempt(() => configBeside(flags, usual));
  const file = attempt(() => fileBeside(flags, usual));
  const path = 'value' in file ? file.value : usual;
  if (path === undefined) {
    const config = 'value' in checked ? checked.value : fallback(null, flags);
    const text = 'value' in checked ? 'no configuration file: the defaults hold\n' : `NOT VALID\n${checked.problem}\n`;
    return { config, secrets: [], pieces: [{ name: 'config-check.txt', text }], missing: [] };
  }
  const source = attempt(() => String(readBoundedSync(path, configBytesMax)));
  const text = 'value' in source ? source.value : null;
  const verdict = 'value' in checked ? `${path} is valid\n` : `${path} is NOT VALID\n${checked.problem}\n`;
  const shown = shownConfig(text, 'problem' in source ? source.problem : '');
  return {
    config: 'value' in checked ? checked.value : fallback(text, flags),
    secrets: text === null ? [] : secretsIn(text),
    pieces: [{ name: 'config-check.txt', text: verdict }, ...shown.pieces],
    missing: shown.missing,
  };
}

function shownConfig(
  text: string | null,
  problem: string,
): { readonly pieces: readonly BundlePiece[]; readonly missing: readonly Missing[] } {
  const name = 'config.yaml';
  if (text === null) return { pieces: [], missing: [{ name, reason: problem }] };
  const made = attempt(() => redactedConfig(text));
  if ('value' in made) return { pieces: [{ name, text: made.value }], missing: [] };
  return { pieces: [], missing: [{ name, reason: 'it is not YAML, so nobody knows what of it is secret; config-check.txt says where' }] };
}

type Attempt<T> = { readonly value: T } | { readonly problem: string };

function attempt<T>(make: () => T): Attempt<T> {
  try {
    return { value: make() };
  } catch (error) {
    return { problem: error instanceof RelightError ? error.message : errorMessage(error) };
  }
}

/** The store and its certificate are looked at whatever is wrong elsewhere in the file. */
function fallback(text: string | null, flags: ConfigFlags): CollectorConfig {
  const parsed = attempt(() => parse(text ?? '') as unknown);
  const fields = 'value' in parsed && typeof parsed.value === 'object' ? (parsed.value as Record<string, unknown> | null) : null;
  const word = (name: string): string | undefined => (typeof fields?.[name] === 'string' ? fields[name] : undefined);
  const { dataDir } = overridesFromEnvironment(process.env);
  const layers: readonly ConfigOverrides[] = [{ dataDir: word('data_dir') }, { dataDir }, { dataDir: flags.dataDir }];
  const config = attempt(() => readConfig(null, [{ listen: word('listen') }, ...layers]));
  return 'value' in config ? config.value : readConfig(null, layers);
}

/** Without comments, which may hold what was once a value. Fails as `yaml` does on what is none. */
export function redactedConfig(text: string): string {
  return stringify(redactedValue(parse(text) as unknown, ''), { lineWidth: 0 });
}

/** Addresses wherever they stand: the file may be one that is mistyped. */
function redactedValue(value: unknown, key: string): unknown {
  if (Array.isArray(value)) return value.map((item) => redactedValue(item, key));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, redactedValue(inner, name)]));
  if (typeof value !== 'string' || !(value.includes('://') || /url|address|hook/i.test(key))) return value;
  return /^https?:\/\//i.test(value) && URL.canParse(value) ? sinkName(value) : redacted;
}

/** Users, passwords, queries and token-like parts of the addresses in a text that may be no YAML. */
export function secretsIn(text: string): readonly string[] {
  const addresses = [...text.matchAll(/[a-z][a-z0-9+.-]*:\/\/[^\s"'<>]+/gi)].flatMap(([found]) => [found, found.replace(/[,}\])]+$/, '')]);
  const secrets = addresses.flatMap(secretParts).flatMap((secret) => [secret, decoded(secret)]);
  return [...new Set(secrets)].filter(({ length }) => length >= secretLengthMin).toSorted((a, b) => b.length - a.length);
}

function secretParts(address: string): readonly string[] {
  const url = URL.parse(address);
  if (url === null) return [address];
  const { username, password, search, hash, pathname, origin } = url;
  const values = search
    .slice(1)
    .split('&')
    .map((pair) => pair.slice(pair.indexOf('=') + 1));
  const inPath = pathname.split('/').filter((part) => part !== '' && !sinkName(`${origin}/${part}`).endsWith(`/${part}`));
  return [username, password, search.slice(1), ...values, hash.slice(1), ...inPath];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const withoutSecrets = (text: string, secrets: readonly string[]): string =>
  secrets.reduce((clean, secret) => clean.replaceAll(secret, redacted), text);
