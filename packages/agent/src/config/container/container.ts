/** The `container` section: Compose's fields into ContainerSpec. */
import { defaults } from '../defaults.ts';
import { list, object, oneOrMore, record, type Fields, type Reader } from '../fields.ts';
import { child, describe, type Located } from '../located.ts';
import { fail } from '../problems.ts';
import { boolean, choice, containerPath, duration, hostPath, integer, looseText, name, number, plain, size } from '../scalars.ts';
import type { ContainerSpec } from '../spec.ts';
import { runDirectoryTarget } from '../../stages/runs.ts';
import { adoptedContainer } from './adopt.ts';
import { refusedFields } from './compose-fields.ts';
import { devices, gpus } from './devices.ts';
import { argv, command, environment, extraHosts, labels, networks, sysctls, ulimits } from './forms.ts';
import { ports } from './ports.ts';
import { tmpfs, volumes } from './volumes.ts';

export interface ContainerContext {
  /** Of the configuration file: relative paths count from it. */
  readonly directory: string;
  /** The workload's name: the default of the container's. */
  readonly workload: string;
  readonly vars: ReadonlySet<string>;
}

/** Every field of ContainerSpec, undefined where it was not given: a new field does not compile until it is read here. */
type Given = { readonly [K in Exclude<keyof Required<ContainerSpec>, 'adopt' | 'adoptedId'>]: ContainerSpec[K] };

export function container(context: ContainerContext): Reader<ContainerSpec> {
  return (node) => (child(node, 'adopt') === undefined ? describedContainer(context)(node) : adoptedContainer(node));
}

function describedContainer(context: ContainerContext): Reader<ContainerSpec> {
  return object((fields) => {
    fields.refuse(refusedFields);
    const given: Given = {
      ...whatToRun(fields, context),
      ...storage(fields, context),
      ...network(fields),
      ...isolation(fields),
      ...resources(fields),
      ...life(fields),
    };
    return () => {
      checkNetwork(fields, given);
      checkMemory(fields, given);
      checkTargets(fields, given);
      return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as unknown as ContainerSpec;
    };
  });
}

function whatToRun(fields: Fields, { directory, workload, vars }: ContainerContext) {
  return {
    name: fields.optional('name', name, workload),
    image: fields.required('image', image),
    pullPolicy: fields.optional('pull_policy', choice('always', 'missing', 'never'), 'missing' as const),
    command: fields.optional('command', command, undefined),
    // An empty entry point is Compose's way to remove the image's.
    entrypoint: fields.optional('entrypoint', (node) => (isEmpty(node) ? [] : argv(node)), undefined),
    environment: fields.optional('environment', withoutVariables(vars), {}),
    envFile: fields.optional('env_file', oneOrMore(envFile(directory)), []),
    labels: fields.optional('labels', labels, {}),
    user: fields.optional('user', looseText, undefined),
    groupAdd: fields.optional('group_add', list(looseText), []),
    workingDir: fields.optional('working_dir', containerPath, undefined),
    tty: fields.optional('tty', boolean, false),
    stdinOpen: fields.optional('stdin_open', boolean, false),
  };
}

function storage(fields: Fields, { directory }: ContainerContext) {
  const mixed = fields.optional('volumes', volumes(directory), []);
  const own = fields.optional('tmpfs', tmpfs, []);
  // Undefined when unsound: the problem is reported, and the value is never used.
  const list_ = mixed ?? [];
  return {
    volumes: list_.flatMap((item) => ('volume' in item ? [item.volume] : [])),
    tmpfs: [...list_.flatMap((item) => ('tmpfs' in item ? [item.tmpfs] : [])), ...(own ?? [])],
    devices: fields.optional('devices', devices, []),
    gpus: fields.optional('gpus', gpus, undefined),
    readOnly: fields.optional('read_only', boolean, false),
    shmSizeBytes: fields.optional('shm_size', size, undefined),
  };
}

function network(fields: Fields) {
  return {
    ports: fields.optional('ports', ports, []),
    networkMode: fields.optional('network_mode', networkMode, undefined),
    networks: fields.optional('networks', networks, []),
    hostname: fields.optional('hostname', plain, undefined),
    extraHosts: fields.optional('extra_hosts', extraHosts, []),
    dns: fields.optional('dns', oneOrMore(plain), []),
  };
}

function isolation(fields: Fields) {
  return {
    privileged: fields.optional('privileged', boolean, false),
    capAdd: fields.optional('cap_add', list(plain), []),
    capDrop: fields.optional('cap_drop', list(plain), []),
    securityOpt: fields.optional('security_opt', list(plain), []),
    ipc: fields.optional('ipc', oneOfOrContainer('host', 'private', 'shareable', 'none'), undefined),
    pid: fields.optional('pid', oneOfOrContainer('host'), undefined),
    cgroupns: fields.optional('cgroup', choice('host', 'private'), undefined),
    runtime: fields.optional('runtime', plain, undefined),
    sysctls: fields.optional('sysctls', sysctls, {}),
  };
}

function resources(fields: Fields) {
  return {
    ulimits: { ...defaults.ulimits, ...fields.optional('ulimits', ulimits, {}) },
    memoryBytes: fields.optional('mem_limit', size, undefined),
    memoryReservationBytes: fields.optional('mem_reservation', size, undefined),
    memorySwapBytes: fields.optional(
      'memswap_limit',
      (node) => (node.kind === 'scalar' && node.source === '-1' ? -1 : size(node)),
      undefined,
    ),
    cpus: fields.optional('cpus', number(0.01, 65_536), undefined),
    cpusetCpus: fields.optional('cpuset', cpuset, undefined),
    pidsLimit: fields.optional('pids_limit', integer(-1), undefined),
    oomScoreAdj: fields.optional('oom_score_adj', integer(-1_000, 1_000), undefined),
  };
}

