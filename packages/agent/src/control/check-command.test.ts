import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { RelightError } from '@relight/shared/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readBootId } from '../host/boot-id.ts';
import { loadIdentity } from '../host/identity.ts';
import { readMachineId } from '../host/machine-id.ts';
import { decodePreflight, preflightHeader } from '@relight/shared/preflight';
import type { ContainerFacts, Engine, EngineInfo } from '../engine/engine.ts';
import { checkCommand } from './check-command.ts';
import type { Finding } from '@relight/shared/finding';
import { recordedIo, temporaryDirectory, writeTo } from './recorded-io.ts';

let directory: string;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => rmSync(directory, { recursive: true }));

const write = (name: string, content: unknown, mode?: number): string => writeTo(directory, name, content, mode);

const engineInfo: EngineInfo = {
  id: 'e',
  version: '28.2.2',
  apiVersion: '1.50',
  liveRestore: true,
  runtimes: ['runc'],
  cgroupVersion: '2',
  rootDirectory: '/var/lib/docker',
};
/** Only what these commands may call: anything else is a call that touches something. */
function fakeEngine(given: Partial<Engine> = {}): Engine {
  const engine: Partial<Engine> = {
    info: async () => engineInfo,
    hasImage: async () => true,
    inspect: async () => null,
    list: async () => [],
    ...given,
  };
  return engine as Engine;
}
const held = (labels: Record<string, string>, status: ContainerFacts['status'] = 'running'): Partial<Engine> => ({
  inspect: async () => ({ image: 'other', status, labels }) as unknown as ContainerFacts,
});

