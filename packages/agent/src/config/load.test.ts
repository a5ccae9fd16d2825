import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RelightError } from '@relight/shared/errors';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { loadConfig, parseConfig } from './load.ts';
import type { AgentSpec, ContainerSpec, WorkloadSpec } from './spec.ts';

const env = { hostname: 'host-a' };
const parse = (text: string): AgentSpec => parseConfig(text, '/etc/relight/agent.yaml', env);
const workload = (fields: object): WorkloadSpec => {
  const spec = parse(stringify({ version: 1, workloads: [{ name: 'w', container: { image: 'busybox' }, ...fields }] })).workloads[0];
  if (spec === undefined) throw new Error('no workload');
  return spec;
};
const container = (fields: object): ContainerSpec => workload({ container: { image: 'busybox', ...fields } }).container;

it('knows groups of the host by their ids', () => {
  const groupId = (name: string): number | null => (name === 'adm' ? 4 : null);
  const text = 'version: 1\nworkloads: []\ncontrol: {group: adm}';
  expect(parseConfig(text, 'agent.yaml', { ...env, groupId }).control).toEqual({ group: { name: 'adm', id: 4 } });
});

it('takes a group whose directory is away', () => {
  const text = 'version: 1\nworkloads: []\ncontrol: {group: research}';
  expect(parseConfig(text, 'agent.yaml', { ...env, groupId: () => 'away' }).control).toEqual({ group: { name: 'research', id: null } });
});

it('says apart where a file is wrong, for those who may not see what stands there', () => {
  const text = 'version: 1\nworkloads: hunter2\ncontrol: {group: 4}';
  const places = ['agent.yaml:2:12: workloads', 'agent.yaml:3:18: control.group'];
  expect(() => parseConfig(text, 'agent.yaml', env)).toThrow(expect.objectContaining({ data: { problems: 2, places } }));
});

describe('the smallest configuration', () => {
  it('has every default', () => {
    expect(parse('version: 1\nworkloads: []')).toEqual({
      file: '/etc/relight/agent.yaml',
      host: {
        name: 'host-a',
        labels: {},
        remoteActions: true,
        gate: { quietForMs: 5_000, timeoutMs: 900_000, packageManagerIdle: true, pendingReboot: 'wait', tcp: [], lockFiles: [] },
        setup: [],
        guard: { file: null, maxAgeMs: 7_200_000 },
        orphans: 'remove-stopped',
        accelerators: { gpus: null },
      },
      collector: null,
      stateDir: '/var/lib/relight',
      control: { group: null },
      engine: { socket: '/var/run/docker.sock' },
      vars: [],
      workloads: [],
    });
    expect(workload({})).toMatchObject({
      name: 'w',
      dependsOn: [],
      startDeadlineMs: 1_500_000,
      shell: null,
      mounts: [],
      setup: [],
      process: null,
      readyWindowMs: 180_000,
      container: { name: 'w', pullPolicy: 'missing', onDeath: 'recreate', ulimits: { core: { soft: 0, hard: 0 } }, logging: null },
      restart: {
        process: { initialMs: 1_000, maxMs: 60_000, budget: { count: 10, windowMs: 600_000 }, escalateAfter: 3 },
        container: { budget: { count: 5, windowMs: 600_000 }, escalateAfter: null },
      },
      logs: { rateLimit: { lines: 50_000, windowMs: 1_000 }, files: [], redact: [] },
    });
  });

  it('leaves out what the engine decides', () => {
    expect(Object.keys(container({}))).not.toContain('shmSizeBytes');
  });

  it('is frozen to the bottom', () => {
    const spec = workload({ process: { run: 'x' } });
    expect([spec, spec.container, spec.container.ulimits, spec.restart.process.budget].every((part) => Object.isFrozen(part))).toBe(true);
  });
});

