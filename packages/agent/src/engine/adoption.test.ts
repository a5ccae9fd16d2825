import { describe, expect, it } from 'vitest';
import { adoptedCreateOptions, adoptionRefusal, probableSecrets, type AdoptedDocument } from './adoption.ts';
import { ownerFromLabels, ownerFromName, ownerFromProcesses } from './container-owner.ts';

const id = '0123456789abcdef';
const document: AdoptedDocument = {
  Id: id,
  Name: '/ray_docker',
  Config: { Image: 'ray:1', Hostname: '0123456789ab', Env: ['A=1'], Labels: { mine: 'yes' }, Cmd: ['bash'] },
  HostConfig: { NetworkMode: 'bridge', LogConfig: { Type: 'json-file', Config: {} }, RestartPolicy: { Name: 'always' } },
};
const adopted = (
  more: {
    Config?: object;
    HostConfig?: object;
    Mounts?: AdoptedDocument['Mounts'];
    NetworkSettings?: AdoptedDocument['NetworkSettings'];
  } = {},
) =>
  adoptedCreateOptions({
    document: {
      ...document,
      ...more,
      Config: { ...document.Config, ...more.Config },
      HostConfig: { ...document.HostConfig, ...more.HostConfig },
    } as AdoptedDocument,
    labels: { 'relight.agent': 'me' },
    runDirectory: '/runs/w/2',
    runDirectoryTarget: '/run/relight',
  }) as unknown as {
    Hostname?: string;
    Labels: object;
    HostConfig: Record<string, unknown>;
    NetworkingConfig?: object;
    [key: string]: unknown;
  };

const runMount = { Type: 'bind', Source: '/runs/w/2', Target: '/run/relight', ReadOnly: false };

describe('the same container again', () => {
  it('is what the engine said, with Relight as its only restarter', () => {
    expect(adopted()).toEqual({
      Image: 'ray:1',
      Env: ['A=1'],
      Labels: { mine: 'yes', 'relight.agent': 'me' },
      Cmd: ['bash'],
      HostConfig: {
        NetworkMode: 'bridge',
        AutoRemove: false,
        RestartPolicy: { Name: 'no' },
        LogConfig: { Type: 'json-file', Config: { 'max-size': '64m', 'max-file': '3' } },
        Mounts: [runMount],
      },
    });
  });

  it('keeps a hostname that somebody gave, and none that the engine made', () => {
    expect(adopted({ Config: { Hostname: 'worker-7' } }).Hostname).toBe('worker-7');
    expect(adopted().Hostname).toBeUndefined();
    expect(adopted({ Config: { Hostname: 'the-host' }, HostConfig: { NetworkMode: 'host' } }).Hostname).toBeUndefined();
  });

  it('keeps a bounded log and another driver as they are', () => {
    const log = { Type: 'json-file', Config: { 'max-size': '5m' } };
    expect(adopted({ HostConfig: { LogConfig: log } }).HostConfig['LogConfig']).toEqual(log);
    expect(adopted({ HostConfig: { LogConfig: { Type: 'journald', Config: {} } } }).HostConfig['LogConfig']).toEqual({
      Type: 'journald',
      Config: {},
    });
  });

  it('finds anonymous volumes again by the names that they got', () => {
    const more = {
      HostConfig: { Binds: ['named:/data', '/tmp:/tmp'], Mounts: [{ Type: 'volume', Target: '/m' }] },
      Mounts: [
        { Type: 'volume', Name: 'named', Destination: '/data', RW: true },
        { Type: 'bind', Destination: '/tmp', RW: true },
        { Type: 'volume', Name: 'v1', Destination: '/anonymous', RW: false },
        { Type: 'volume', Name: 'v2', Destination: '/m', RW: true },
      ],
    };
    expect(adopted(more).HostConfig['Mounts']).toEqual([
      { Type: 'volume', Target: '/m', Source: 'v2' },
      { Type: 'volume', Source: 'v1', Target: '/anonymous', ReadOnly: true },
      runMount,
    ]);
  });

  it('joins its networks under its own aliases, and says links as they are given', () => {
    const networks = {
      train: { Aliases: ['0123456789ab', 'ray_docker', 'head'], IPAMConfig: { IPv4Address: '10.9.0.5' }, Links: null },
      bridge: { Aliases: null },
    };
    const body = adopted({
      HostConfig: { NetworkMode: 'train', Links: ['/db:/ray_docker/database'] },
      NetworkSettings: { Networks: networks },
    });
    expect(body.NetworkingConfig).toEqual({ EndpointsConfig: { train: { Aliases: ['head'], IPAMConfig: { IPv4Address: '10.9.0.5' } } } });
    expect(body.HostConfig['Links']).toEqual(['db:database']);
  });

  it("leaves Compose's labels to Compose", () => {
    expect(adopted({ Config: { Labels: { 'com.docker.compose.project': 'p', 'relight.agent': 'other', a: 'b' } } }).Labels).toEqual({
      a: 'b',
      'relight.agent': 'me',
    });
  });
});

