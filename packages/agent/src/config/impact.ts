/**
 * What a change of the configuration costs a workload that runs. Pure.
 *
 * Every field of WorkloadSpec has its row here, with the name that people write: a new field does not compile without one.
 */
import { createHash } from 'node:crypto';
import type { ContainerSpec, MountSpec, ProcessSpec, SetupStep, WorkloadSpec } from './spec.ts';

/** `none`: takes effect by itself. `process`: the process is started anew. `container`: the container is made anew. */
export type Impact = 'none' | 'process' | 'container';
export interface Change {
  /** As in the YAML: `container.image`, `mounts[data].target`. */
  readonly field: string;
  readonly impact: Impact;
}

/**
 * `optional`: absent means "not given". A field without that mark always has a value, so where it is absent the
 * specification was stored by a version that did not know it, and its default is no change: upgrades restart nothing.
 */
type Row = readonly [yaml: string, impact: Impact, presence?: 'optional'];
type RowOf<T, K extends PropertyKey> = K extends keyof T
  ? undefined extends T[K]
    ? readonly [string, Impact, 'optional']
    : readonly [string, Impact]
  : readonly [string, Impact, 'optional'];
type KeysOf<T> = T extends unknown ? keyof T : never;
type Table<T> = { readonly [K in KeysOf<T>]-?: RowOf<T, K> };

const workloadTable: Table<Omit<WorkloadSpec, 'container' | 'mounts' | 'setup' | 'process'>> = {
  name: ['name', 'container'],
  dependsOn: ['depends_on', 'none'],
  startDeadlineMs: ['start_deadline', 'none'],
  shell: ['shell', 'process'],
  readyWindowMs: ['ready_window', 'none'],
  ready: ['ready', 'none'],
  live: ['live', 'none'],
  restart: ['restart', 'none'],
  logs: ['logs', 'none'],
  spare: ['spare', 'none'],
};

const containerTable: Table<ContainerSpec> = {
  name: ['name', 'container'],
  image: ['image', 'container'],
  pullPolicy: ['pull_policy', 'none'],
  onDeath: ['on_death', 'none'],
  adopt: ['adopt', 'none', 'optional'],
  adoptedId: ['adopt.id', 'none', 'optional'],
  command: ['command', 'container', 'optional'],
  entrypoint: ['entrypoint', 'container', 'optional'],
  environment: ['environment', 'container'],
  envFile: ['env_file', 'container'],
  volumes: ['volumes', 'container'],
  tmpfs: ['tmpfs', 'container'],
  ports: ['ports', 'container'],
  devices: ['devices', 'container'],
  ulimits: ['ulimits', 'container'],
  networkMode: ['network_mode', 'container', 'optional'],
  networks: ['networks', 'container'],
  privileged: ['privileged', 'container'],
  init: ['init', 'container'],
  tty: ['tty', 'container'],
  stdinOpen: ['stdin_open', 'container'],
  capAdd: ['cap_add', 'container'],
  capDrop: ['cap_drop', 'container'],
  securityOpt: ['security_opt', 'container'],
  shmSizeBytes: ['shm_size', 'container', 'optional'],
  memoryBytes: ['mem_limit', 'container', 'optional'],
  memoryReservationBytes: ['mem_reservation', 'container', 'optional'],
  memorySwapBytes: ['memswap_limit', 'container', 'optional'],
  cpus: ['cpus', 'container', 'optional'],
  cpusetCpus: ['cpuset', 'container', 'optional'],
  pidsLimit: ['pids_limit', 'container', 'optional'],
  oomScoreAdj: ['oom_score_adj', 'container', 'optional'],
  gpus: ['gpus', 'container', 'optional'],
  runtime: ['runtime', 'container', 'optional'],
  user: ['user', 'container', 'optional'],
  groupAdd: ['group_add', 'container'],
  workingDir: ['working_dir', 'container', 'optional'],
  hostname: ['hostname', 'container', 'optional'],
  extraHosts: ['extra_hosts', 'container'],
  dns: ['dns', 'container'],
  ipc: ['ipc', 'container', 'optional'],
  pid: ['pid', 'container', 'optional'],
  cgroupns: ['cgroup', 'container', 'optional'],
  readOnly: ['read_only', 'container'],
  stopSignal: ['stop_signal', 'container', 'optional'],
  // Relight stops containers itself and gives the time with the call.
  stopGracePeriodMs: ['stop_grace_period', 'none', 'optional'],
  labels: ['labels', 'container'],
  sysctls: ['sysctls', 'container'],
  logging: ['logging', 'container'],
};

const mountTable: Table<MountSpec> = {
  name: ['name', 'container'],
  target: ['target', 'container'],
  type: ['type', 'container'],
  bucket: ['bucket', 'container', 'optional'],
  onlyDir: ['only_dir', 'container', 'optional'],
  implicitDirs: ['implicit_dirs', 'container', 'optional'],
  options: ['options', 'container', 'optional'],
  run: ['run', 'container', 'optional'],
  timeoutMs: ['timeout', 'none'],
  check: ['check', 'none'],
};