describe('workloads', () => {
  it('looks after the GPUs of a container that has some, unless it has a check of its own', () => {
    const container = { image: 'b', gpus: 'all' };
    const own = {
      name: 'gpu',
      probe: { kind: 'gpu', automatic: false },
      intervalMs: 30_000,
      timeoutMs: 10_000,
      failures: 2,
      restarts: 'container',
    };
    expect(workload({ container }).live).toEqual([{ ...own, probe: { kind: 'gpu', automatic: true } }]);
    expect(workload({ container, process: { run: 'x' }, live: [{ gpu: {} }] }).live).toEqual([own]);
    expect(workload({ container, live: [{ gpu: {}, interval: '5m', restarts: 'none' }] }).live).toEqual([
      { ...own, intervalMs: 300_000, restarts: 'none' },
    ]);
    expect(workload({ ready: [{ gpu: {} }] })).toMatchObject({ ready: [{ name: 'gpu', intervalMs: 1_000, timeoutMs: 10_000 }], live: [] });
  });

  it('looks into the volumes of a container by itself, unless somebody says how', () => {
    const container = { image: 'b', volumes: ['/mnt/hostfuse:/data2'] };
    const own = {
      name: 'volumes',
      probe: { kind: 'volumes', binds: [{ source: '/mnt/hostfuse', target: '/data2' }], except: [] },
      intervalMs: 10_000,
      timeoutMs: 5_000,
      failures: 2,
      restarts: 'container',
    };
    expect(workload({ container }).live).toEqual([own]);
    expect(workload({ container, process: { run: 'x' }, live: [{ volumes: {}, restarts: 'none' }] }).live).toEqual([
      { ...own, restarts: 'none' },
    ]);
    expect(workload({ ready: [{ volumes: {} }] })).toMatchObject({ ready: [{ name: 'volumes', intervalMs: 1_000 }], live: [] });
  });

  it('takes text for a shell and lists as argv', () => {
    expect(workload({ process: { run: 'ray start --address=$HEAD', before: ['ray', 'stop'] } }).process).toEqual({
      run: { text: 'ray start --address=$HEAD' },
      before: { argv: ['ray', 'stop'] },
      stopTimeoutMs: 10_000,
      maxRuntimeMs: null,
    });
    expect(workload({ process: { run: 'x', max_runtime: '1h' } }).process?.maxRuntimeMs).toBe(3_600_000);
  });

  it('takes a schedule of retries by name, by each delay, or both', () => {
    const policy = (process: unknown) => workload({ restart: { process } }).restart.process;
    expect(policy({ preset: 'http-startup' })).toMatchObject({ delaysMs: [5_000, 5_000, 10_000, 20_000, 40_000, 60_000], maxMs: 60_000 });
    expect(policy({ preset: 'slow-host', budget: '9 per 1h', cooldown: '2m after 4' })).toMatchObject({
      initialMs: 30_000,
      factor: 1,
      budget: { count: 9, windowMs: 3_600_000 },
      cooldown: { after: 4, ms: 120_000 },
    });
    expect(policy({ preset: 'http-startup', initial: '2s' }).delaysMs).toBeUndefined();
    expect(policy({ delays: ['1s', '5m'] })).toMatchObject({ delaysMs: [1_000, 300_000], maxMs: 300_000 });
  });

  it('does not touch what a shell reads', () => {
    const run = 'echo "${HEAD} $$ $(date) `id`"\n';
    expect(workload({ setup: [{ run }] }).setup[0]).toMatchObject({ name: 'step 1', run: { text: run } });
  });

  it('reads mounts, and their place between the steps', () => {
    const spec = workload({
      mounts: [
        { name: 'b', type: 'gcsfuse', bucket: 'models', target: '/b/', only_dir: 'x', options: ['--foo'], check: { interval: '1s' } },
        { name: 'c', type: 'command', run: 'mount-it', target: '/c', timeout: '5s' },
      ],
      setup: [{ run: 'one' }, { mount: 'c' }, { name: 'two', run: 'two', optional: true, retry: { attempts: 3, delay: '0s' } }],
    });
    expect(spec.mounts).toEqual([
      {
        name: 'b',
        type: 'gcsfuse',
        bucket: 'models',
        target: '/b',
        onlyDir: 'x',
        implicitDirs: false,
        options: ['--foo'],
        timeoutMs: 60_000,
        check: { intervalMs: 1_000, timeoutMs: 5_000, failures: 2 },
      },
      {
        name: 'c',
        type: 'command',
        run: { text: 'mount-it' },
        target: '/c',
        timeoutMs: 5_000,
        check: { intervalMs: 10_000, timeoutMs: 5_000, failures: 2 },
      },
    ]);
    expect(spec.setup.map((item) => (item.kind === 'step' ? item.name : item))).toEqual(['step 1', { kind: 'mount', mount: 'c' }, 'two']);
  });

  it('gives checks names of their own, and restarts what there is', () => {
    const spec = workload({
      ready: [{ tcp: 'a:1' }, { tcp: 'a:1', from: 'container' }, { http: 'http://a/', status: 204 }, { name: 'mine', exec: 'true' }],
      live: [{ exec: ['true'] }],
    });
    expect(spec.ready.map(({ name }) => name)).toEqual(['tcp a:1', 'tcp a:1 (2)', 'http http://a/', 'mine']);
    expect(spec.ready[2]?.probe).toEqual({ kind: 'http', url: 'http://a/', from: 'host', status: [204] });
    expect(spec.live[0]).toMatchObject({ name: 'exec true', intervalMs: 10_000, failures: 3, restarts: 'container' });
    expect(workload({ process: { run: 'x' }, live: [{ exec: 'true' }] }).live[0]?.restarts).toBe('process');
  });

  it('lets a policy start at once and never escalate', () => {
    const { process } = workload({ restart: { process: { initial: '0s', escalate_after: null } } }).restart;
    expect(process).toMatchObject({ initialMs: 0, escalateAfter: null });
  });

  it('knows the declared variables in templates', () => {
    const spec = parse(
      'version: 1\nvars: {HEAD: {run: "echo h", timeout: 1s}, PORT: 80, URL: "http://x"}\nworkloads:\n  - {name: w, container: {image: b}, depends_on: [{tcp: "${HEAD}:${PORT}"}, {http: "${URL}"}]}',
    );
    expect(spec.vars).toEqual([
      { name: 'HEAD', run: { text: 'echo h' }, timeoutMs: 1_000 },
      { name: 'PORT', value: '80' },
      { name: 'URL', value: 'http://x' },
    ]);
    expect(spec.workloads[0]?.dependsOn).toMatchObject([
      { kind: 'tcp', address: '${HEAD}:${PORT}' },
      { kind: 'http', url: '${URL}' },
    ]);
  });

  it('takes anchors and merge keys; what stands in the map itself wins', () => {
    const spec = parse(
      'version: 1\nworkloads:\n  - &one {name: a, container: &c {image: x, tty: true}, start_deadline: 1m}\n  - {<<: *one, name: b, container: {<<: *c, image: y}}',
    );
    expect(spec.workloads[1]).toMatchObject({ name: 'b', startDeadlineMs: 60_000, container: { name: 'b', image: 'y', tty: true } });
  });
});

