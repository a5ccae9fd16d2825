/**
 * A support bundle: pieces of text in one `.tar.gz`, for somebody elsewhere to read. Everything that goes in passes through
 * `withoutSecretForms`, which knows what secrets look like; who knows their values takes those out before.
 */
import { execFile } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { errorMessage, RelightError } from './errors.ts';

export interface BundlePiece {
  /** Its path inside the bundle: `incidents/20260131-120000-x7k2m9.json`. */
  readonly name: string;
  readonly text: string;
}

const tarTimeoutMs = 60_000;
const workPrefix = '.relight-support-';
/** Nothing that is still being made is as old. */
const abandonedMs = 10 * tarTimeoutMs;
const interruptions = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** `relight-support-tpu-0-20260131T120000Z.tar.gz` */
export function bundleName(of: string, now: number): string {
  const time = new Date(now).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  return `relight-support-${of.replaceAll(/[^A-Za-z0-9.-]/g, '-')}-${time}.tar.gz`;
}

/**
 * Mode 0600; under its name it is there whole or not at all. It is made in the directory where it is to be: one that has room, where a full
 * disk is what the bundle is about. A signal that ends the process takes along what is half made; what a killed one has left behind there is
 * removed by the next. Fails with usage where a file stands already or none can be written, and with not-found without `tar`.
 */
export async function writeBundle(file: string, pieces: readonly BundlePiece[]): Promise<void> {
  const target = resolve(file);
  let work: string | undefined;
  let interruption: NodeJS.Signals | undefined;
  const interrupted = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => {
    interruption = signal;
    interrupted.abort();
  };
  for (const signal of interruptions) process.on(signal, interrupt);
  try {
    refuseIfThere(target);
    work = mkdtempSync(join(dirname(target), workPrefix));
    removeAbandoned(work);
    const root = basename(file).replace(/\.tar\.gz$|\.tgz$/, '');
    for (const { name, text } of pieces) {
      const path = join(work, root, name);
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      writeFileSync(path, withoutSecretForms(text), { mode: 0o600 });
    }
    const made = join(work, 'bundle.tar.gz');
    writeFileSync(made, '', { mode: 0o600 });
    const owner = ['--owner=0', '--group=0', '--numeric-owner'];
    await promisify(execFile)('tar', ['-czf', made, ...owner, '-C', work, root], { timeout: tarTimeoutMs, signal: interrupted.signal });
    place(made, target);
  } catch (thrown) {
    throw inPlainWords(target, thrown);
  } finally {
    if (work !== undefined) rmSync(work, { recursive: true, force: true });
    for (const signal of interruptions) process.off(signal, interrupt);
    if (interruption !== undefined) process.kill(process.pid, interruption);
  }
}

/**
 * What others have left beside `work`, as far as it is ours and long dead: in a directory like /tmp anybody may use such a name. What cannot
 * be listed or removed stays, for a bundle does not need it gone.
 */
function removeAbandoned(work: string): void {
  const { mtimeMs: now, uid } = lstatSync(work);
  for (const name of namesIn(dirname(work))) {
    if (!/^\.relight-support-[A-Za-z0-9]{6}$/.test(name)) continue;
    const path = join(dirname(work), name);
    try {
      const found = lstatSync(path);
      if (found.isDirectory() && found.uid === uid && now - found.mtimeMs > abandonedMs) rmSync(path, { recursive: true, force: true });
    } catch {
      // Gone by itself, or of a kind that takes more than we may: perhaps the next one can.
    }
  }
}

/** None where they may not be listed, although files may be made there. */
function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Before anything is gathered for it: nobody should wait for a bundle that cannot be written. Fails with usage. */
export function refuseIfThere(file: string): void {
  if (existsSync(file)) throw new RelightError('usage', `${resolve(file)} exists already`, { advice: 'Name another file with --output.' });
}

/** Never over a file that came meanwhile: the name is taken first, and then given to what is whole and on disk. */
function place(made: string, target: string): void {
  const fd = openSync(made, 'r');
  fsyncSync(fd);
  closeSync(fd);
  writeFileSync(target, '', { mode: 0o600, flag: 'wx' });
  try {
    renameSync(made, target);
  } catch (error) {
    rmSync(target, { force: true });
    throw error;
  }
}

function inPlainWords(target: string, thrown: unknown): RelightError {
  if (thrown instanceof RelightError) return thrown;
  const { code, syscall } = thrown as NodeJS.ErrnoException;
  if (code === 'ENOENT' && syscall?.startsWith('spawn') === true)
    return new RelightError('not-found', 'there is no tar on this machine', { advice: 'Install it: apt-get install tar' });
  const why = errorMessage(thrown);
  return new RelightError('usage', `${target} cannot be written: ${why}`, {
    advice: /ENOSPC|EDQUOT|No space left|quota/i.test(why)
      ? 'Name a file where there is room, with --output; /dev/shm is memory.'
      : 'Name a file in a directory that is yours, with --output.',
    cause: thrown,
  });
}

const secretName = String.raw`[\w.-]*(?:token|secret|passw|credential|api[_-]?key|private[_-]?key|access[_-]?key|authorization)[\w.-]*`;
const redacted = '[redacted]';

/**
 * What looks like a secret, whoever wrote it: values behind names that say so, bearer tokens, passwords in addresses, private keys,
 * and the tokens of known issuers. Paths stay: `token_file: /etc/relight/agent.token` tells nothing.
 */
const forms: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, redacted],
  [/([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi, `$1${redacted}@`],
  [/\b(bearer|basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${redacted}`],
  // NAME=value, "name": "value", --name value
  [
    new RegExp(
      String.raw`((?:^|[^\w])${secretName}\\?["']?\s*[=:]\s*)(?:\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|(?!/|\[redacted\]|null\b|true\b|false\b|\d+\b)[^\s,;}\]"']+)`,
      'gim',
    ),
    `$1${redacted}`,
  ],
  [new RegExp(String.raw`(--${secretName}\s+)(?!/)[^\s"',-][^\s"',]*`, 'gi'), `$1${redacted}`],
  [/\b(?:hf_|ghp_|gho_|ghs_|github_pat_|glpat-|sk-|xox[abprs]-|rl[ajo]_)[\w-]{8,}/g, redacted],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bya29\.[\w-]{10,}|\bAIza[\w-]{30,}/g, redacted],
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, redacted],
];

export function withoutSecretForms(text: string): string {
  return forms.reduce((clean, [form, instead]) => clean.replaceAll(form, instead), text);
}
