/**
 * From a container's specification to the body of `POST /containers/create`. Pure: the same input gives the same body.
 *
 * Paths of `volumes` become `Binds`, as `docker run -v` and Compose's short form do it: a missing source directory is
 * created. Only the run directory is a strict mount: when it is missing the container must not start with an empty one.
 */
import { isSecretName } from '../config/secret-names.ts';
import type { ContainerSpec, VolumeSpec } from '../config/spec.ts';
import { runDirectoryTarget } from '../stages/runs.ts';
import type { RunOwner } from '../supervisor/run-id.ts';
import type { ContainerFacts } from './engine.ts';

/** Labels of every managed container. `spec` holds the fingerprint of the specification, as JSON. */
export const managedLabels = {
  agent: 'relight.agent',
  workload: 'relight.workload',
  generation: 'relight.generation',
  spec: 'relight.spec',
  /** Names, never values, of what came from env files or is secret by its name: a later agent learns from it what to keep secret. */
  secrets: 'relight.secrets',
} as const;

/** Of a container with these labels. */
export const runOwnerByLabels = ({ labels }: Pick<ContainerFacts, 'labels'>): RunOwner => ({
  owner: labels[managedLabels.agent] ?? '',
  workload: labels[managedLabels.workload] ?? '',
  generation: Number(labels[managedLabels.generation]),
});

/** 3 × 64 MiB: hours of a talkative worker, and a bound; the engine's own default is one file without limit. */
const boundedLog = { Type: 'json-file', Config: { 'max-size': '64m', 'max-file': '3' } } as const;

export interface MountOptions {
  readonly Type: 'bind' | 'volume';
  readonly Source: string;
  readonly Target: string;
  readonly ReadOnly: boolean;
  readonly BindOptions?: { readonly Propagation: string };
}

interface DeviceRequest {
  readonly Count?: number;
  readonly DeviceIDs?: readonly string[];
  readonly Capabilities: readonly (readonly string[])[];
}

interface HostOptions {
  readonly AutoRemove: false;
  readonly RestartPolicy: { readonly Name: 'no' };
  readonly LogConfig: { readonly Type: string; readonly Config: Readonly<Record<string, string>> };
  readonly Mounts: readonly MountOptions[];
  readonly Binds?: readonly string[];
  readonly Tmpfs?: Readonly<Record<string, string>>;
  readonly PortBindings?: Readonly<Record<string, readonly { readonly HostIp: string; readonly HostPort: string }[]>>;
  readonly NetworkMode?: string;
  readonly Privileged: boolean;
  readonly ReadonlyRootfs: boolean;
  readonly Init?: boolean;
  readonly CapAdd?: readonly string[];
  readonly CapDrop?: readonly string[];
  readonly SecurityOpt?: readonly string[];
  readonly MaskedPaths?: readonly string[];
  readonly ReadonlyPaths?: readonly string[];
  readonly Devices?: readonly { readonly PathOnHost: string; readonly PathInContainer: string; readonly CgroupPermissions: string }[];
  readonly DeviceRequests?: readonly DeviceRequest[];
  readonly Ulimits?: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[];
  readonly ShmSize?: number;
  readonly Memory?: number;
  readonly MemoryReservation?: number;
  readonly MemorySwap?: number;
  readonly NanoCpus?: number;
  readonly CpusetCpus?: string;
  readonly PidsLimit?: number;
  readonly OomScoreAdj?: number;
  readonly Runtime?: string;
  readonly GroupAdd?: readonly string[];
  readonly ExtraHosts?: readonly string[];
  readonly Dns?: readonly string[];
  readonly IpcMode?: string;
  readonly PidMode?: string;
  readonly CgroupnsMode?: string;
  readonly Sysctls?: Readonly<Record<string, string>>;
}

