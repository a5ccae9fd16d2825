/** Secrets: read from files at the moment of use, and kept out of every text that leaves. */
import { configBytesMax, readBounded } from '@relight/shared/bounded-read';
import { RelightError } from '@relight/shared/errors';

/** Later files win over earlier ones. Fails with config-unreadable or config-invalid; messages never hold a value. */
export async function readEnvFiles(files: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const values: Record<string, string> = {};
  for (const file of files) {
    const bytes = await readBounded(file, configBytesMax).catch((cause: NodeJS.ErrnoException) => {
      throw new RelightError('config-unreadable', `env_file ${file} cannot be read: ${cause.code ?? cause.message}`, {
        cause,
        advice: 'Create the file, readable for the agent, or correct env_file.',
      });
    });
    Object.assign(values, parseEnvFile(bytes.toString('utf8'), file));
  }
  return values;
}

/**
 * Compose's rules: `KEY=value` lines, `#` comments, an optional `export`. Single quotes take everything literally; double
 * quotes understand \n, \r, \t, \" and \\; without quotes ` #` begins a comment. `$` is always literal.
 */
export function parseEnvFile(text: string, file: string): Readonly<Record<string, string>> {
  const pairs: [string, string][] = [];
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const content = line.trim().replace(/^export\s+/, '');
    if (content === '' || content.startsWith('#')) continue;
    const problem = (message: string): RelightError => new RelightError('config-invalid', `${file}:${index + 1}: ${message}`);
    const split = content.indexOf('=');
    // The line may be the second half of a secret, so it is not quoted in the message.
    if (split < 0) throw problem('must be KEY=value; Relight takes nothing over from its own environment');
    const key = content.slice(0, split).trim();
    if (!/^[^\s"'=]+$/.test(key)) throw problem('the part before "=" is not a name');
    if (key.startsWith('RELIGHT_')) throw problem(`${key} begins with RELIGHT_, which is reserved`);
    const value = unquote(content.slice(split + 1));
    if (value === undefined) throw problem(`the value of ${key} has a quote that is never closed, or text behind it`);
    if (value.includes('\0')) throw problem(`the value of ${key} holds a NUL character`);
    pairs.push([key, value]);
  }
  return Object.fromEntries(pairs);
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

function unquote(raw: string): string | undefined {
  const value = raw.trim();
  const quote = value.charAt(0);
  if (quote === "'") return /^'([^']*)'(?:\s+#.*)?$/.exec(value)?.[1];
  if (quote === '"') {
    const inner = /^"((?:[^"\\]|\\.)*)"(?:\s+#.*)?$/.exec(value)?.[1];
    return inner?.replaceAll(/\\([nrt"\\])/g, (_, char: string) => escapes[char] ?? char);
  }
  return raw.replace(/\s#.*$/, '').trim();
}

/** Shorter values (true, 8080, us) stand in honest text all the time; replacing them would only spoil it. */
export const secretLengthMin = 6;

/** Replaces every value in any text with `[redacted]`; the longest first, since one secret may be part of another. */
export function redactor(values: Iterable<string>): (text: string) => string {
  const secrets = [...new Set(values)].filter((value) => value.length >= secretLengthMin).toSorted((a, b) => b.length - a.length);
  if (secrets.length === 0) return (text) => text;
  const any = new RegExp(secrets.map((secret) => secret.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join('|'), 'g');
  return (text) => text.replaceAll(any, '[redacted]');
}
