import { RelightError } from '@relight/shared/errors';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../load.ts';
import { splitShellWords } from '../shell-words.ts';
import type { ContainerSpec } from '../spec.ts';
import { importContainer } from './container.ts';
import { importDockerRun } from './docker-run.ts';
import type { Imported } from './draft.ts';

const words = (text: string): readonly string[] => splitShellWords(text) ?? [];
function load({ yaml }: Imported): ContainerSpec {
  const workload = parseConfig(yaml, '/etc/a.yaml', { hostname: 'h' }).workloads[0];
  if (workload === undefined) throw new Error('no workload');
  return workload.container;
}
const run = (text: string): ContainerSpec => load(importDockerRun(words(`docker run ${text}`)));
const lost = (text: string): readonly string[] => importDockerRun(words(`docker run ${text}`)).notCarriedOver;

describe('docker run', () => {
  it('carries over what a TPU worker in the field is started with', () => {
    const text = `docker run --rm --name ray_docker -d -it --privileged --ulimit memlock=-1:-1 --ulimit nofile=1048576:1048576
      --shm-size=200gb -v "/tmp:/tmp" -v /var/run/docker.sock:/var/run/docker.sock -e LC_ALL=C.UTF-8 -e 'MSG=a "b" $C' --net=host
      us-docker.pkg.dev/marin/ray:latest bash -c 'sleep infinity'`;
    const imported = importDockerRun(words(text));
    expect(imported.notCarriedOver).toEqual(['--rm: Relight removes containers itself, after it has kept the evidence']);
    expect(load(imported)).toEqual({
      ...run('busybox'),
      name: 'ray_docker',
      image: 'us-docker.pkg.dev/marin/ray:latest',
      command: ['bash', '-c', 'sleep infinity'],
      environment: { LC_ALL: 'C.UTF-8', MSG: 'a "b" $C' },
      tty: true,
      stdinOpen: true,
      privileged: true,
      networkMode: 'host',
      shmSizeBytes: 200 * 1024 ** 3,
      ulimits: { core: { soft: 0, hard: 0 }, memlock: { soft: -1, hard: -1 }, nofile: { soft: 1048576, hard: 1048576 } },
      volumes: [
        { type: 'bind', source: '/tmp', target: '/tmp', readOnly: false },
        { type: 'bind', source: '/var/run/docker.sock', target: '/var/run/docker.sock', readOnly: false },
      ],
    });
  });

  it.each<[string, Partial<ContainerSpec>]>([
    ['busybox', { name: 'busybox', image: 'busybox' }],
    ['reg.io:5000/team/image:tag', { name: 'image' }],
    ['-dit busybox', { tty: true, stdinOpen: true }],
    ['-e=A=1 -eB=2 busybox', { environment: { A: '1', B: '2' } }],
    ['--tty=false --privileged=1 busybox', { tty: false, privileged: true }],
    ['--entrypoint "" busybox', { entrypoint: [] }],
    ['--entrypoint "/my app" busybox -x', { entrypoint: ['/my app'], command: ['-x'] }],
    ['-m 1000 --memory-swap -1 busybox', { memoryBytes: 1000, memorySwapBytes: -1 }],
    ['-m 512m --memory-reservation 256m --pids-limit 0 busybox', { memoryBytes: 2 ** 29, memoryReservationBytes: 2 ** 28, pidsLimit: -1 }],
    ['--gpus all busybox', { gpus: 'all' }],
    ['--gpus 2 busybox', { gpus: 2 }],
    [`--gpus '"device=0,1"' busybox`, { gpus: ['0', '1'] }],
    [`--gpus '"device=0,GPU-a",capabilities=gpu' busybox`, { gpus: ['0', 'GPU-a'] }],
    ['--gpus driver=nvidia,count=3 busybox', { gpus: 3 }],
    [
      '-p 80 -p 127.0.0.1:8080:80/udp busybox',
      {
        ports: [
          { containerPort: 80, protocol: 'tcp', hostIp: '' },
          { containerPort: 80, protocol: 'udp', hostIp: '127.0.0.1', hostPort: 8080 },
        ],
      },
    ],
    [
      '--network n1 --network n2 --network-alias db busybox',
      {
        networks: [
          { name: 'n1', aliases: ['db'] },
          { name: 'n2', aliases: ['db'] },
        ],
      },
    ],
    ['--net container:other busybox', { networkMode: 'container:other' }],
    [
      '--mount type=bind,src=/a,dst=/b,ro,bind-propagation=rshared busybox',
      { volumes: [{ type: 'bind', source: '/a', target: '/b', readOnly: true, propagation: 'rshared' }] },
    ],
    [
      '--mount type=tmpfs,target=/t,tmpfs-size=64m --tmpfs /u:ro busybox',
      {
        tmpfs: [
          { target: '/u', options: 'ro' },
          { target: '/t', options: 'size=64m' },
        ],
      },
    ],
    ['-v data:/d:ro busybox', { volumes: [{ type: 'volume', source: 'data', target: '/d', readOnly: true }] }],
    [
      '--device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor=unconfined busybox',
      {
        devices: [{ source: '/dev/fuse', target: '/dev/fuse', permissions: 'rwm' }],
        capAdd: ['SYS_ADMIN'],
        securityOpt: ['apparmor=unconfined'],
      },
    ],
    ['--log-opt max-size=10m busybox', { logging: { driver: 'json-file', options: { 'max-size': '10m' } } }],
    [
      '--cgroupns private --pid host --ipc host --stop-timeout 5 --pull always busybox',
      { cgroupns: 'private', pid: 'host', ipc: 'host', stopGracePeriodMs: 5_000, pullPolicy: 'always' },
    ],
    ['--env-file a.env --env-file /b.env busybox', { envFile: ['/etc/a.env', '/b.env'] }],
    [
      '--add-host a:1.2.3.4 --dns 1.1.1.1 --sysctl a.b=1 -l x=y -h me -u 1:2 -w /src busybox',
      {
        extraHosts: ['a:1.2.3.4'],
        dns: ['1.1.1.1'],
        sysctls: { 'a.b': '1' },
        labels: { x: 'y' },
        hostname: 'me',
        user: '1:2',
        workingDir: '/src',
      },
    ],
    ['-- busybox -v', { image: 'busybox', command: ['-v'] }],
  ])('%s', (text, expected) => {
    expect(run(text)).toMatchObject(expected);
  });

  it.each<[string, readonly string[]]>([
    ['--rm=0 --restart no busybox', []],
    [
      '--rm --restart always busybox',
      [
        '--rm: Relight removes containers itself, after it has kept the evidence',
        '--restart always: Relight is the only restarter; its policy is under restart: of the workload',
      ],
    ],
    ['--net host -p 80:80 busybox', ['--publish: has no effect with the network of the host']],
    [
      '-e TOKEN busybox',
      ["--env TOKEN: takes its value from the caller's environment; write it under environment: or into a file named in env_file:"],
    ],
    [
      '-v /cache -v /a:/b:z busybox',
      ['--volume /cache: an anonymous volume cannot be found again; give it a name', '--volume /a:/b:z: the option z is not supported yet'],
    ],
    [
      '--platform linux/amd64 --link db busybox',
      ['--platform linux/amd64: not supported yet', '--link db: join a user-defined network with networks:'],
    ],
    ['--mount type=volume,src=a,dst=/b,volume-nocopy busybox', ['--mount volume-nocopy=…: not supported yet']],
    ['--label relight.agent=x busybox', ['--label relight.agent: the prefix relight. is reserved']],
  ])('%s says what it leaves behind', (text, expected) => {
    expect(lost(text)).toEqual(expected);
    expect(() => run(text)).not.toThrow();
  });

  it.each<[readonly string[], string]>([
    [[], 'the command must begin with "docker run", not with ""'],
    [['podmna', 'run', 'x'], 'the command must begin with "docker run", not with "podmna"'],
    [['docker', 'ps'], 'the command must be "docker run", not "docker ps"'],
    [['docker', 'run'], 'the command names no image'],
    [['docker', 'run', '--nam', 'x', 'y'], 'docker run has no flag --nam; did you mean --name?'],
    [['docker', 'run', '-x', 'y'], 'docker run has no flag -x'],
    [['docker', 'run', '--name'], '--name needs a value'],
    [['docker', 'run', '--rm=maybe', 'x'], '--rm is a switch: it takes true or false, not "maybe"'],
    [['docker', 'run', '-m', 'lots', 'x'], '--memory must be a size such as 64m or 100gb, not "lots"'],
    [['docker', 'run', '--mount', 'type=bind,src=/a', 'x'], '--mount type=bind,src=/a: needs target=…'],
  ])('%j is wrong usage', (argv, message) => {
    let thrown: unknown;
    try {
      importDockerRun(argv);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(RelightError);
    expect(thrown).toMatchObject({ code: 'usage', message });
  });

  it('takes the command as one text, and with sudo', () => {
    expect(importDockerRun(['sudo docker container run --name a busybox']).yaml).toBe(
      importDockerRun(words('docker run --name a busybox')).yaml,
    );
  });
});

describe('an existing container', () => {
  const image = {
    Config: { Env: ['PATH=/bin'], Cmd: ['sh'], Entrypoint: null, WorkingDir: '/', Labels: { maker: 'us' }, StopSignal: 'SIGTERM' },
  };
  const document = {
    Name: '/ray_docker',
    Image: 'sha256:abc',
    Config: {
      Image: 'marin/ray:latest',
      Hostname: '0123456789ab',
      Env: ['A=1', 'PATH=/bin', 'RELIGHT_RUN=x'],
      Cmd: ['sleep', 'infinity'],
      Entrypoint: null,
      WorkingDir: '/',
      User: 'ray',
      Labels: { maker: 'us', mine: 'yes', 'com.docker.compose.project': 'p' },
      StopSignal: 'SIGTERM',
      StopTimeout: 5,
      Tty: true,
      OpenStdin: true,
      Healthcheck: { Test: ['CMD', 'x'] },
    },
    HostConfig: {
      AutoRemove: true,
      RestartPolicy: { Name: 'always' },
      Binds: ['/tmp:/tmp', '/a:/b:ro,z', 'vol:/v:rw', '/var/lib/relight/runs/w/1:/run/relight'],
      NetworkMode: 'bridge',
      Privileged: false,
      CapAdd: ['CAP_SYS_ADMIN'],
      CapDrop: null,
      PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '8080' }], '53/udp': [{ HostIp: '::1', HostPort: '' }] },
      CgroupnsMode: 'host',
      IpcMode: 'private',
      PidMode: '',
      Runtime: 'runc',
      ShmSize: 67108864,
      Memory: 2147483648,
      MemorySwap: 4294967296,
      NanoCpus: 1500000000,
      PidsLimit: null,
      OomScoreAdj: 0,
      Ulimits: [{ Name: 'memlock', Soft: -1, Hard: -1 }],
      Devices: [{ PathOnHost: '/dev/fuse', PathInContainer: '/dev/fuse', CgroupPermissions: 'rwm' }],
      DeviceRequests: [{ Driver: '', Count: -1, DeviceIDs: null, Capabilities: [['gpu']] }],
      LogConfig: { Type: 'json-file', Config: {} },
      SecurityOpt: ['label=disable'],
      Tmpfs: { '/t': 'size=1m' },
      Sysctls: null,
      ExtraHosts: ['a:1.2.3.4'],
      Dns: [],
      GroupAdd: null,
      Mounts: [
        { Type: 'bind', Source: '/x', Target: '/y', ReadOnly: true, BindOptions: { Propagation: 'rshared' } },
        { Type: 'bind', Source: '/var/lib/relight/runs/w/2', Target: '/run/relight' },
      ],
      MaskedPaths: ['/proc/kcore'],
      ReadonlyPaths: ['/proc/sys'],
      UTSMode: '',
      UsernsMode: '',
    },
    NetworkSettings: { Networks: { bridge: { Aliases: null } } },
  };

  it('says again what was said, and nothing that the image or the engine says', () => {
    const imported = importContainer(document, image);
    expect(load(imported)).toEqual({
      ...run('busybox'),
      name: 'ray_docker',
      image: 'marin/ray:latest',
      command: ['sleep', 'infinity'],
      environment: { A: '1' },
      labels: { mine: 'yes' },
      user: 'ray',
      tty: true,
      stdinOpen: true,
      networkMode: 'bridge',
      capAdd: ['CAP_SYS_ADMIN'],
      cgroupns: 'host',
      memoryBytes: 2 ** 31,
      cpus: 1.5,
      gpus: 'all',
      stopGracePeriodMs: 5_000,
      extraHosts: ['a:1.2.3.4'],
      ulimits: { core: { soft: 0, hard: 0 }, memlock: { soft: -1, hard: -1 } },
      devices: [{ source: '/dev/fuse', target: '/dev/fuse', permissions: 'rwm' }],
      tmpfs: [{ target: '/t', options: 'size=1m' }],
      ports: [
        { containerPort: 80, protocol: 'tcp', hostIp: '', hostPort: 8080 },
        { containerPort: 53, protocol: 'udp', hostIp: '::1' },
      ],
      volumes: [
        { type: 'bind', source: '/tmp', target: '/tmp', readOnly: false },
        { type: 'bind', source: '/a', target: '/b', readOnly: true },
        { type: 'volume', source: 'vol', target: '/v', readOnly: false },
        { type: 'bind', source: '/x', target: '/y', readOnly: true, propagation: 'rshared' },
      ],
    });
    expect(imported.notCarriedOver).toEqual([
      'labels of Relight and of Docker Compose: their owners set them anew',
      'variables that begin with RELIGHT_: reserved',
      'volume /a:/b:ro,z: the option z is not supported yet',
      '--rm: Relight removes containers itself, after it has kept the evidence',
      'restart policy always: Relight is the only restarter; its policy is under restart: of the workload',
      'health check: write a check under ready: and live: of the workload',
    ]);
  });

  it('repeats what the image sets when there is no image to compare with', () => {
    expect(load(importContainer(document, null))).toMatchObject({
      environment: { A: '1', PATH: '/bin' },
      workingDir: '/',
      labels: { maker: 'us', mine: 'yes' },
    });
  });

  it('joins the networks of its own again, without what the engine added', () => {
    const networks = { net: { Aliases: ['0123456789ab', 'ray_docker', 'db'] } };
    const own = { ...document, HostConfig: { ...document.HostConfig, NetworkMode: 'net' }, NetworkSettings: { Networks: networks } };
    expect(load(importContainer(own, image)).networks).toEqual([{ name: 'net', aliases: ['db'] }]);
  });
});