/** The body of `POST /containers/create`, as far as Relight produces it. Sizes in bytes, `StopTimeout` in seconds. */
export interface CreateOptions {
  readonly Image: string;
  readonly Env: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
  readonly Cmd?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly Hostname?: string;
  readonly Tty: boolean;
  readonly OpenStdin: boolean;
  readonly StopSignal?: string;
  readonly StopTimeout?: number;
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
  readonly HostConfig: HostOptions;
  /** All networks. An engine before API 1.44 takes one at create: the adapter connects the others before it returns. */
  readonly NetworkingConfig?: { readonly EndpointsConfig: Readonly<Record<string, { readonly Aliases?: readonly string[] }>> };
}

export interface CreateInput {
  readonly spec: ContainerSpec;
  readonly workload: string;
  readonly generation: number;
  readonly ownerId: string;
  /** Field → digest, stored as a label so that a later agent can tell what changed. */
  readonly fingerprint: Readonly<Record<string, string>>;
  /** Host path that becomes /run/relight; must exist. */
  readonly runDirectory: string;
  /** Contents of env_file; `environment` wins over them, as in Compose. */
  readonly secrets: Readonly<Record<string, string>>;
}

export function createOptions(input: CreateInput): CreateOptions {
  const { spec } = input;
  // Those that a later agent has to hide, too, whatever its configuration says by then.
  const secretNames = [...new Set([...Object.keys(input.secrets), ...Object.keys(spec.environment).filter(isSecretName)])];
  return {
    Image: spec.image,
    Env: Object.entries({ ...input.secrets, ...spec.environment }).map(([name, value]) => `${name}=${value}`),
    Labels: {
      ...spec.labels,
      [managedLabels.agent]: input.ownerId,
      [managedLabels.workload]: input.workload,
      [managedLabels.generation]: String(input.generation),
      [managedLabels.spec]: JSON.stringify(input.fingerprint),
      ...(secretNames.length === 0 ? {} : { [managedLabels.secrets]: secretNames.join(',') }),
    },
    Tty: spec.tty,
    OpenStdin: spec.stdinOpen,
    ...given({
      Cmd: spec.command,
      Entrypoint: spec.entrypoint,
      User: spec.user,
      WorkingDir: spec.workingDir,
      Hostname: spec.hostname,
      StopSignal: spec.stopSignal,
      StopTimeout: spec.stopGracePeriodMs === undefined ? undefined : Math.ceil(spec.stopGracePeriodMs / 1_000),
      ExposedPorts: nonEmpty(Object.fromEntries(spec.ports.map((port) => [portKey(port), {}]))),
      NetworkingConfig: networking(spec),
    }),
    HostConfig: hostOptions(spec, input.runDirectory),
  };
}

