/**
 * What a change of the configuration costs a workload that runs. Pure.
 *
 * Every field of WorkloadSpec has its row here, with the name that people write: a new field does not compile without one.
 */
import type { ContainerSpec, MountSpec, ProcessSpec, SetupStep, WorkloadSpec } from './spec.ts';

/** `none`: takes effect by itself. `process`: the process is started anew. `container`: the container is made anew. */
export type Impact = 'none' | 'process' | 'container';
export interface Change {
  /** As in the YAML: `container.image`, `mounts[data].target`. */
  readonly field: string;
  readonly impact: Impact;
}

type Row = readonly [yaml: string, impact: Impact];
type KeysOf<T> = T extends unknown ? keyof T : never;
type Table<T> = { readonly [K in KeysOf<T>]-?: Row };

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
};

const containerTable: Table<ContainerSpec> = {
  name: ['name', 'container'],
  image: ['image', 'container'],
  pullPolicy: ['pull_policy', 'none'],
  onDeath: ['on_death', 'none'],
  command: ['command', 'container'],
  entrypoint: ['entrypoint', 'container'],
  environment: ['environment', 'container'],
  envFile: ['env_file', 'container'],
  volumes: ['volumes', 'container'],
  tmpfs: ['tmpfs', 'container'],
  ports: ['ports', 'container'],
  devices: ['devices', 'container'],
  ulimits: ['ulimits', 'container'],
  networkMode: ['network_mode', 'container'],
  networks: ['networks', 'container'],
  privileged: ['privileged', 'container'],
  init: ['init', 'container'],
  tty: ['tty', 'container'],
  stdinOpen: ['stdin_open', 'container'],
  capAdd: ['cap_add', 'container'],
  capDrop: ['cap_drop', 'container'],
  securityOpt: ['security_opt', 'container'],
  shmSizeBytes: ['shm_size', 'container'],
  memoryBytes: ['mem_limit', 'container'],
  memoryReservationBytes: ['mem_reservation', 'container'],
  memorySwapBytes: ['memswap_limit', 'container'],
  cpus: ['cpus', 'container'],
  cpusetCpus: ['cpuset', 'container'],
  pidsLimit: ['pids_limit', 'container'],
  oomScoreAdj: ['oom_score_adj', 'container'],
  gpus: ['gpus', 'container'],
  runtime: ['runtime', 'container'],
  user: ['user', 'container'],
  groupAdd: ['group_add', 'container'],
  workingDir: ['working_dir', 'container'],
  hostname: ['hostname', 'container'],
  extraHosts: ['extra_hosts', 'container'],
  dns: ['dns', 'container'],
  ipc: ['ipc', 'container'],
  pid: ['pid', 'container'],
  cgroupns: ['cgroup', 'container'],
  readOnly: ['read_only', 'container'],
  stopSignal: ['stop_signal', 'container'],
  // Relight stops containers itself and gives the time with the call.
  stopGracePeriodMs: ['stop_grace_period', 'none'],
  labels: ['labels', 'container'],
  sysctls: ['sysctls', 'container'],
  logging: ['logging', 'container'],
};

const mountTable: Table<MountSpec> = {
  name: ['name', 'container'],
  target: ['target', 'container'],
  type: ['type', 'container'],
  bucket: ['bucket', 'container'],
  onlyDir: ['only_dir', 'container'],
  implicitDirs: ['implicit_dirs', 'container'],
  options: ['options', 'container'],
  run: ['run', 'container'],
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
};

/** Changed fields, in the order of the specification; an added or removed mount or step is one change. */
export function compareWorkload(before: WorkloadSpec, after: WorkloadSpec): readonly Change[] {
  return compare(
    digests(before, (text) => text),
    digests(after, (text) => text),
  );
}

/** Field → digest, kept as a label of the container: changes can be told without a state directory, and secrets cannot be read. */
export function specFingerprint(spec: WorkloadSpec, sha256Hex: (text: string) => string): Readonly<Record<string, string>> {
  return digests(spec, (text) => sha256Hex(text).slice(0, 8));
}

/** As `compareWorkload`. A field that `before` does not know came with a later version of Relight: no change of the configuration. */
export function compareFingerprints(before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>): readonly Change[] {
  const known = new Set(Object.keys(before).map(generic));
  return compare(before, Object.fromEntries(Object.entries(after).filter(([field]) => known.has(generic(field)) || field.includes('['))));
}

function compare(before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>): readonly Change[] {
  const impacts = impactByField();
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const members = new Set([before, after].flatMap((side) => Object.keys(side).map(member)).filter((name) => name !== undefined));
  const inBoth = (name: string | undefined): boolean =>
    [before, after].every((side) => Object.keys(side).some((field) => member(field) === name));
  const changes = fields
    .filter((field) => before[field] !== after[field] && (member(field) === undefined || inBoth(member(field))))
    .map((field): Change => ({ field, impact: impacts.get(generic(field)) ?? 'none' }));
  const comings = [...members].filter((name) => !inBoth(name)).map((field): Change => ({ field, impact: 'container' }));
  return [...changes, ...comings];
}

/** `mounts[data]` of `mounts[data].target`. */
const member = (field: string): string | undefined => /^(?:mounts|setup)\[.*\]/.exec(field)?.[0];
/** `mounts[data].target` → `mounts[].target` */
const generic = (field: string): string => field.replace(/^(mounts|setup)\[.*\]/, '$1[]');

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

function digests(spec: WorkloadSpec, digest: (text: string) => string): Readonly<Record<string, string>> {
  const steps = spec.setup.filter((item) => item.kind === 'step');
  const order = spec.setup.map((item) => (item.kind === 'step' ? item.name : `mount ${item.mount}`));
  const fields: (readonly [string, unknown])[] = [
    ...flat('', workloadTable, spec),
    ...flat('container.', containerTable, spec.container),
    ...spec.mounts.flatMap((mount) => flat(`mounts[${mount.name}].`, mountTable, mount)),
    ['setup.order', order.length < 2 ? [] : order],
    ...steps.flatMap((step) => flat(`setup[${step.name}].`, stepTable, step)),
    ...flat('process.', processTable, spec.process ?? {}),
  ];
  return Object.fromEntries(fields.map(([field, value]) => [field, digest(canonical(value))]));
}

function flat(prefix: string, table: Readonly<Record<string, Row>>, values: object): (readonly [string, unknown])[] {
  const byKey = values as Readonly<Record<string, unknown>>;
  return Object.entries(table).map(([key, [yaml]]) => [`${prefix}${yaml}`, byKey[key] ?? null]);
}

/** JSON with sorted keys: the order in which somebody wrote an environment means nothing. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
