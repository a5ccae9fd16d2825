/** `devices` and `gpus` in Compose's forms. */
import { list, object, type Reader } from '../fields.ts';
import { describe, type Located } from '../located.ts';
import { fail } from '../problems.ts';
import { integer, looseText, plain } from '../scalars.ts';
import type { ContainerSpec } from '../spec.ts';

type Device = ContainerSpec['devices'][number];
type Gpus = NonNullable<ContainerSpec['gpus']>;

export const devices: Reader<readonly Device[]> = list((node) => (node.kind === 'map' ? longDevice(node) : shortDevice(node)));

function shortDevice(node: Located): Device {
  const value = plain(node);
  if (/^[\w.-]+\/[\w.-]+=/.test(value)) fail(node, `${describe(node)} is a CDI device, which is not supported yet (not-supported-yet)`);
  const [source = '', second, third, ...more] = value.split(':');
  // "/dev/x:rwm" is source and permissions; "/dev/x:/dev/y[:rwm]" has a target.
  const hasTarget = second?.startsWith('/') === true;
  const target = hasTarget ? second : source;
  const permissions = (hasTarget ? third : second) ?? 'rwm';
  if (!source.startsWith('/') || more.length > 0 || (!hasTarget && third !== undefined) || !isPermissions(permissions)) {
    fail(node, `must be "/dev/source[:/dev/target][:rwm]", not ${describe(node)}`);
  }
  return { source, target, permissions };
}

const isPermissions = (value: string): boolean => /^(?!.*(.).*\1)[rwm]{1,3}$/.test(value);

const longDevice = object<Device>((fields) => {
  const source = fields.required('source', plain);
  const target = fields.optional('target', plain, source);
  const permissions = fields.optional('permissions', plain, 'rwm');
  return () => {
    if (!source.startsWith('/')) fields.fail('source', 'must be an absolute path such as /dev/fuse');
    if (!isPermissions(permissions)) fields.fail('permissions', `must be made of r, w and m, not "${permissions}"`);
    return { source, target, permissions };
  };
});

/** "all", a count, a list of ids, or Compose's list of one request. */
export const gpus: Reader<Gpus> = (node) => {
  if (node.kind === 'list' && node.items[0]?.kind === 'map') {
    if (node.items.length > 1) fail(node, 'more than one GPU request is not supported yet (not-supported-yet)');
    return gpuRequest(node.items[0]);
  }
  if (node.kind === 'list') return ids(node);
  if (node.kind === 'scalar' && node.value === 'all') return 'all';
  if (node.kind === 'scalar' && /^\d+$/.test(node.source) && Number(node.source) >= 1) return Number(node.source);
  return fail(node, `must be "all", a count of at least 1, or a list of device ids, not ${describe(node)}`);
};

const ids: Reader<readonly string[]> = (node) => {
  const value = list(looseText)(node);
  return value.length === 0 ? fail(node, 'must name a device; remove the field for none') : value;
};

const gpuRequest = object<Gpus>((fields) => {
  fields.optional(
    'driver',
    (node) => (looseText(node) === 'nvidia' ? 'nvidia' : fail(node, `only the driver "nvidia" is supported, not ${describe(node)}`)),
    '',
  );
  const count = fields.optional<Gpus | undefined>('count', (node) => (looseText(node) === 'all' ? 'all' : integer(1)(node)), undefined);
  const device = fields.optional('device_ids', ids, undefined);
  fields.optional(
    'capabilities',
    (node) => {
      const wanted = list(looseText)(node);
      if (wanted.join() !== 'gpu') fail(node, 'only [gpu] is supported');
    },
    undefined,
  );
  fields.refuse({ options: 'not supported yet (not-supported-yet)' });
  return () => {
    if (count !== undefined && device !== undefined) return fields.fail('device_ids', 'excludes "count"');
    return count ?? device ?? 'all';
  };
});
