/** `docker run` argv → flags, image and command, as Docker's own parser (pflag, not interspersed) reads them. */
import { RelightError } from '@relight/shared/errors';
import { suggest } from '@relight/shared/suggest';
import { splitShellWords } from '../shell-words.ts';
import { booleanFlags, directFlags, droppedFlags, shortFlags, silentFlags, synonyms, translatedFlags } from './docker-flags.ts';

export interface Flag {
  readonly name: string;
  /** Boolean flags: `true` or `false`. */
  readonly value: string;
}
export interface DockerRun {
  readonly flags: readonly Flag[];
  readonly image: string;
  readonly command: readonly string[];
}

const usage = (message: string): RelightError =>
  new RelightError('usage', message, { advice: 'Write: relight-agent import docker-run -- docker run [flags] IMAGE [command]' });

/** Fails with `usage`. */
export function parseDockerRun(argv: readonly string[]): DockerRun {
  const words = [...(argv.length === 1 ? (splitShellWords(argv[0] ?? '') ?? argv) : argv)];
  if (words[0] === 'sudo') words.shift();
  const engine = words.shift();
  if (engine === undefined || !/(^|\/)(docker|podman)$/.test(engine))
    throw usage(`the command must begin with "docker run", not with ${JSON.stringify(engine ?? '')}`);
  if (words[0] === 'container') words.shift();
  const verb = words.shift();
  if (verb !== 'run' && verb !== 'create') throw usage(`the command must be "docker run", not "docker ${verb ?? ''}"`);

  const flags: Flag[] = [];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '--' || !word.startsWith('-') || word === '-') {
      const image = word === '--' ? words.shift() : word;
      if (image === undefined) break;
      return { flags, image, command: words };
    }
    flags.push(...(word.startsWith('--') ? [longFlag(word.slice(2), words)] : shortGroup(word.slice(1), words)));
  }
  throw usage('the command names no image');
}

function longFlag(word: string, rest: string[]): Flag {
  const split = word.indexOf('=');
  const given = split < 0 ? word : word.slice(0, split);
  const name = synonyms[given] ?? given;
  if (!isKnown(name)) throw unknownFlag(`--${given}`, given);
  if (split >= 0) return { name, value: flagValue(name, word.slice(split + 1)) };
  return { name, value: booleanFlags.has(name) ? 'true' : next(`--${given}`, rest) };
}

/** `-dit`, `-p 80:80`, `-p80:80`, `-e=A=1`. */
function shortGroup(letters: string, rest: string[]): readonly Flag[] {
  const flags: Flag[] = [];
  for (let i = 0; i < letters.length; i += 1) {
    const letter = letters.charAt(i);
    const name = shortFlags[letter];
    if (name === undefined) throw unknownFlag(`-${letter}`, letters);
    const tail = letters.slice(i + 1);
    if (booleanFlags.has(name) && !tail.startsWith('=')) {
      flags.push({ name, value: 'true' });
      continue;
    }
    const value = tail === '' ? next(`-${letter}`, rest) : tail.replace(/^=/, '');
    return [...flags, { name, value: flagValue(name, value) }];
  }
  return flags;
}

function flagValue(name: string, value: string): string {
  if (!booleanFlags.has(name)) return value;
  if (/^(1|t|true)$/i.test(value)) return 'true';
  if (/^(0|f|false)$/i.test(value)) return 'false';
  throw usage(`--${name} is a switch: it takes true or false, not ${JSON.stringify(value)}`);
}

function next(flag: string, rest: string[]): string {
  const value = rest.shift();
  if (value === undefined) throw usage(`${flag} needs a value`);
  return value;
}

const allFlags: readonly string[] = [
  ...booleanFlags,
  ...Object.keys(directFlags),
  ...translatedFlags,
  ...silentFlags,
  ...Object.keys(droppedFlags),
];
const isKnown = (name: string): boolean => allFlags.includes(name);

function unknownFlag(flag: string, word: string): RelightError {
  const near = word.length < 3 ? undefined : suggest(word, allFlags);
  return usage(`docker run has no flag ${flag}${near === undefined ? '' : `; did you mean --${near}?`}`);
}