function hostOptions(spec: ContainerSpec, runDirectory: string): HostOptions {
  const strict = spec.volumes.filter((volume) => volume.source.includes(':') || volume.target.includes(':'));
  const runMount: MountOptions = { Type: 'bind', Source: runDirectory, Target: runDirectoryTarget, ReadOnly: false };
  return {
    AutoRemove: false,
    RestartPolicy: { Name: 'no' },
    LogConfig: spec.logging === null ? boundedLog : { Type: spec.logging.driver, Config: spec.logging.options },
    Mounts: [...strict.map(mountOptions), runMount],
    Privileged: spec.privileged,
    ReadonlyRootfs: spec.readOnly,
    ...given({
      Binds: nonEmpty(spec.volumes.filter((volume) => !strict.includes(volume)).map(bind)),
      Tmpfs: nonEmpty(Object.fromEntries(spec.tmpfs.map(({ target, options }) => [target, options]))),
      PortBindings: nonEmpty(portBindings(spec)),
      NetworkMode: spec.networkMode ?? spec.networks[0]?.name,
      Init: spec.init ? true : undefined,
      CapAdd: nonEmpty(spec.capAdd),
      CapDrop: nonEmpty(spec.capDrop),
      Devices: nonEmpty(
        spec.devices.map(({ source, target, permissions }) => ({
          PathOnHost: source,
          PathInContainer: target,
          CgroupPermissions: permissions,
        })),
      ),
      DeviceRequests: spec.gpus === undefined ? undefined : [gpuRequest(spec.gpus)],
      Ulimits: nonEmpty(Object.entries(spec.ulimits).map(([name, { soft, hard }]) => ({ Name: name, Soft: soft, Hard: hard }))),
      ShmSize: spec.shmSizeBytes,
      Memory: spec.memoryBytes,
      MemoryReservation: spec.memoryReservationBytes,
      MemorySwap: spec.memorySwapBytes,
      NanoCpus: spec.cpus === undefined ? undefined : Math.round(spec.cpus * 1e9),
      CpusetCpus: spec.cpusetCpus,
      PidsLimit: spec.pidsLimit,
      OomScoreAdj: spec.oomScoreAdj,
      Runtime: spec.runtime,
      GroupAdd: nonEmpty(spec.groupAdd),
      ExtraHosts: nonEmpty(spec.extraHosts),
      Dns: nonEmpty(spec.dns),
      IpcMode: spec.ipc,
      PidMode: spec.pid,
      CgroupnsMode: spec.cgroupns,
      Sysctls: nonEmpty(spec.sysctls),
    }),
    ...securityOptions(spec.securityOpt),
  };
}

/** `systempaths=unconfined` is a word of the CLI only: the engine wants the two lists empty instead. */
function securityOptions(options: readonly string[]): Pick<HostOptions, 'SecurityOpt' | 'MaskedPaths' | 'ReadonlyPaths'> {
  const isSystemPaths = (option: string): boolean => option === 'systempaths=unconfined';
  const rest = options.filter((option) => !isSystemPaths(option));
  return {
    ...(rest.length > 0 ? { SecurityOpt: rest } : {}),
    ...(options.some(isSystemPaths) ? { MaskedPaths: [], ReadonlyPaths: [] } : {}),
  };
}

function bind({ source, target, readOnly, propagation }: VolumeSpec): string {
  const options = [readOnly ? 'ro' : 'rw', ...(propagation === undefined ? [] : [propagation])];
  return `${source}:${target}:${options.join(',')}`;
}

/** A path with a colon cannot be written as a bind. */
function mountOptions({ type, source, target, readOnly, propagation }: VolumeSpec): MountOptions {
  return {
    Type: type,
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    ...(type === 'bind' && propagation !== undefined ? { BindOptions: { Propagation: propagation } } : {}),
  };
}

const portKey = (port: ContainerSpec['ports'][number]): string => `${port.containerPort}/${port.protocol}`;

function portBindings(spec: ContainerSpec): NonNullable<HostOptions['PortBindings']> {
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const port of spec.ports) {
    (bindings[portKey(port)] ??= []).push({ HostIp: port.hostIp, HostPort: port.hostPort === undefined ? '' : String(port.hostPort) });
  }
  return bindings;
}

function gpuRequest(gpus: NonNullable<ContainerSpec['gpus']>): DeviceRequest {
  const Capabilities = [['gpu']];
  if (gpus === 'all') return { Count: -1, Capabilities };
  return typeof gpus === 'number' ? { Count: gpus, Capabilities } : { DeviceIDs: gpus, Capabilities };
}

function networking(spec: ContainerSpec): CreateOptions['NetworkingConfig'] | undefined {
  if (spec.networks.length === 0) return undefined;
  const endpoints = spec.networks.map(({ name, aliases }) => [name, aliases.length > 0 ? { Aliases: aliases } : {}] as const);
  return { EndpointsConfig: Object.fromEntries(endpoints) };
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Leaves out what was not given, so that the engine's own default holds. */
function given<T extends object>(fields: T): Given<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;
}

function nonEmpty<T extends object>(value: T): T | undefined {
  return Object.keys(value).length > 0 ? value : undefined;
}