describe("Compose's forms", () => {
  it.each<[string, object, Partial<ContainerSpec>]>([
    ['command as text is split like a shell does', { command: `sh -c 'echo "a b"' c\\ d` }, { command: ['sh', '-c', 'echo "a b"', 'c d'] }],
    ['command as list', { command: ['sleep', 3600] }, { command: ['sleep', '3600'] }],
    ['an empty entry point', { entrypoint: [] }, { entrypoint: [] }],
    ['environment as map', { environment: { A: 1, B: true, C: 'x=y', D: '' } }, { environment: { A: '1', B: 'true', C: 'x=y', D: '' } }],
    ['environment as list', { environment: ['A=1', 'B=x=y', 'C='] }, { environment: { A: '1', B: 'x=y', C: '' } }],
    ['labels as list', { labels: ['a=b', 'c'] }, { labels: { a: 'b', c: '' } }],
    ['sysctls as list', { sysctls: ['net.core.somaxconn=1024'] }, { sysctls: { 'net.core.somaxconn': '1024' } }],
    ['env_file as text, from the directory of the file', { env_file: 'a.env' }, { envFile: ['/etc/relight/a.env'] }],
    ['env_file in the long form', { env_file: [{ path: '/x' }] }, { envFile: ['/x'] }],
    [
      'extra_hosts as list',
      { extra_hosts: ['a:1.2.3.4', 'b=::1', 'c:host-gateway'] },
      { extraHosts: ['a:1.2.3.4', 'b:::1', 'c:host-gateway'] },
    ],
    ['extra_hosts as map', { extra_hosts: { a: ['1.2.3.4', '1.2.3.5'], b: '::1' } }, { extraHosts: ['a:1.2.3.4', 'a:1.2.3.5', 'b:::1'] }],
    ['dns as text', { dns: '1.1.1.1' }, { dns: ['1.1.1.1'] }],
    [
      'tmpfs',
      { tmpfs: ['/t', '/u:size=1m,mode=1777'] },
      {
        tmpfs: [
          { target: '/t', options: '' },
          { target: '/u', options: 'size=1m,mode=1777' },
        ],
      },
    ],
    [
      'ulimits as map',
      { ulimits: { memlock: -1, nofile: { soft: 1, hard: 2 } } },
      { ulimits: { core: { soft: 0, hard: 0 }, memlock: { soft: -1, hard: -1 }, nofile: { soft: 1, hard: 2 } } },
    ],
    [
      'ulimits as list',
      { ulimits: ['core=-1', 'nofile=1:2'] },
      { ulimits: { core: { soft: -1, hard: -1 }, nofile: { soft: 1, hard: 2 } } },
    ],
    [
      'volumes, short',
      { volumes: ['/a:/b', './c:/d:ro,rslave', 'data:/e:cached'] },
      {
        volumes: [
          { type: 'bind', source: '/a', target: '/b', readOnly: false },
          { type: 'bind', source: '/etc/relight/c', target: '/d', readOnly: true, propagation: 'rslave' },
          { type: 'volume', source: 'data', target: '/e', readOnly: false },
        ],
      },
    ],
    [
      'volumes, long',
      {
        volumes: [
          { type: 'bind', source: '/a', target: '/b', read_only: true, bind: { propagation: 'rshared' } },
          { type: 'tmpfs', target: '/t', tmpfs: { size: '64mb', mode: '1777' } },
        ],
      },
      {
        volumes: [{ type: 'bind', source: '/a', target: '/b', readOnly: true, propagation: 'rshared' }],
        tmpfs: [{ target: '/t', options: 'size=67108864,mode=1777' }],
      },
    ],
    [
      'ports, short',
      { ports: [80, '8080:80', '127.0.0.1:53:53/udp', '[::1]:90-91:90-91', '127.0.0.1::70'] },
      {
        ports: [
          { containerPort: 80, protocol: 'tcp', hostIp: '' },
          { containerPort: 80, protocol: 'tcp', hostIp: '', hostPort: 8080 },
          { containerPort: 53, protocol: 'udp', hostIp: '127.0.0.1', hostPort: 53 },
          { containerPort: 90, protocol: 'tcp', hostIp: '::1', hostPort: 90 },
          { containerPort: 91, protocol: 'tcp', hostIp: '::1', hostPort: 91 },
          { containerPort: 70, protocol: 'tcp', hostIp: '127.0.0.1' },
        ],
      },
    ],
    [
      'ports, long',
      { ports: [{ target: 80, published: '8080', host_ip: '::1', protocol: 'udp', mode: 'host' }] },
      { ports: [{ containerPort: 80, protocol: 'udp', hostIp: '::1', hostPort: 8080 }] },
    ],
    [
      'devices',
      { devices: ['/dev/fuse', '/dev/a:/dev/b:r', '/dev/c:rw', { source: '/dev/d' }] },
      {
        devices: [
          { source: '/dev/fuse', target: '/dev/fuse', permissions: 'rwm' },
          { source: '/dev/a', target: '/dev/b', permissions: 'r' },
          { source: '/dev/c', target: '/dev/c', permissions: 'rw' },
          { source: '/dev/d', target: '/dev/d', permissions: 'rwm' },
        ],
      },
    ],
    ['gpus: all', { gpus: 'all' }, { gpus: 'all' }],
    ['gpus: a count', { gpus: 2 }, { gpus: 2 }],
    ['gpus: ids', { gpus: [0, 'GPU-1'] }, { gpus: ['0', 'GPU-1'] }],
    ['gpus: a request', { gpus: [{ driver: 'nvidia', count: 2, capabilities: ['gpu'] }] }, { gpus: 2 }],
    [
      'networks as list',
      { networks: ['a', 'b'] },
      {
        networks: [
          { name: 'a', aliases: [] },
          { name: 'b', aliases: [] },
        ],
      },
    ],
    [
      'networks as map',
      { networks: { a: null, b: { aliases: ['x'] } } },
      {
        networks: [
          { name: 'a', aliases: [] },
          { name: 'b', aliases: ['x'] },
        ],
      },
    ],
    [
      'limits',
      { mem_limit: '2gb', memswap_limit: -1, mem_reservation: '1g', shm_size: '64mb', cpus: '1.5', cpuset: '0-3', pids_limit: -1 },
      {
        memoryBytes: 2 ** 31,
        memorySwapBytes: -1,
        memoryReservationBytes: 2 ** 30,
        shmSizeBytes: 2 ** 26,
        cpus: 1.5,
        cpusetCpus: '0-3',
        pidsLimit: -1,
      },
    ],
    ['user and groups as numbers', { user: 1000, group_add: [10, 'video'] }, { user: '1000', groupAdd: ['10', 'video'] }],
    [
      'logging',
      { logging: { driver: 'local', options: { 'max-size': '1m', 'max-file': 3 } } },
      { logging: { driver: 'local', options: { 'max-size': '1m', 'max-file': '3' } } },
    ],
    [
      'the rest',
      { cgroup: 'host', pid: 'host', ipc: 'container:a', stop_grace_period: '1m30s' },
      { cgroupns: 'host', pid: 'host', ipc: 'container:a', stopGracePeriodMs: 90_000 },
    ],
  ])('%s', (_, given, expected) => {
    expect(container(given)).toMatchObject(expected);
  });
});

