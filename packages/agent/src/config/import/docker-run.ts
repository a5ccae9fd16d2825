/** `docker run …` → a configuration. Done once, by a person who reads the result; nothing of it happens at run time. */
import { RelightError } from '@relight/shared/errors';
import { posix } from 'node:path';
import { directFlags, droppedFlags } from './docker-flags.ts';
import { parseDockerRun, type DockerRun, type Flag } from './docker-run-words.ts';
import { parseMount } from './docker-mount.ts';
import { sizeText, toYaml, workloadName, type ContainerDraft, type Imported } from './draft.ts';
import { parseSizeBytes } from '@relight/shared/units';

/** Fails with `usage` when it is not a `docker run` that Docker would take. */
export function importDockerRun(argv: readonly string[]): Imported {
  const parsed = parseDockerRun(argv);
  const { container, lost } = draftOf(parsed);
  const name = parsed.flags.findLast((flag) => flag.name === 'name')?.value;
  return { yaml: toYaml(name ?? workloadName(parsed.image), container), notCarriedOver: lost };
}

/** The container section alone, and one line for each thing that was left behind. */
export function draftOf({ flags, image, command }: DockerRun): { readonly container: ContainerDraft; readonly lost: readonly string[] } {
  const last = (name: string): string | undefined => flags.findLast((flag) => flag.name === name)?.value;
  const all = (name: string): readonly string[] => flags.filter((flag) => flag.name === name).map((flag) => flag.value);
  const lost = [...dropped(flags)];
  const network = networking(all('network'), all('network-alias'), lost);
  const mounts = all('mount').map((text) => parseMount(text, lost));
  const hostNetwork = network.network_mode === 'host';
  if (hostNetwork && all('publish').length > 0) lost.push('--publish: has no effect with the network of the host');

  const container: ContainerDraft = {
    name: last('name'),
    image,
    entrypoint: entrypoint(last('entrypoint')),
    command: command.length === 0 ? undefined : command,
    environment: environment(all('env'), lost),
    labels: labels(all('label'), lost),
    ...direct(flags),
    ...network,
    volumes: [...all('volume').flatMap((text) => volume(text, lost)), ...mounts.flatMap((item) => item.volume)],
    ports: hostNetwork ? undefined : all('publish'),
    sysctls: pairs(all('sysctl')),
    gpus: gpus(last('gpus'), lost),
    logging: logging(last('log-driver'), all('log-opt')),
    stop_grace_period: last('stop-timeout') === undefined ? undefined : `${last('stop-timeout')}s`,
  };
  container['tmpfs'] = [...((container['tmpfs'] as readonly string[] | undefined) ?? []), ...mounts.flatMap((item) => item.tmpfs)];
  return { container, lost };
}

function* dropped(flags: readonly Flag[]): Generator<string> {
  const names = new Set(flags.map((flag) => flag.name));
  for (const name of names) {
    const why = droppedFlags[name];
    const values = flags.filter((flag) => flag.name === name).map((flag) => flag.value);
    // The last one wins: `--rm=0` cancels an earlier --rm, and `--restart no` is what Relight does anyway.
    if (why === undefined || values.at(-1) === 'false' || (name === 'restart' && values.at(-1) === 'no')) continue;
    yield `--${name}${values.at(-1) === 'true' ? '' : ` ${values.join(' ')}`}: ${why}`;
  }
}

function direct(flags: readonly Flag[]): ContainerDraft {
  const draft: ContainerDraft = {};
  for (const { name, value } of flags) {
    const rule = directFlags[name];
    if (rule === undefined) continue;
    if (rule.kind === 'list') draft[rule.field] = [...((draft[rule.field] as readonly string[] | undefined) ?? []), listValue(name, value)];
    else if (rule.kind === 'flag') draft[rule.field] = value === 'true' ? true : undefined;
    else if (rule.kind === 'number') draft[rule.field] = Number.isFinite(Number(value)) ? Number(value) : value;
    else if (rule.kind === 'size') draft[rule.field] = bytes(name, value);
    else draft[rule.field] = value === '' ? undefined : value;
  }
  if (draft['pids_limit'] === 0) draft['pids_limit'] = -1;
  return draft;
}

/** Docker's own forms that Compose writes another way. */
function listValue(name: string, value: string): string {
  // The form of old; newer engines warn about it.
  if (name === 'security-opt') return value.replace(/^(apparmor|seccomp|label|systempaths):/, '$1=');
  if (name === 'env-file') return posix.resolve('/', value) === value ? value : `./${posix.normalize(value)}`;
  return value;
}

