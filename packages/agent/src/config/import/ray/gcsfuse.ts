/** One `gcsfuse …` call → a mount of the configuration. */
import { splitShellWords } from '../../shell-words.ts';
import { markExpansions } from './shell-expansions.ts';

export interface LiftedMount {
  readonly target: string;
  readonly bucket: string;
  readonly onlyDir: string | null;
  readonly implicitDirs: boolean;
  /** Further flags, one argv element each. */
  readonly options: readonly string[];
  /** The call itself, when a part of it is known to the container's shell alone; then it is mounted by this command. */
  readonly command: string | null;
}

/** Flags without a value, of gcsfuse 1 to 3. */
const switches =
  /^--?(implicit-dirs|foreground|anonymous-access|ignore-interrupts|disable-http|create-empty-file|reuse-token-from-url|disable-parallel-dirops|prometheus|debug[_-].*|enable-.*|experimental-enable-.*|help|version|v|h)$/;
const mark = '\uE000';

/** Values of variables that are known without the container: a shell there would find the same. */
export type KnownValues = (name: string) => string | undefined;

/** Null: it is no mount (`gcsfuse --version`), or its mount point is not known here. */
export function liftGcsfuse(call: string, valueOf: KnownValues): LiftedMount | null {
  // Its output is kept by the agent wherever it was sent.
  const plain = call.replaceAll(/\s(?:\d|&)?>{1,2}\s*(?:&\d|[^\s;|&]+)/g, '').trim();
  const words = splitShellWords(markExpansions(plain, mark))?.map((word) => resolve(word, valueOf));
  if (words === undefined) return null;
  const at = words.findIndex((word) => /(^|\/)gcsfuse$/.test(word));
  if (at < 0 || words.slice(0, at).some((word) => !/^(sudo|exec|nohup|env|\w+=.*)$/.test(word))) return null;
  const { flags, positional } = split(words.slice(at + 1));
  const target = positional.at(-1);
  if (target === undefined || positional.length > 2 || !target.startsWith('/') || target.includes(mark)) return null;
  const unknown = at > 0 || words.some((word) => word.includes(mark));
  const value = (name: string): string | null => flags.findLast(([flag]) => flag === name)?.[1] ?? null;
  const implicit = flags.findLast(([flag]) => flag === '--implicit-dirs');
  return {
    target: target.length > 1 ? target.replace(/\/+$/, '') : target,
    bucket: positional.length === 2 ? (positional[0] ?? '') : '',
    onlyDir: value('--only-dir'),
    implicitDirs: implicit !== undefined && implicit[1] !== 'false',
    options: flags.filter(([flag]) => !['--implicit-dirs', '--only-dir', '--foreground'].includes(flag)).flatMap(argvOf),
    command: unknown ? foreground(plain) : null,
  };
}

const argvOf = ([flag, value]: Flag): readonly string[] =>
  value === null ? [flag] : flag.startsWith('--') ? [`${flag}=${value}`] : [flag, value];

/** Its end must be seen. */
const foreground = (call: string): string =>
  /\s--?foreground\b/.test(call) ? call : call.replace(/(^|[\s/])gcsfuse(?=\s)/, (found) => `${found} --foreground`);

type Flag = readonly [name: string, value: string | null];

function split(words: readonly string[]): { readonly flags: readonly Flag[]; readonly positional: readonly string[] } {
  const flags: Flag[] = [];
  const positional: string[] = [];
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i] ?? '';
    const equals = word.indexOf('=');
    if (!word.startsWith('-')) positional.push(word);
    else if (equals > 0) flags.push([word.slice(0, equals), word.slice(equals + 1)]);
    else if (switches.test(word)) flags.push([word, null]);
    else {
      i += 1;
      flags.push([word, words[i] ?? '']);
    }
  }
  return { flags, positional };
}

function resolve(word: string, valueOf: KnownValues): string {
  return word.replaceAll(new RegExp(`${mark}\\$(?:\\{(\\w+)\\}|(\\w+))`, 'g'), (whole, braced?: string, bare?: string) => {
    return valueOf(braced ?? bare ?? '') ?? whole;
  });
}