describe('refuses', () => {
  it.each<[string, object, string | null]>([
    ['nothing of a plain container', {}, null],
    ['--rm', { HostConfig: { AutoRemove: true } }, 'was started with --rm'],
    ['a task of Swarm', { Config: { Labels: { 'com.docker.swarm.task.id': 't' } } }, 'belongs to Docker Swarm'],
    ['a container of Kubernetes', { Config: { Labels: { 'io.kubernetes.pod.name': 'p' } } }, 'belongs to Kubernetes'],
  ])('%s', (_, more, why) => {
    const refusal = adoptionRefusal({
      ...document,
      ...more,
      Config: { ...document.Config, ...(more as { Config?: object }).Config },
      HostConfig: { ...document.HostConfig, ...(more as { HostConfig?: object }).HostConfig },
    });
    expect(refusal?.why ?? '').toContain(why ?? '');
    expect(refusal === null).toBe(why === null);
  });
});

it('takes for secret what is called so', () => {
  const env = ['HF_TOKEN=a', 'WANDB_API_KEY=b', 'DB_PASSWORD=c', 'PATH=/bin', 'TOKENIZERS=x', 'BROKEN'];
  expect(probableSecrets({ ...document, Config: { Env: env } })).toEqual(['a', 'b', 'c', 'x']);
});

describe('the other owner', () => {
  it.each<[Record<string, string>, string | null]>([
    [{}, null],
    [
      { 'com.docker.compose.project': 'p', 'com.docker.compose.service': 's', 'com.docker.compose.project.config_files': '/srv/c.yaml' },
      'Docker Compose (project p, service s, /srv/c.yaml)',
    ],
    [{ 'com.docker.swarm.service.name': 's' }, 'Docker Swarm (service s)'],
    [{ 'io.kubernetes.pod.name': 'p', 'io.kubernetes.pod.namespace': 'n' }, 'Kubernetes (pod n/p)'],
    [{ 'com.hashicorp.nomad.job_name': 'j' }, 'Nomad (j)'],
  ])('of %j', (labels, who) => {
    expect(ownerFromLabels(labels)?.who ?? null).toBe(who);
  });

  it('of a container that is called as ray up calls its own', () => {
    expect(ownerFromName('ray_container')?.who).toContain('ray up');
    expect(ownerFromName('my_ray_container')).toBeNull();
  });

  const client = (argv: readonly string[], cgroup = '0::/system.slice/ray.service') => [{ pid: 7, argv, cgroup }];
  it.each<[readonly string[], string | undefined, string | null]>([
    [['/usr/bin/docker', 'run', '--rm', '--name', 'ray_docker', 'x'], undefined, 'the systemd unit ray.service (docker run, pid 7)'],
    [['docker', 'start', '-a', 'ray_docker'], '0::/user.slice/user-0.slice/session-1.scope', 'docker start -a ray_docker … (pid 7)'],
    [['docker', 'run', '--name=ray_docker2', 'x'], undefined, null],
    [['docker', 'logs', 'ray_docker'], undefined, null],
    [['ray', 'run', 'ray_docker'], undefined, null],
  ])('of %j', (argv, cgroup, who) => {
    expect(ownerFromProcesses('ray_docker', client(argv, cgroup))?.who ?? null).toBe(who);
  });
});