describe('parsing', () => {
  const failure = (text: string): unknown => {
    try {
      parse(text);
      return undefined;
    } catch (thrown) {
      return thrown;
    }
  };

  it('is total: whatever the text, a specification or one config-invalid', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const thrown = failure(text);
        expect(thrown === undefined || (thrown instanceof RelightError && thrown.code === 'config-invalid')).toBe(true);
      }),
    );
  });

  it('is total for any value in any field, and every problem has a place', () => {
    const fields = 'name depends_on start_deadline shell container mounts setup process ready_window ready live restart logs'.split(' ');
    const inner =
      'name image command environment env_file volumes tmpfs ports devices gpus ulimits networks network_mode mem_limit shm_size extra_hosts logging type target bucket run check tcp http exec retry process initial budget soft source published count'.split(
        ' ',
      );
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom(
          null,
          true,
          0,
          -1,
          1.5,
          '',
          'a',
          '5s',
          '64mb',
          '/a:/b',
          '80:80',
          '${HEAD}',
          '10 per 10m',
          'a=b',
          '[::1]:1',
          '~',
          '__proto__',
        ),
        fc.string(),
        fc.array(tie('any'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...inner, '__proto__', 'x'), tie('any'), { maxKeys: 4 }),
      ),
    })).any;
    const document = fc.record({
      version: fc.constant(1),
      vars: value,
      workloads: fc.array(fc.dictionary(fc.constantFrom(...fields), value), { maxLength: 2 }),
    });
    fc.assert(
      fc.property(document, (content) => {
        const thrown = failure(stringify(content));
        if (thrown === undefined) return;
        expect(thrown).toBeInstanceOf(RelightError);
        for (const line of (thrown as RelightError).message.split('\n'))
          expect(line).toMatch(/^\/etc\/relight\/agent\.yaml:[1-9]\d*:[1-9]\d*: /);
      }),
      { numRuns: 500 },
    );
  });

  it('names all problems at once, in the order of the file', () => {
    const thrown = failure('version: 2\nworkloads: [{name: a, container: {image: X Y, restart: no}, mounts: 5}]\nstate_dri: /x');
    expect((thrown as RelightError).message.split('\n').map((line) => line.replace(/^.*?:(\d+):\d+: (\S+):.*/, '$1 $2'))).toEqual([
      '1 version',
      '2 workloads[0].container.image',
      '2 workloads[0].container.restart',
      '2 workloads[0].mounts',
      '3 state_dri',
    ]);
  });

  it('refuses aliases that explode', () => {
    const lines = Array.from({ length: 9 }, (_, i) => `x${i + 1}: &x${i + 1} [${Array.from({ length: 9 }, () => `*x${i}`).join(', ')}]`);
    expect((failure(`x0: &x0 [1]\n${lines.join('\n')}`) as RelightError).message).toContain('look at its aliases');
  });

  it('never shows the credentials of a URL', () => {
    expect((failure('version: 1\nworkloads: []\ncollector: {url: "htps://me:secret@x"}') as RelightError).message).not.toContain('secret');
  });
});

describe('loading', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'relight-config-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('reads a file; relative paths count from its directory', async () => {
    const file = join(directory, 'agent.yaml');
    writeFileSync(file, 'version: 1\nworkloads: []\nstate_dir: state');
    await expect(loadConfig(file, env)).resolves.toMatchObject({ file, stateDir: join(directory, 'state') });
  });

  it('says what is wrong with a file that it cannot read', async () => {
    await expect(loadConfig(join(directory, 'none'), env)).rejects.toThrow(`${directory}/none: there is no such file`);
    await expect(loadConfig(directory, env)).rejects.toThrow(`${directory}: is a directory, not a file`);
    await expect(loadConfig('/dev/zero', env)).rejects.toThrow('/dev/zero: it is longer than 4.0 MiB, so it is not what is meant');
    writeFileSync(join(directory, 'binary'), Buffer.from([0xff, 0xfe, 0x00]));
    await expect(loadConfig(join(directory, 'binary'), env)).rejects.toMatchObject({ code: 'config-unreadable' });
  });
});
