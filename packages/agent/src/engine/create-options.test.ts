import { describe, expect, it } from 'vitest';
import { bareContainer } from '../../../../test/support/specs.ts';
import type { ContainerSpec } from '../config/spec.ts';
import { createOptions, type CreateInput, type CreateOptions } from './create-options.ts';

const bare = bareContainer({ name: 'ray_docker', image: 'ray:latest' });

const body = (spec: Partial<ContainerSpec>, more: Partial<CreateInput> = {}): CreateOptions =>
  createOptions({
    spec: { ...bare, ...spec },
    workload: 'ray-worker',
    generation: 3,
    ownerId: 'owner',
    fingerprint: { image: 'abc' },
    runDirectory: '/var/lib/relight/runs/ray-worker',
    secrets: {},
    ...more,
  });

type Changes = Partial<Omit<CreateOptions, 'HostConfig'>> & { HostConfig?: Partial<CreateOptions['HostConfig']> };
type Row<K extends keyof ContainerSpec> = readonly [value: NonNullable<ContainerSpec[K]>, changes: Changes];

const runMount = { Type: 'bind', Source: '/var/lib/relight/runs/ray-worker', Target: '/run/relight', ReadOnly: false } as const;
const relightLabels = {
  'relight.agent': 'owner',
  'relight.workload': 'ray-worker',
  'relight.generation': '3',
  'relight.spec': '{"image":"abc"}',
};

/** Every field of a container, and all that it changes in the body. A field without a row does not compile. */
const fields: { readonly [K in keyof Required<ContainerSpec>]: readonly Row<K>[] } = {
  // Used by stages, not part of the body.
  name: [['other', {}]],
  pullPolicy: [['always', {}]],
  onDeath: [['start', {}]],
  adopt: [['ray_docker', {}]],
  adoptedId: [['0123', {}]],
  envFile: [[['/etc/secrets.env'], {}]],

  image: [['ray:2.9', { Image: 'ray:2.9' }]],
  command: [
    [['sleep', 'infinity'], { Cmd: ['sleep', 'infinity'] }],
    [[], { Cmd: [] }],
  ],
  entrypoint: [[['/bin/tini', '--'], { Entrypoint: ['/bin/tini', '--'] }]],
  environment: [[{ BUCKET: 'b', EMPTY: '' }, { Env: ['BUCKET=b', 'EMPTY='] }]],
  volumes: [
    [[{ type: 'bind', source: '/tmp', target: '/tmp', readOnly: false }], { HostConfig: { Binds: ['/tmp:/tmp:rw'] } }],
    [
      [
        { type: 'bind', source: '/a', target: '/b', readOnly: true, propagation: 'rslave' },
        { type: 'volume', source: 'cache', target: '/c', readOnly: false },
      ],
      { HostConfig: { Binds: ['/a:/b:ro,rslave', 'cache:/c:rw'] } },
    ],
    [
      [{ type: 'bind', source: '/with:colon', target: '/b', readOnly: true, propagation: 'shared' }],
      {
        HostConfig: {
          Mounts: [{ Type: 'bind', Source: '/with:colon', Target: '/b', ReadOnly: true, BindOptions: { Propagation: 'shared' } }, runMount],
        },
      },
    ],
  ],
  tmpfs: [[[{ target: '/scratch', options: 'size=1g' }], { HostConfig: { Tmpfs: { '/scratch': 'size=1g' } } }]],
  ports: [
    [
      [
        { containerPort: 80, protocol: 'tcp', hostIp: '127.0.0.1', hostPort: 8080 },
        { containerPort: 80, protocol: 'tcp', hostIp: '', hostPort: 8081 },
        { containerPort: 53, protocol: 'udp', hostIp: '' },
      ],
      {
        ExposedPorts: { '80/tcp': {}, '53/udp': {} },
        HostConfig: {
          PortBindings: {
            '80/tcp': [
              { HostIp: '127.0.0.1', HostPort: '8080' },
              { HostIp: '', HostPort: '8081' },
            ],
            '53/udp': [{ HostIp: '', HostPort: '' }],
          },
        },
      },
    ],
  ],
  devices: [
    [
      [{ source: '/dev/accel0', target: '/dev/accel1', permissions: 'rw' }],
      { HostConfig: { Devices: [{ PathOnHost: '/dev/accel0', PathInContainer: '/dev/accel1', CgroupPermissions: 'rw' }] } },
    ],
  ],
  ulimits: [
    [
      { memlock: { soft: -1, hard: -1 }, nofile: { soft: 1024, hard: 1048576 } },
      {
        HostConfig: {
          Ulimits: [
            { Name: 'memlock', Soft: -1, Hard: -1 },
            { Name: 'nofile', Soft: 1024, Hard: 1048576 },
          ],
        },
      },
    ],
  ],
  networkMode: [['host', { HostConfig: { NetworkMode: 'host' } }]],
  networks: [
    [
      [
        { name: 'front', aliases: ['web'] },
        { name: 'back', aliases: [] },
      ],
      { HostConfig: { NetworkMode: 'front' }, NetworkingConfig: { EndpointsConfig: { front: { Aliases: ['web'] }, back: {} } } },
    ],
  ],
  privileged: [[true, { HostConfig: { Privileged: true } }]],
  init: [[true, { HostConfig: { Init: true } }]],
  tty: [[true, { Tty: true }]],
  stdinOpen: [[true, { OpenStdin: true }]],
  capAdd: [[['SYS_ADMIN'], { HostConfig: { CapAdd: ['SYS_ADMIN'] } }]],
  capDrop: [[['ALL'], { HostConfig: { CapDrop: ['ALL'] } }]],
  securityOpt: [
    [['apparmor=unconfined'], { HostConfig: { SecurityOpt: ['apparmor=unconfined'] } }],
    [['systempaths=unconfined'], { HostConfig: { MaskedPaths: [], ReadonlyPaths: [] } }],
  ],
  shmSizeBytes: [[107374182400, { HostConfig: { ShmSize: 107374182400 } }]],
  memoryBytes: [[1 << 30, { HostConfig: { Memory: 1 << 30 } }]],
  memoryReservationBytes: [[1 << 29, { HostConfig: { MemoryReservation: 1 << 29 } }]],
  memorySwapBytes: [[-1, { HostConfig: { MemorySwap: -1 } }]],
  cpus: [
    [1.5, { HostConfig: { NanoCpus: 1_500_000_000 } }],
    [0.1 + 0.2, { HostConfig: { NanoCpus: 300_000_000 } }],
  ],
  cpusetCpus: [['0-3', { HostConfig: { CpusetCpus: '0-3' } }]],
  pidsLimit: [[-1, { HostConfig: { PidsLimit: -1 } }]],
  oomScoreAdj: [[-500, { HostConfig: { OomScoreAdj: -500 } }]],
  gpus: [
    ['all', { HostConfig: { DeviceRequests: [{ Count: -1, Capabilities: [['gpu']] }] } }],
    [2, { HostConfig: { DeviceRequests: [{ Count: 2, Capabilities: [['gpu']] }] } }],
    [['0', 'GPU-3a2b'], { HostConfig: { DeviceRequests: [{ DeviceIDs: ['0', 'GPU-3a2b'], Capabilities: [['gpu']] }] } }],
  ],
  runtime: [['nvidia', { HostConfig: { Runtime: 'nvidia' } }]],
  user: [['1000:1000', { User: '1000:1000' }]],
  groupAdd: [[['video'], { HostConfig: { GroupAdd: ['video'] } }]],
  workingDir: [['/home/ray', { WorkingDir: '/home/ray' }]],
  hostname: [['worker', { Hostname: 'worker' }]],
  extraHosts: [[['head:10.0.0.1'], { HostConfig: { ExtraHosts: ['head:10.0.0.1'] } }]],
  dns: [[['8.8.8.8'], { HostConfig: { Dns: ['8.8.8.8'] } }]],
  ipc: [['host', { HostConfig: { IpcMode: 'host' } }]],
  pid: [['host', { HostConfig: { PidMode: 'host' } }]],
  cgroupns: [['private', { HostConfig: { CgroupnsMode: 'private' } }]],
  readOnly: [[true, { HostConfig: { ReadonlyRootfs: true } }]],
  stopSignal: [['SIGINT', { StopSignal: 'SIGINT' }]],
  stopGracePeriodMs: [
    [1_500, { StopTimeout: 2 }],
    [0, { StopTimeout: 0 }],
  ],
  labels: [[{ team: 'infra', 'relight.agent': 'forged' }, { Labels: { team: 'infra', ...relightLabels } }]],
  sysctls: [[{ 'net.core.somaxconn': '1024' }, { HostConfig: { Sysctls: { 'net.core.somaxconn': '1024' } } }]],
  logging: [[{ driver: 'journald', options: { tag: 'x' } }, { HostConfig: { LogConfig: { Type: 'journald', Config: { tag: 'x' } } } }]],
};

