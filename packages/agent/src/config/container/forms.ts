/** Compose's alternative forms of one thing: list or map, text or list. */
import { duplicates, list, object, record, type Reader } from '../fields.ts';
import { describe, type Located } from '../located.ts';
import { fail, Invalid } from '../problems.ts';
import { integer, looseText, text } from '../scalars.ts';
import { splitShellWords } from '../shell-words.ts';
import type { ContainerSpec } from '../spec.ts';

type Strings = Readonly<Record<string, string>>;

/** A list of `KEY=value` or a map. `missing` says what an entry without a value means here: a text, or why it is an error. */
export function keyValues(
  missing: { readonly value: string } | { readonly error: string },
  checkKey?: (key: string, at: Located) => void,
): Reader<Strings> {
  const value: Reader<string> = (node) => {
    if (node.kind === 'scalar' && node.value === null) return 'value' in missing ? missing.value : fail(node, missing.error);
    return looseText(node);
  };
  return (node) => {
    if (node.kind !== 'list') return record(value, checkKey)(node);
    const pairs = list((item): readonly [string, string] => {
      const pair = looseText(item);
      const split = pair.indexOf('=');
      const key = split < 0 ? pair : pair.slice(0, split);
      if (key === '') fail(item, 'must be KEY=value; the key is missing');
      checkKey?.(key, item);
      if (split >= 0) return [key, pair.slice(split + 1)];
      return [key, 'value' in missing ? missing.value : fail(item, `${key}: ${missing.error}`)];
    })(node);
    return Object.fromEntries(pairs);
  };
}

export const environment = keyValues(
  {
    error: 'has no value; Relight takes nothing over from its own environment: write the value here, or put it in a file named in env_file',
  },
  (key, at) => {
    if (key === '' || /[=\s\0]/.test(key)) fail(at, 'is not a name for an environment variable');
    if (key.startsWith('RELIGHT_')) fail(at, `"${key}" begins with RELIGHT_, which is reserved`);
  },
);

export const labels = keyValues({ value: '' }, (key, at) => {
  if (key.startsWith('relight.')) fail(at, `"${key}" begins with "relight.", which is reserved`);
});

export const sysctls = keyValues({ error: 'has no value' });

/** Normal form `host:address`. Compose writes `host:ip`, `host=ip`, or a map whose values may be lists. */
export const extraHosts: Reader<readonly string[]> = (node) => {
  if (node.kind === 'map') {
    const addresses: Reader<readonly string[]> = (value) => (value.kind === 'list' ? list(text)(value) : [text(value)]);
    return Object.entries(record(addresses)(node)).flatMap(([host, ips]) => ips.map((ip) => `${host}:${ip}`));
  }
  return list((item) => {
    const match = /^([\w.-]+)[:=]\s*(\S+)$/.exec(text(item));
    if (match === null) return fail(item, `must be "host:address", not ${describe(item)}`);
    return `${match[1]}:${match[2]}`;
  })(node);
};

/** argv of a container. Text is split into words as Compose does, and seen by no shell. */
export const argv: Reader<readonly string[]> = (node) => {
  if (node.kind === 'list') return list(looseText)(node);
  const words = splitShellWords(text(node));
  return words ?? fail(node, `${describe(node)} has a quote that is never closed`);
};

export const command: Reader<readonly string[]> = (node) => {
  const words = argv(node);
  if (words.length === 0 || words[0] === '') fail(node, 'must name a program');
  return words;
};

const limit = integer(-1);
const limitNames = [
  'as',
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
] as const;

/** `{nofile: 1024}`, `{nofile: {soft: 1, hard: 2}}`, or `docker run`'s `["nofile=1:2"]`. -1 is unlimited. */
export const ulimits: Reader<ContainerSpec['ulimits']> = (node) => {
  const check = (key: string, at: Located): void => {
    if (!limitNames.some((name) => name === key)) fail(at, `"${key}" is not a limit; allowed: ${limitNames.join(', ')}`);
  };
  const ordered = (at: Located, soft: number, hard: number): { soft: number; hard: number } => {
    if (hard !== -1 && (soft === -1 || soft > hard)) fail(at, `the soft limit ${soft} is above the hard limit ${hard}`);
    return { soft, hard };
  };
  if (node.kind === 'list') {
    const entries = list((item): readonly [string, { soft: number; hard: number }] => {
      const match = /^(\w+)=(-1|\d+)(?::(-1|\d+))?$/.exec(text(item));
      if (match === null) return fail(item, `must be "name=soft:hard", not ${describe(item)}`);
      check(match[1] ?? '', item);
      return [match[1] ?? '', ordered(item, Number(match[2]), Number(match[3] ?? match[2]))];
    })(node);
    return Object.fromEntries(entries);
  }
  return record((item) => {
    if (item.kind === 'scalar') return ordered(item, limit(item), limit(item));
    return object((fields) => {
      const soft = fields.required('soft', limit);
      const hard = fields.required('hard', limit);
      return () => ordered(item, soft, hard);
    })(item);
  }, check)(node);
};

/** A list of names, or a map from a name to its aliases (null: none). */
export const networks: Reader<ContainerSpec['networks']> = (node) => {
  if (node.kind === 'list') {
    const twice = duplicates(node.items, 'network');
    if (twice.length > 0) throw new Invalid(twice);
    return list((item) => ({ name: text(item), aliases: [] as readonly string[] }))(node);
  }
  const entry: Reader<readonly string[]> = (item) => {
    if (item.kind === 'scalar' && item.value === null) return [];
    return object((fields) => {
      const aliases = fields.optional('aliases', list(text), []);
      for (const key of [
        'ipv4_address',
        'ipv6_address',
        'link_local_ips',
        'mac_address',
        'priority',
        'driver_opts',
        'gw_priority',
        'interface_name',
      ]) {
        fields.refuse({ [key]: 'not supported yet (not-supported-yet)' });
      }
      return () => aliases;
    })(item);
  };
  return Object.entries(record(entry)(node)).map(([name, aliases]) => ({ name, aliases }));
};