const stepTable: Table<Omit<SetupStep, 'kind'>> = {
  name: ['name', 'none'],
  run: ['run', 'container'],
  optional: ['optional', 'none'],
  timeoutMs: ['timeout', 'none'],
  retry: ['retry', 'none'],
  verify: ['verify', 'none'],
};

const processTable: Table<ProcessSpec> = {
  run: ['run', 'process'],
  before: ['before', 'process'],
  stopTimeoutMs: ['stop_timeout', 'none'],
  maxRuntimeMs: ['max_runtime', 'none'],
};

/** Changed fields, in the order of the specification; an added or removed mount or step is one change. */
export function compareWorkload(before: WorkloadSpec, after: WorkloadSpec): readonly Change[] {
  return compareFingerprints(
    digests(before, (text) => text),
    digests(after, (text) => text),
  );
}

/** It has every field that this version knows to have a value always: one that was stored by another version may not. */
export function isWhole(spec: WorkloadSpec): boolean {
  const steps = spec.setup.filter((item) => item.kind === 'step');
  return (
    has(workloadTable, spec) &&
    has(containerTable, spec.container) &&
    spec.mounts.every((mount) => has(mountTable, mount)) &&
    steps.every((step) => has(stepTable, step)) &&
    (spec.process === null || has(processTable, spec.process))
  );
}

const has = (table: Readonly<Record<string, Row>>, values: object): boolean =>
  Object.entries(table).every(([key, [, , presence]]) => presence === 'optional' || (values as Record<string, unknown>)[key] !== undefined);

/** Field → digest, kept as a label of the container: changes can be told without a state directory, and secrets cannot be read. */
export function specFingerprint(spec: WorkloadSpec): Readonly<Record<string, string>> {
  return digests(spec, (text) => createHash('sha256').update(text).digest('hex').slice(0, 8));
}

/** As `compareWorkload`, for two fingerprints. A field that only one side knows belongs to another version of Relight: no change. */
export function compareFingerprints(before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>): readonly Change[] {
  const impacts = impactByField();
  const changed = Object.keys(after).filter((field) => before[field] !== undefined && before[field] !== after[field]);
  const [then, now] = [membersOf(before), membersOf(after)];
  const comings = [...new Set([...then, ...now])].filter((name) => !then.has(name) || !now.has(name));
  return [
    ...changed.map((field): Change => ({ field, impact: impacts.get(generic(field)) ?? 'none' })),
    ...comings.map((field): Change => ({ field, impact: 'container' })),
  ];
}

const membersOf = (fingerprint: Readonly<Record<string, string>>): Set<string> =>
  new Set(Object.keys(fingerprint).flatMap((field) => member(field) ?? []));

/** `mounts[data]` of `mounts[data].target`. */
const member = (field: string): string | undefined => /^(?:mounts|setup)\[.*\]/.exec(field)?.[0];
/** `mounts[data].target` → `mounts[].target` */
const generic = (field: string): string => field.replace(/^(mounts|setup)\[.*\]/, '$1[]');

/** Of a field as `compareWorkload` names it, with `[]` for the name of a mount or step; undefined: it is not compared by itself. */
export const impactOf = (field: string): Impact | undefined => impactByField().get(field);

function impactByField(): ReadonlyMap<string, Impact> {
  const of = (prefix: string, table: Readonly<Record<string, Row>>): (readonly [string, Impact])[] =>
    Object.values(table).map(([yaml, impact]) => [`${prefix}${yaml}`, impact]);
  return new Map([
    ...of('', workloadTable),
    ...of('container.', containerTable),
    ...of('mounts[].', mountTable),
    ['setup.order', 'container'],
    ...of('setup[].', stepTable),
    ...of('process.', processTable),
  ]);
}

const noProcess: Readonly<Record<keyof ProcessSpec, null>> = { run: null, before: null, stopTimeoutMs: null, maxRuntimeMs: null };

function digests(spec: WorkloadSpec, digest: (text: string) => string): Readonly<Record<string, string>> {
  const steps = spec.setup.filter((item) => item.kind === 'step');
  const order = spec.setup.map((item) => (item.kind === 'step' ? item.name : `mount ${item.mount}`));
  const fields: (readonly [string, unknown])[] = [
    ...flat('', workloadTable, spec),
    ...flat('container.', containerTable, spec.container),
    ...spec.mounts.flatMap((mount) => flat(`mounts[${mount.name}].`, mountTable, mount)),
    ['setup.order', order.length < 2 ? [] : order],
    ...steps.flatMap((step) => flat(`setup[${step.name}].`, stepTable, step)),
    ...flat('process.', processTable, spec.process ?? noProcess),
  ];
  return Object.fromEntries(fields.map(([field, value]) => [field, digest(canonical(value))]));
}

function flat(prefix: string, table: Readonly<Record<string, Row>>, values: object): (readonly [string, unknown])[] {
  const byKey = values as Readonly<Record<string, unknown>>;
  return Object.entries(table)
    .filter(([key, [, , presence]]) => presence === 'optional' || byKey[key] !== undefined)
    .map(([key, [yaml]]) => [`${prefix}${yaml}`, byKey[key] ?? null]);
}

/** JSON with sorted keys: the order in which somebody wrote an environment means nothing. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