describe('check', () => {
  const container = { name: 'worker', image: 'busybox' };
  const config = (more: object = {}, workload: object = {}): string =>
    write('agent.yaml', {
      version: 1,
      state_dir: directory,
      ...more,
      workloads: [{ name: 'w', container, process: { run: 'serve' }, ...workload }],
    });

  async function check(
    file: string,
    engine: Engine = fakeEngine(),
    io = recordedIo(),
  ): Promise<{ code: number; findings: readonly Finding[] }> {
    const code = await checkCommand({ config: file, json: true }, io, () => engine, host);
    const { ok, findings } = JSON.parse(io.out.join('')) as { ok: boolean; findings: readonly Finding[] };
    expect(ok).toBe(code === 0);
    return { code, findings };
  }
  /** A host on which nothing is wrong, but for the files that a test puts there. */
  const host = { root: '', uid: 0 };
  beforeEach(() => {
    host.root = join(directory, 'root');
    host.uid = 0;
    mkdirSync(host.root);
  });
  const put = (path: string, content: string): void => {
    mkdirSync(join(host.root, path, '..'), { recursive: true });
    writeFileSync(join(host.root, path), content);
  };

  /** What is wrong, apart from the free space of the machine that runs this. */
  const wrong = (findings: readonly Finding[]): readonly string[] =>
    findings.filter(({ level, what }) => level !== 'ok' && !what.startsWith('state_dir')).map(({ level, what }) => `${level} ${what}`);

  it('finds nothing wrong where nothing is', async () => {
    const { code, findings } = await check(config());
    expect(wrong(findings)).toEqual([]);
    expect(code).toBe(0);
  });

  it('prints each finding with its fix, and a count', async () => {
    const io = recordedIo();
    const engine = fakeEngine({ hasImage: async () => false });
    expect(
      await checkCommand({ config: config({}, { container: { name: 'worker', image: 'x', pull_policy: 'never' } }) }, io, () => engine),
    ).toBe(1);
    expect(io.out.join('')).toContain(
      'error   w: the image x is not here, and pull_policy is never\n        → docker pull or docker load it, or set pull_policy: missing.\n',
    );
    expect(io.out.join('')).toMatch(/\n\n1 error, \d warnings?\n$/);
  });

  it('says of an image that is not here, while the container of the earlier one runs, that this goes on until it is pulled', async () => {
    const mine = { 'relight.workload': 'w' };
    const { code, findings } = await check(
      config({}, { container: { name: 'worker', image: '127.0.0.1:9/trainer:2' } }),
      fakeEngine({ ...held(mine), hasImage: async () => false }),
    );
    expect(findings).toContainEqual(
      expect.objectContaining({
        level: 'ok',
        what: 'w: the image 127.0.0.1:9/trainer:2 will be pulled; until then its container that runs (other) goes on as it is',
      }),
    );
    expect(code).toBe(1);
  });

  it.each(['local', 'syslog', 'fluentd'])('has nothing to say of %s: the engine keeps a copy, which is read', async (driver) => {
    const { findings } = await check(config({}, { container: { ...container, logging: { driver } } }));
    expect(findings.length).toBeGreaterThan(3);
    expect(findings.filter(({ what }) => what.includes('output'))).toEqual([]);
  });

  it('fails with config-invalid before it looks at anything', async () => {
    const engine = fakeEngine({ info: () => Promise.reject(new Error('touched')) });
    await expect(checkCommand({ config: config({ wrong: 1 }) }, recordedIo(), () => engine)).rejects.toMatchObject({
      code: 'config-invalid',
    });
  });

  it('goes on without an engine', async () => {
    const gone = new RelightError('engine-unreachable', 'no such socket');
    const { code, findings } = await check(config(), fakeEngine({ info: () => Promise.reject(gone) }));
    expect(wrong(findings)).toEqual([
      'error the engine at /var/run/docker.sock: no such socket',
      'warning the gate waits: the engine does not answer',
    ]);
    expect(findings.map(({ what }) => what)).not.toContain('the gate of this host would be open');
    expect(code).toBe(1);
  });

  it.each<[string, Partial<Engine>, object, string]>([
    [
      'an old engine',
      { info: async () => ({ ...engineInfo, version: '19.03', apiVersion: '1.40' }) },
      {},
      'error the engine 19.03 speaks API 1.40; at least 1.41 is needed',
    ],
    ['a missing runtime', {}, { container: { ...container, runtime: 'kata' } }, 'error w: the engine has no runtime kata; it has runc'],
    [
      'a foreign container of that name',
      held({}),
      {},
      "error w: the name worker is held by a container that is not Relight's (other, running)",
    ],
    [
      'another workload’s container',
      held({ 'relight.agent': 'a', 'relight.workload': 'v' }),
      {},
      'error w: the name worker is held by the workload v',
    ],
    [
      'a log that cannot be read',
      {},
      { container: { ...container, logging: { driver: 'syslog', options: { 'cache-disabled': true } } } },
      "warning w: the container's own output goes to the log driver syslog alone (cache-disabled: true), where Relight cannot read it",
    ],
    [
      'a log that nobody keeps',
      {},
      { container: { ...container, logging: { driver: 'none' } } },
      "warning w: the container's own output goes nowhere (log driver none)",
    ],
    [
      'an unbounded log',
      {},
      { container: { ...container, logging: { driver: 'json-file' } } },
      "warning w: the container's log grows without limit",
    ],
    [
      'a missing device',
      {},
      { container: { ...container, devices: ['/dev/relight-none'] } },
      'error w: the device /dev/relight-none does not exist on this host',
    ],
    [
      'a missing bind source',
      {},
      { container: { ...container, volumes: ['/relight-none:/x'] } },
      'warning w: /relight-none does not exist; the engine will make an empty directory of it',
    ],
    [
      'a finite sleep',
      {},
      { container: { ...container, command: 'sleep 3600' } },
      'warning w: the container ends by itself after "sleep 3600"',
    ],
    [
      'Ray in the background',
      {},
      { process: { run: 'ulimit -n 65536; ray start --address=10.0.0.2:6379' } },
      'warning w: process.run: "ray start" without --block ends at once, which counts as the end of the process',
    ],
    ['| tee', {}, { process: { run: 'serve 2>&1 | tee log' } }, 'warning w: process.run ends in "| tee", which hides its exit code'],
    ['|| true', {}, { setup: [{ run: 'gcsfuse x /y || true' }] }, 'warning w: setup "step 1" has "|| true", so its failure is never seen'],
    ['-it', {}, { setup: [{ run: 'docker exec -it x sh' }] }, 'warning w: setup "step 1" asks for a terminal (-t), and there is none'],
    ['a blind wait', {}, { setup: [{ run: 'sleep 30' }] }, 'warning w: setup "step 1" only waits (sleep 30)'],
    ['nothing to prove it useful', {}, { process: null }, 'warning w: nothing proves that it is useful'],
  ])('sees %s', async (_, engine, workload, expected) => {
    const { code, findings } = await check(config({}, workload), fakeEngine(engine));
    expect(wrong(findings)).toEqual([expected]);
    expect(code).toBe(expected.startsWith('error') ? 1 : 0);
  });

  describe('of this host', () => {
    it('says what its gate would wait for', async () => {
      put('var/run/reboot-required', '');
      put('var/run/reboot-required.pkgs', 'linux-image-6.8\n');
      const { code, findings } = await check(config());
      expect(wrong(findings)).toEqual([expect.stringMatching(/^warning the gate waits: .*reboot.*linux-image-6.8/)]);
      expect(code).toBe(0);
    });

    it.each<[string, string, string, string]>([
      [
        'unattended upgrades',
        'etc/apt/apt.conf.d/20auto-upgrades',
        'APT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n',
        'warning unattended-upgrades is on: it may replace the driver, the kernel or the engine under running workloads',
      ],
      [
        'a limit above the kernel’s',
        'proc/sys/fs/nr_open',
        '1000000\n',
        'error w: the limit nofile 1048576 is above what the kernel allows (1000000)',
      ],
    ])('sees %s', async (_, path, content, expected) => {
      put(path, content);
      const { findings } = await check(config({}, { container: { ...container, ulimits: { nofile: 1048576 } } }));
      expect(wrong(findings)).toEqual([expected]);
    });

    it('is content with upgrades that are switched off, by the last file', async () => {
      put('etc/apt/apt.conf.d/20auto', 'APT::Periodic::Unattended-Upgrade "1";');
      put('etc/apt/apt.conf.d/99off', '// APT::Periodic::Unattended-Upgrade "1";\nAPT::Periodic::Unattended-Upgrade "0";');
      expect(wrong((await check(config())).findings)).toEqual([]);
    });

    it('says who asks, when it is not root', async () => {
      host.uid = 1000;
      expect(wrong((await check(config())).findings)).toEqual(['warning this check runs as user 1000; the agent has to run as root']);
    });

    it('looks for the programs of host commands, and at what they say', async () => {
      const setup = [{ name: 'fix', run: 'relight-none --all' }, { run: 'true | tee log' }, { run: 'relight-none', optional: true }];
      expect(wrong((await check(config({ host: { name: 'h', setup } }))).findings)).toEqual([
        expect.stringMatching(/^error host.setup "fix": the program relight-none is not on this host/),
        expect.stringMatching(/^warning host.setup "step 3": the program relight-none is not on this host/),
        'warning host.setup "step 2" ends in "| tee", which hides its exit code',
      ]);
    });
  });

  it.each<[string, object, object, readonly string[]]>([
    ['vfs', { storageDriver: 'vfs' }, {}, ['warning the engine stores containers with vfs, which copies the whole image for each of them']],
    ['overlay2', { storageDriver: 'overlay2', cgroupDriver: 'systemd' }, {}, []],
    [
      'the systemd cgroup driver beside GPUs',
      { cgroupDriver: 'systemd', runtimes: ['nvidia'] },
      { container: { ...container, runtime: 'nvidia' } },
      ['warning a systemctl daemon-reload can take the GPUs from w (cgroup driver systemd)'],
    ],
  ])('judges the settings of the engine: %s', async (_, info, workload, expected) => {
    const { findings } = await check(config({}, workload), fakeEngine({ info: async () => ({ ...engineInfo, ...info }) }));
    expect(wrong(findings).filter((line) => line.includes('engine stores') || line.includes('daemon-reload'))).toEqual(expected);
  });

  it('measures the room where the engine keeps its images', async () => {
    const { findings } = await check(config(), fakeEngine({ info: async () => ({ ...engineInfo, rootDirectory: directory }) }));
    expect(findings.map(({ what }) => what)).toContainEqual(
      expect.stringMatching(`the engine keeps images and containers in ${directory}, .* free`),
    );
  });

  it('sees whoever replaces containers by itself', async () => {
    const watchtower = { name: 'wt', image: 'containrrr/watchtower:latest', status: 'running', labels: {} } as unknown as ContainerFacts;
    const engine = fakeEngine({ list: async () => ['1'], inspect: async (id) => (id === '1' ? watchtower : null) });
    expect(wrong((await check(config(), engine)).findings)).toEqual([
      'warning the container wt (containrrr/watchtower:latest) replaces other containers by itself when their images change',
    ]);
  });

  it('names who made the container that holds the name', async () => {
    const labels = { 'com.docker.compose.project': 'p', 'com.docker.compose.service': 's' };
    const { findings } = await check(config(), fakeEngine(held(labels)));
    expect(wrong(findings)).toEqual([
      "error w: the name worker is held by a container that is not Relight's (other, running), made by Docker Compose (project p, service s)",
    ]);
    expect(findings.find(({ level }) => level === 'error')?.fix).toContain('Take the service s out of the Compose file');
  });

  describe('of a container to be adopted', () => {
    const document = (HostConfig: object = {}, Labels: object = {}) => ({
      Id: '1',
      Name: '/old',
      Config: { Image: 'x', Labels },
      HostConfig,
    });
    const adopted = (found: object | null): Promise<{ readonly findings: readonly Finding[] }> =>
      check(config({}, { container: { adopt: 'old' } }), fakeEngine({ inspectRaw: async () => found as Record<string, unknown> | null }));

    it.each<[string, object | null, readonly string[]]>([
      ['there', document(), []],
      ['absent', null, ['error w: there is no container old to adopt']],
      [
        '--rm',
        document({ AutoRemove: true }),
        ['error w: the container old was started with --rm: the engine deletes it when it ends, so nothing can be set aside and looked at'],
      ],
      ['a restart policy', document({ RestartPolicy: { Name: 'always' } }), ['warning w: the restart policy always of old will become no']],
      [
        'an owner',
        document({}, { 'com.docker.compose.project': 'p' }),
        ['warning w: old was made by Docker Compose (project p, service ), which may replace it'],
      ],
    ])('%s', async (_, found, expected) => {
      expect(wrong((await adopted(found)).findings)).toEqual(expected);
    });
  });

  describe('of a bucket', () => {
    const rights = { ...container, privileged: true };
    const gcsfuse = async (mount: object, more: object = {}): Promise<readonly string[]> => {
      const mounts = [{ name: 'm', type: 'gcsfuse', bucket: 'b-1', target: '/m', ...mount }];
      return wrong((await check(config({}, { mounts, container: { ...rights, ...more } }))).findings).filter((line) =>
        line.includes('mount m:'),
      );
    };
    const google = (): void => put('sys/class/dmi/id/product_name', 'Google Compute Engine\n');

    it.each<[string, string]>([
      ['gs://b', 'write it without gs://'],
      ['b/dir', 'a directory of it goes into only_dir'],
      ['Bucket', 'lower-case letters, digits, "-", "_" and "." only'],
      ['-b-', 'it begins and ends with a letter or digit'],
      ['b', 'it has 3 to 63 characters'],
      ['10.0.0.1', 'it is no IP address'],
      ['goog-b', 'no name begins with goog or contains google'],
    ])('%s', async (bucket, fault) => {
      google();
      // One letter begins and ends alike, and is too short.
      const expected = bucket === 'b' ? /cannot be the name of a bucket/ : new RegExp(fault.replaceAll(/[/"().]/g, '.'));
      expect(await gcsfuse({ bucket })).toEqual([expect.stringMatching(expected)]);
    });

    it('wants credentials where no machine of Google gives them', async () => {
      expect(await gcsfuse({})).toEqual(['warning w: mount m: this is no machine of Google Cloud, and gcsfuse is given no credentials']);
      expect(await gcsfuse({ options: ['--anonymous-access'] })).toEqual([]);
      google();
      expect(await gcsfuse({})).toEqual([]);
    });

    it('reads the key file through the volume that brings it, and shows nothing of it', async () => {
      const volumes = ['/keys:/etc/keys:ro'];
      const key = { environment: { GOOGLE_APPLICATION_CREDENTIALS: '/etc/keys/sa.json' }, volumes };
      expect(await gcsfuse({}, key)).toEqual([expect.stringMatching(/^error w: mount m: the key file \/keys\/sa.json: ENOENT/)]);
      put('keys/sa.json', 'secret {');
      expect(await gcsfuse({}, key)).toEqual(['error w: mount m: the key file /keys/sa.json: it is no JSON']);
      put('keys/sa.json', '{"type": "service_account"}');
      expect(await gcsfuse({}, key)).toEqual([]);
      expect(await gcsfuse({ options: ['--key-file', '/etc/keys/none.json'] }, { volumes })).toEqual([
        expect.stringContaining('/keys/none.json'),
      ]);
    });
  });

  it('sees another agent’s container by the identity in the state directory', async () => {
    write('identity.json', JSON.stringify({ agentId: 'me' }));
    const { findings } = await check(config(), fakeEngine(held({ 'relight.agent': 'other', 'relight.workload': 'w' })));
    expect(wrong(findings)).toEqual(['error w: the name worker is held by another agent, other']);
  });

  it('wants what FUSE needs in a container without privileges', async () => {
    const mounts = [{ name: 'm', type: 'gcsfuse', bucket: 'b', target: '/m' }];
    const bare = wrong((await check(config({}, { mounts }))).findings);
    expect(bare).toContain('error w: mounts need /dev/fuse in the container');
    expect(bare).toContain('error w: mounts need the capability SYS_ADMIN');
    const rights = { ...container, devices: ['/dev/fuse'], cap_add: ['CAP_SYS_ADMIN'], security_opt: ['apparmor=unconfined'] };
    const allowed = wrong((await check(config({}, { mounts, container: rights }))).findings);
    expect(allowed.filter((line) => line.includes('in the container') || line.includes('capability') || line.includes('AppArmor'))).toEqual(
      [],
    );
  });

  it('reads secrets, and sees those that everybody can read', async () => {
    write('open.env', 'A=1', 0o644);
    write('bad.env', 'hf_secret');
    const { findings } = await check(config({}, { container: { ...container, env_file: ['open.env', 'bad.env', 'none.env'] } }));
    expect(wrong(findings)).toEqual([
      `warning env_file ${directory}/open.env is open to every user of this host`,
      `error env_file ${directory}/bad.env: ${directory}/bad.env:1: must be KEY=value; Relight takes nothing over from its own environment`,
      `error env_file ${directory}/none.env: there is no such file`,
    ]);
    expect(JSON.stringify(findings)).not.toContain('hf_secret');
  });

  it('says that what others can write runs as root, and that all can read what may be secret; neither is an error', async () => {
    const file = config({}, { container });
    const ofTheFile = async (mode: number): Promise<readonly Finding[]> => {
      chmodSync(file, mode);
      const { code, findings } = await check(file);
      expect(code).toBe(0);
      return findings.filter(({ level, what }) => level === 'warning' && what.startsWith(file));
    };
    const written = { what: `${file}: others than its owner may write it, and its commands run as root` };
    const read = {
      what: `${file} can be read by every user of this host: variables and commands in it may hold secrets`,
      fix: `chmod o-r ${file}`,
    };
    expect(await ofTheFile(0o600)).toEqual([]);
    expect(await ofTheFile(0o640)).toEqual([]);
    expect(await ofTheFile(0o660)).toMatchObject([written]);
    expect(await ofTheFile(0o644)).toMatchObject([read]);
    expect(await ofTheFile(0o666)).toMatchObject([written, read]);
  });

  it('looks for the programs of variables in PATH', async () => {
    mkdirSync(join(directory, 'bin'));
    write('bin/gcloud', '#!/bin/sh', 0o755);
    const vars = {
      A: { run: 'gcloud compute | head -1' },
      B: { run: ['nowhere', 'x'] },
      C: { run: 'if true; then echo 1; fi' },
      D: 'literal',
    };
    const io = recordedIo({ PATH: join(directory, 'bin') });
    const { findings } = await check(config({ vars }), fakeEngine(), io);
    expect(wrong(findings)).toEqual([`error vars.B: the program nowhere is not on this host (PATH ${directory}/bin)`]);
    expect(findings.map(({ what }) => what)).toContain(`vars.A: gcloud is ${directory}/bin/gcloud`);
  });

  describe('of the network', () => {
    const servers: (Server | HttpServer)[] = [];
    afterEach(async () => {
      for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
    });
    async function listen(server: Server | HttpServer): Promise<number> {
      servers.push(server);
      await once(server.listen(0, '127.0.0.1'), 'listening');
      return (server.address() as AddressInfo).port;
    }

    it('names the holder of a taken port, unless it is the container itself', async () => {
      const port = await listen(createServer());
      const file = config({}, { container: { ...container, ports: [`127.0.0.1:${port}:80`] } });
      expect(wrong((await check(file)).findings)).toEqual([
        expect.stringMatching(new RegExp(`^error w: port ${port}/tcp is taken by .+ \\(pid ${process.pid}\\)$`)),
      ]);
      const own = fakeEngine(held({ 'relight.agent': 'a', 'relight.workload': 'w' }));
      expect(wrong((await check(file, own)).findings)).toEqual([]);
    });

    it('knocks at the registry of an image that has to be pulled, and reads who this host is there', async () => {
      const port = await listen(createServer());
      const pulled = (registry: string): string => config({}, { container: { name: 'worker', image: `${registry}/team/image` } });
      const absent = fakeEngine({ hasImage: async () => false });
      const nobody = recordedIo({ PATH: process.env['PATH'], DOCKER_CONFIG: directory });
      expect(wrong((await check(pulled(`127.0.0.1:${port}`), absent, nobody)).findings)).toEqual([]);
      const closed = await check(pulled('127.0.0.1:9'), absent, recordedIo({ DOCKER_CONFIG: directory, PATH: process.env['PATH'] }));
      expect(wrong(closed.findings)).toEqual(['error w: the registry 127.0.0.1:9 cannot be reached from here: connection refused']);
      write('config.json', JSON.stringify({ credHelpers: { [`127.0.0.1:${port}`]: 'relight-none' } }));
      const broken = await check(pulled(`127.0.0.1:${port}`), absent, recordedIo({ DOCKER_CONFIG: directory, PATH: process.env['PATH'] }));
      expect(wrong(broken.findings)).toEqual([
        expect.stringMatching(/^error w: the login for .* does not work: docker-credential-relight-none/),
      ]);
    });

    it('asks what is depended on, and says only that it is down', async () => {
      const port = await listen(createServer());
      const vars = { HEAD: { run: 'echo 127.0.0.1' } };
      const up = await check(config({ vars }, { depends_on: [{ tcp: `\${HEAD}:${port}` }] }));
      expect(wrong(up.findings)).toEqual([]);
      const down = await check(config({ vars }, { depends_on: [{ tcp: '${HEAD}:9' }] }));
      expect(wrong(down.findings)).toEqual(['warning w: depends_on ${HEAD}:9 does not answer: connection refused']);
      expect(down.code).toBe(0);
      const unknown = await check(config({ vars: { HEAD: { run: 'exit 3' } } }, { depends_on: [{ tcp: '${HEAD}:9' }] }));
      expect(wrong(unknown.findings)).toEqual(['warning vars: variable HEAD: exit code 3']);
    });

    it('compares the clock with the collector’s', async () => {
      const ahead = (ms: number) =>
        createHttpServer((_request, response) => response.writeHead(200, { date: new Date(Date.now() - ms).toUTCString() }).end());
      const url = async (ms: number): Promise<string> => `ws://127.0.0.1:${await listen(ahead(ms))}`;
      expect(wrong((await check(config({ collector: { url: await url(1_000) } }))).findings)).toEqual([]);
      expect(wrong((await check(config({ collector: { url: await url(120_000) } }))).findings)).toEqual([
        expect.stringMatching(/^warning the clock of this host is 12\d s ahead of the collector's$/),
      ]);
    });

    it('asks the collector whether it is one', async () => {
      let status = 200;
      const port = await listen(
        createHttpServer((request, response) => response.writeHead(request.url === '/base/healthz' ? status : 500).end()),
      );
      const file = config({ collector: { url: `ws://127.0.0.1:${port}/base` } });
      expect(wrong((await check(file)).findings)).toEqual([]);
      status = 404;
      expect(wrong((await check(file)).findings)).toEqual([`error the collector at ws://127.0.0.1:${port}/base answers /healthz with 404`]);
    });

    it('knocks at the door of agents: a token that opens nothing is found now', async () => {
      const server = createHttpServer((_request, response) => response.writeHead(200).end());
      const problem = JSON.stringify({
        status: 403,
        code: 'forbidden',
        detail: 'this is an operator token',
        advice: 'Give an agent token.',
      });
      let refuse = true;
      server.on('upgrade', (_request, socket) =>
        socket.end(refuse ? `HTTP/1.1 403 Forbidden\r\nContent-Length: ${problem.length}\r\n\r\n${problem}` : 'HTTP/1.1 503 Busy\r\n\r\n'),
      );
      const port = await listen(server);
      const file = config({ collector: { url: `ws://127.0.0.1:${port}` } });
      const url = `ws://127.0.0.1:${port}`;
      const { findings } = await check(file);
      expect(wrong(findings)).toEqual([`error the collector at ${url} refuses this agent: HTTP 403: this is an operator token`]);
      expect(findings.find(({ level }) => level === 'error')?.fix).toBe('Give an agent token.');
      refuse = false;
      expect(wrong((await check(file)).findings)).toEqual([]);
    });

    it('comes to that door as the agent that the service would be: a token of another machine is found now', async () => {
      const asked: unknown[] = [];
      const server = createHttpServer((_request, response) => response.writeHead(200).end());
      server.on('upgrade', (request, socket) => {
        asked.push(decodePreflight(request.headers[preflightHeader]));
        const body = JSON.stringify({ status: 401, code: 'unauthorized', detail: 'given to another machine', advice: 'Join anew.' });
        socket.end(`HTTP/1.1 401 Unauthorized\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      });
      const url = `ws://127.0.0.1:${await listen(server)}`;
      const stateDir = join(directory, 'state');
      const before = loadIdentity({ stateDir, machineId: readMachineId({ stateDir }) });
      const { findings } = await check(config({ collector: { url }, state_dir: stateDir, host: { name: 'h7' } }));
      expect(asked).toEqual([{ agentId: before.agentId, machineId: readMachineId({ stateDir }), host: 'h7', bootId: readBootId() }]);
      expect(wrong(findings)).toEqual([`error the collector at ${url} refuses this agent: HTTP 401: given to another machine`]);
    });
  });
});