/** Without a unit Docker counts bytes; 0 and -1 mean no limit. */
function bytes(name: string, value: string): string | number | undefined {
  if (value === '-1') return name === 'memory-swap' ? -1 : undefined;
  const size = /^\d+$/.test(value) ? Number(value) : parseSizeBytes(value.replace(/([kmgt])ib$/i, '$1b'));
  if (size === undefined) throw new RelightError('usage', `--${name} must be a size such as 64m or 100gb, not ${JSON.stringify(value)}`);
  return size === 0 ? undefined : sizeText(size);
}

/** Given as an empty text it removes the image's. Docker never splits it. */
const entrypoint = (value: string | undefined): readonly string[] | string | undefined =>
  value === undefined ? undefined : value === '' ? '' : [value];

function environment(entries: readonly string[], lost: string[]): Readonly<Record<string, string>> {
  const pairs_: [string, string][] = [];
  for (const entry of entries) {
    const split = entry.indexOf('=');
    if (split > 0) pairs_.push([entry.slice(0, split), entry.slice(split + 1)]);
    else
      lost.push(
        `--env ${entry}: takes its value from the caller's environment; write it under environment: or into a file named in env_file:`,
      );
  }
  return Object.fromEntries(pairs_);
}

function labels(entries: readonly string[], lost: string[]): Readonly<Record<string, string>> {
  const all = Object.entries(pairs(entries));
  for (const [key] of all) if (key.startsWith('relight.')) lost.push(`--label ${key}: the prefix relight. is reserved`);
  return Object.fromEntries(all.filter(([key]) => !key.startsWith('relight.')));
}

function pairs(entries: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    entries.map((entry): [string, string] => {
      const split = entry.indexOf('=');
      return split < 0 ? [entry, ''] : [entry.slice(0, split), entry.slice(split + 1)];
    }),
  );
}

function networking(
  names: readonly string[],
  aliases: readonly string[],
  lost: string[],
): { network_mode?: string; networks?: Readonly<Record<string, { aliases: readonly string[] } | null>> } {
  const plain = names.map((name) => {
    if (!name.includes('=')) return name;
    const options = pairs(name.split(','));
    for (const key of Object.keys(options)) if (key !== 'name' && key !== 'alias') lost.push(`--network ${key}=…: not supported yet`);
    return options['name'] ?? '';
  });
  const builtIn = (name: string): boolean => /^(host|none|bridge|default|container:.*)$/.test(name);
  const mode = plain.find(builtIn);
  if (mode !== undefined || plain.length === 0) {
    if (aliases.length > 0) lost.push('--network-alias: works in user-defined networks only');
    const others = plain.filter((name) => !builtIn(name));
    if (others.length > 0) lost.push(`--network ${others.join(', ')}: cannot be joined beside "${mode}"`);
    return mode === undefined || mode === 'default' ? {} : { network_mode: mode };
  }
  return { networks: Object.fromEntries(plain.map((name) => [name, aliases.length > 0 ? { aliases } : null])) };
}

/** Options that Relight does not know are left behind by name; a volume without source has no name to be found by again. */
function volume(text: string, lost: string[]): readonly string[] {
  const [source = '', target, mode] = text.split(':');
  if (target === undefined) {
    lost.push(`--volume ${text}: an anonymous volume cannot be found again; give it a name`);
    return [];
  }
  const options = mode?.split(',') ?? [];
  const unsupported = options.filter((option) => ['z', 'Z', 'nocopy'].includes(option));
  for (const option of unsupported) lost.push(`--volume ${text}: the option ${option} is not supported yet`);
  const kept = options.filter((option) => !unsupported.includes(option));
  return [[source, target, ...(kept.length > 0 ? [kept.join(',')] : [])].join(':')];
}

/** `all`, `2`, `device=0,1`, `"device=0,1"`, `driver=nvidia,count=2`; quoted parts hold commas, as in CSV. */
function gpus(value: string | undefined, lost: string[]): unknown {
  if (value === undefined) return undefined;
  const bare = value.replaceAll('"', '');
  if (bare === 'all' || bare === 'count=all' || bare === 'count=-1' || bare === '-1') return 'all';
  const count = /^(?:count=)?(\d+)$/.exec(bare)?.[1];
  if (count !== undefined) return Number(count);
  const devices = /(?:^|,)device=([^=]*?)(?:,\w+=.*)?$/.exec(bare)?.[1];
  const rest = bare.split(',').filter((part) => /^\w+=/.test(part) && !/^(device|count)=|^driver=nvidia$|^capabilities=gpu$/.test(part));
  for (const part of rest) lost.push(`--gpus ${part}: not supported yet`);
  if (devices !== undefined) return devices.split(',');
  const counted = /(?:^|,)count=(\d+)/.exec(bare)?.[1];
  return counted === undefined ? 'all' : Number(counted);
}

function logging(driver: string | undefined, options: readonly string[]): unknown {
  if (driver === undefined && options.length === 0) return undefined;
  return { driver: driver ?? 'json-file', ...(options.length > 0 ? { options: pairs(options) } : {}) };
}
