/**
 * What of a configuration may be shown to strangers, and which values must not stand anywhere else in a bundle either: every value
 * of `environment` and `vars`, of env files, of the token file, and of containers that were taken over.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { configBytesMax, readBoundedSync, tokenBytesMax } from '@relight/shared/bounded-read';
import { parse, stringify } from 'yaml';
import { SecretValues } from '../../config/secret-values.ts';
import { parseEnvFile } from '../../config/secrets.ts';
import type { AgentSpec } from '../../config/spec.ts';

const redacted = '[redacted]';
const hiddenMaps: ReadonlySet<string> = new Set(['environment', 'vars']);

/** Without comments, which may hold what was once a value. Fails as `yaml` does on what is none. */
export function redactedConfig(text: string): string {
  return stringify(redactedValue(parse(text) as unknown), { lineWidth: 0 });
}

function redactedValue(value: unknown, key = ''): unknown {
  if (hiddenMaps.has(key)) return hidden(value);
  if (Array.isArray(value)) return value.map((item) => redactedValue(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, redactedValue(inner, name)]));
}

/** Names stay, and the commands that find a variable out; a literal does not. */
function hidden(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((pair) => (typeof pair === 'string' ? pair.replace(/=[\s\S]*$/, `=${redacted}`) : redacted));
  if (typeof value !== 'object' || value === null) return redacted;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, typeof inner === 'object' && inner !== null ? redactedValue(inner) : redacted]),
  );
}

/** Never fails: what cannot be read now cannot stand in a text either, but for what an earlier life has seen, and that was redacted then. */
export function secretsOf(spec: AgentSpec | null, text: string | null, stateDir: string): SecretValues {
  const patterns = spec?.workloads.flatMap(({ logs }) => logs.redact) ?? [];
  const secrets = new SecretValues([], null, [...new Set(patterns)]);
  secrets.learn([...valuesInText(text), ...valuesInFiles(spec), ...adoptedValues(stateDir)]);
  return secrets;
}

/** Of a file that is no valid configuration any more as well. */
function valuesInText(text: string | null): readonly string[] {
  if (text === null) return [];
  const found: string[] = [];
  const walk = (value: unknown, key: string): void => {
    if (typeof value !== 'object' || value === null) return;
    if (hiddenMaps.has(key))
      for (const inner of Array.isArray(value) ? value : Object.values(value))
        if (typeof inner === 'string') found.push(Array.isArray(value) ? inner.slice(inner.indexOf('=') + 1) : inner);
    for (const [name, inner] of Object.entries(value)) walk(inner, name);
  };
  try {
    walk(parse(text) as unknown, '');
  } catch {
    // Then it is not shown either.
  }
  return found;
}

function valuesInFiles(spec: AgentSpec | null): readonly string[] {
  if (spec === null) return [];
  const files = spec.workloads.flatMap(({ container }) => container.envFile);
  const tokenFile = spec.collector?.tokenFile ?? null;
  return [
    ...files.flatMap((file) => valuesOr(() => Object.values(parseEnvFile(String(readBoundedSync(file, configBytesMax)), file)))),
    ...(tokenFile === null ? [] : valuesOr(() => [String(readBoundedSync(tokenFile, tokenBytesMax)).trim()])),
  ];
}

/** The environments of containers as they were found: nobody said which of it is secret. */
function adoptedValues(stateDir: string): readonly string[] {
  const directory = join(stateDir, 'adopted');
  return valuesOr(() => readdirSync(directory)).flatMap((name) =>
    valuesOr(() => {
      const { document } = JSON.parse(readFileSync(join(directory, name), 'utf8')) as { document: { Config: { Env?: string[] } } };
      return (document.Config.Env ?? []).map((pair) => pair.slice(pair.indexOf('=') + 1)).filter((value) => !value.startsWith('/'));
    }),
  );
}

function valuesOr(read: () => readonly string[]): readonly string[] {
  try {
    return read();
  } catch {
    return [];
  }
}
