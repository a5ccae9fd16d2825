/** `volumes` and `tmpfs` in Compose's short and long forms. */
import { list, object, oneOrMore, type Reader } from '../fields.ts';
import { describe, type Located } from '../located.ts';
import { fail } from '../problems.ts';
import { boolean, choice, containerPath, hostPath, plain, size } from '../scalars.ts';
import type { ContainerSpec, VolumeSpec } from '../spec.ts';

export type Tmpfs = ContainerSpec['tmpfs'][number];
const propagations = ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'] as const;
/** They tune Docker Desktop's file sharing and mean nothing on Linux; Compose files carry them along. */
const withoutEffect = new Set(['cached', 'delegated', 'consistent']);

/** The long form of type tmpfs belongs to the other list. */
export type VolumeOrTmpfs = { readonly volume: VolumeSpec } | { readonly tmpfs: Tmpfs };

export function volumes(directory: string): Reader<readonly VolumeOrTmpfs[]> {
  return list((node) => (node.kind === 'map' ? longVolume(directory)(node) : { volume: shortVolume(directory, node) }));
}

function shortVolume(directory: string, node: Located): VolumeSpec {
  const value = plain(node);
  const [source, target, mode, ...more] = value.split(':');
  if (source === undefined || target === undefined || source === '' || target === '' || more.length > 0) {
    const fix = source === value ? '; an anonymous volume cannot be found again, so give it a name' : '';
    return fail(node, `must be "source:target[:options]", not ${describe(node)}${fix}`);
  }
  const at = (part: string): Located => ({ ...node, kind: 'scalar', value: part, source: part });
  const options = volumeOptions(node, mode);
  return { ...volumeSource(directory, at(source)), target: containerPath(at(target)), ...options };
}

function volumeSource(directory: string, node: Located): Pick<VolumeSpec, 'type' | 'source'> {
  const source = plain(node);
  if (/^[./~]/.test(source)) return { type: 'bind', source: hostPath(directory)(node) };
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(source)) fail(node, `${describe(node)} is neither a path (/…, ./…) nor the name of a volume`);
  return { type: 'volume', source };
}

function volumeOptions(node: Located, mode: string | undefined): Pick<VolumeSpec, 'readOnly' | 'propagation'> {
  let readOnly = false;
  let propagation: string | undefined;
  for (const option of mode?.split(',') ?? []) {
    if (option === 'ro' || option === 'rw') readOnly = option === 'ro';
    else if (propagations.some((known) => known === option)) propagation = option;
    else if (option === 'z' || option === 'Z' || option === 'nocopy')
      fail(node, `the volume option "${option}" is not supported yet (not-supported-yet)`);
    else if (!withoutEffect.has(option)) fail(node, `"${option}" is not a volume option; allowed: ro, rw, ${propagations.join(', ')}`);
  }
  return { readOnly, ...(propagation === undefined ? {} : { propagation }) };
}

function longVolume(directory: string): Reader<VolumeOrTmpfs> {
  return object<VolumeOrTmpfs>((fields) => {
    const type = fields.required('type', choice('bind', 'volume', 'tmpfs'));
    const target = fields.required('target', containerPath);
    const readOnly = fields.optional('read_only', boolean, false);
    const source = fields.optional('source', (node) => (type === 'bind' ? hostPath(directory)(node) : plain(node)), undefined);
    const propagation = fields.optional('bind', bindOptions, undefined);
    const options = fields.optional('tmpfs', tmpfsOptions, []);
    fields.refuse({ volume: 'not supported yet (not-supported-yet)', consistency: 'has no effect on Linux; remove it' });
    return () => {
      if (type === 'tmpfs') {
        if (source !== undefined) fields.fail('source', 'a tmpfs has no source');
        return { tmpfs: { target, options: [...(readOnly ? ['ro'] : []), ...options].join(',') } };
      }
      if (source === undefined)
        return fields.fail('source', type === 'bind' ? 'is required' : 'is required; an anonymous volume cannot be found again');
      return { volume: { type, source, target, readOnly, ...(propagation === undefined ? {} : { propagation }) } };
    };
  });
}

const bindOptions = object((fields) => {
  const propagation = fields.optional('propagation', choice(...propagations), undefined);
  const create = fields.optional('create_host_path', boolean, true);
  fields.refuse({ selinux: 'not supported yet (not-supported-yet)' });
  return () =>
    create
      ? propagation
      : fields.fail('create_host_path', 'false is not supported yet (not-supported-yet); "check" reports a missing path');
});

const tmpfsOptions = object((fields) => {
  const bytes = fields.optional('size', size, undefined);
  const mode = fields.optional('mode', octal, undefined);
  return () => [...(bytes === undefined ? [] : [`size=${bytes}`]), ...(mode === undefined ? [] : [`mode=${mode}`])];
});

const octal: Reader<string> = (node) =>
  node.kind === 'scalar' && /^(0o?)?[0-7]{3,4}$/.test(node.source)
    ? node.source.replace(/^0o/, '')
    : fail(node, `must be an octal mode such as 1777, not ${describe(node)}`);

/** `target[:options]`, one or a list. */
export const tmpfs: Reader<readonly Tmpfs[]> = oneOrMore((node) => {
  const value = plain(node);
  const split = value.indexOf(':');
  const target = split < 0 ? value : value.slice(0, split);
  return {
    target: containerPath({ ...node, kind: 'scalar', value: target, source: target }),
    options: split < 0 ? '' : value.slice(split + 1),
  };
});