function life(fields: Fields) {
  return {
    onDeath: fields.optional('on_death', choice('recreate', 'start'), 'recreate' as const),
    init: fields.optional('init', boolean, false),
    stopSignal: fields.optional('stop_signal', stopSignal, undefined),
    stopGracePeriodMs: fields.optional('stop_grace_period', duration(0), undefined),
    logging: fields.optional('logging', logging, null),
  };
}

function checkNetwork(fields: Fields, given: Given): void {
  if (given.networkMode !== undefined && given.networks.length > 0) fields.fail('networks', 'excludes network_mode; keep one of the two');
  if (given.networkMode === 'host' && given.ports.length > 0) {
    fields.fail('ports', 'has no effect with "network_mode: host"; the container uses the ports of the host directly');
  }
  if (given.networkMode === 'none' && given.ports.length > 0) fields.fail('ports', 'cannot work with "network_mode: none"');
}

function checkMemory(fields: Fields, { memoryBytes: limit, memorySwapBytes: swap, memoryReservationBytes: reserved }: Given): void {
  if (swap !== undefined && limit === undefined) fields.fail('memswap_limit', 'needs mem_limit');
  if (swap !== undefined && swap !== -1 && limit !== undefined && swap < limit) {
    fields.fail('memswap_limit', 'is memory plus swap and must not be below mem_limit');
  }
  if (reserved !== undefined && limit !== undefined && reserved > limit) fields.fail('mem_reservation', 'must not be above mem_limit');
}

function checkTargets(fields: Fields, { volumes: bound, tmpfs: inMemory }: Given): void {
  const seen = new Set<string>();
  const check = (key: string, target: string): void => {
    if (target === runDirectoryTarget || target.startsWith(`${runDirectoryTarget}/`))
      fields.fail(key, `"${target}" is Relight's own directory`);
    if (seen.has(target)) fields.fail(key, `the target "${target}" is taken already`);
    seen.add(target);
  };
  for (const { target } of bound) check('volumes', target);
  for (const { target } of inMemory) check('tmpfs', target);
}

const isEmpty = (node: Located): boolean =>
  (node.kind === 'list' && node.items.length === 0) || (node.kind === 'scalar' && node.value === '');

/** `[registry[:port]/]name[:tag][@digest]`, as the engine's reference grammar has it. */
const image: Reader<string> = (node) => {
  const value = plain(node);
  const form = /^(?:[a-zA-Z0-9.-]+(?::\d+)?\/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::[\w][\w.-]{0,127})?(?:@[a-z0-9]+:[a-fA-F0-9]{32,})?$/;
  return form.test(value) ? value : fail(node, `${describe(node)} is not an image name, such as registry.example/team/image:tag`);
};

/** Somebody who writes ${HEAD} for a declared variable expects its value, and would get the text. */
function withoutVariables(vars: ReadonlySet<string>): Reader<ContainerSpec['environment']> {
  return (node) => {
    const values = environment(node);
    for (const [key, value] of Object.entries(values)) {
      const used = [...vars].find((declared) => value.includes(`\${${declared}}`));
      if (used === undefined) continue;
      fail(
        node,
        `${key} uses \${${used}}, but the environment of a container is fixed when it is created; commands get ${used} in their own environment`,
      );
    }
    return values;
  };
}

function envFile(directory: string): Reader<string> {
  const path = hostPath(directory);
  return (node) => {
    if (node.kind !== 'map') return path(node);
    return object((fields) => {
      const file = fields.required('path', path);
      const required = fields.optional('required', boolean, true);
      fields.refuse({ format: 'not supported yet (not-supported-yet)' });
      return () => (required ? file : fields.fail('required', 'false is not supported yet (not-supported-yet)'));
    })(node);
  };
}

const networkMode: Reader<string> = (node) => {
  const value = plain(node);
  if (value.startsWith('service:')) fail(node, 'there are no Compose services here; write "container:NAME"');
  return /^(?:container:)?[a-zA-Z0-9][\w.-]*$/.test(value)
    ? value
    : fail(node, `must be host, bridge, none, container:NAME or the name of a network, not ${describe(node)}`);
};

function oneOfOrContainer(...allowed: readonly string[]): Reader<string> {
  return (node) => {
    const value = plain(node);
    if (allowed.includes(value) || /^container:[a-zA-Z0-9][\w.-]*$/.test(value)) return value;
    return fail(node, `must be one of ${[...allowed, 'container:NAME'].join(', ')}, not ${describe(node)}`);
  };
}

const cpuset: Reader<string> = (node) => {
  const value = looseText(node);
  return /^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(value) ? value : fail(node, `must be a list of CPUs such as "0-3,8", not ${describe(node)}`);
};

const stopSignal: Reader<string> = (node) => {
  const value = looseText(node);
  return /^(SIG)?[A-Z][A-Z0-9+-]*$|^\d+$/.test(value) ? value : fail(node, `must be a signal such as SIGTERM, not ${describe(node)}`);
};

const logging = object((fields) => {
  const driver = fields.optional('driver', plain, 'json-file');
  const options = fields.optional('options', record(looseText), {});
  return () => ({ driver, options });
});