describe('createOptions', () => {
  it('gives the least body, with bounded logs, no restarts by the engine and the run directory', () => {
    expect(body({})).toEqual({
      Image: 'ray:latest',
      Env: [],
      Labels: relightLabels,
      Tty: false,
      OpenStdin: false,
      HostConfig: {
        AutoRemove: false,
        RestartPolicy: { Name: 'no' },
        LogConfig: { Type: 'json-file', Config: { 'max-size': '64m', 'max-file': '3' } },
        Mounts: [runMount],
        Privileged: false,
        ReadonlyRootfs: false,
      },
    });
  });

  const rows = Object.entries(fields).flatMap(([field, list]) =>
    list.map(([value, changes]) => ({ field, value: value as unknown, changes })),
  );
  it.each(rows)('$field: $value', ({ field, value, changes }) => {
    const before = body({});
    const { HostConfig, ...rest } = changes;
    expect(body({ [field]: value })).toEqual({ ...before, ...rest, HostConfig: { ...before.HostConfig, ...HostConfig } });
  });

  it('lets environment win over env_file', () => {
    expect(body({ environment: { A: 'given' } }, { secrets: { A: 'file', B: 'file' } }).Env).toEqual(['A=given', 'B=file']);
  });

  it('is the same for the same input', () => {
    expect(JSON.stringify(body({ privileged: true }))).toBe(JSON.stringify(body({ privileged: true })));
  });
});
