/** What `createOptions` produces, as a real engine understands it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { ContainerSpec } from '../../packages/agent/src/config/spec.ts';
import { createOptions } from '../../packages/agent/src/engine/create-options.ts';
import { DockerEngine } from '../../packages/agent/src/engine/docker-engine.ts';
import { bareContainer } from '../support/specs.ts';

const socketPath = inject('engineSocket');
const bare = bareContainer({
  name: 'options',
  image: inject('engineImage'),
  pullPolicy: 'never',
  command: ['sleep', '1000'],
});

const api = (method: string, path: string, send?: object): Promise<void> =>
  new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path, agent: false, headers: { 'content-type': 'application/json' } }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.once('end', () =>
        (response.statusCode ?? 500) < 300 ? resolve() : reject(new Error(`${method} ${path}: ${response.statusCode} ${body}`)),
      );
    });
    call.once('error', reject);
    call.end(send === undefined ? undefined : JSON.stringify(send));
  });

describe('create options on an engine', () => {
  const engine = new DockerEngine({ socketPath });
  let runDirectory: string;

  beforeAll(async () => {
    runDirectory = await mkdtemp(join(tmpdir(), 'relight-run-'));
    for (const Name of ['front', 'back']) await api('POST', '/networks/create', { Name });
  });
  afterAll(async () => {
    await engine.remove('options');
    for (const name of ['front', 'back']) await api('DELETE', `/networks/${name}`);
    await rm(runDirectory, { recursive: true });
  });

  const create = async (spec: Partial<ContainerSpec>) => {
    await engine.remove('options');
    const full = { ...bare, ...spec };
    const made = await engine.create(
      'options',
      createOptions({ spec: full, workload: 'w', generation: 1, ownerId: 'o', fingerprint: {}, runDirectory, secrets: { SECRET: 's' } }),
    );
    await engine.start(made.id);
    const { stdout } = await engine.exec(made.id, {
      argv: [
        'sh',
        '-c',
        // Of the first process: runc now and then starts an exec with its soft limit of files raised to the hard one.
        'grep CapEff /proc/self/status; grep "open files" /proc/1/limits; ulimit -l; df -k /dev/shm | tail -1; env; id; pwd; hostname; cat /etc/hosts /proc/sys/net/core/somaxconn; ls -d /dev/fuse; grep -E " (/scratch|/data|/run/relight) " /proc/mounts; cat /proc/1/cmdline',
      ],
    });
    return { stdout, raw: await engine.inspectRaw(made.id), facts: await engine.inspect(made.id) };
  };

  it('with limits, shared memory, init, user and directories', async () => {
    const { stdout, facts } = await create({
      capAdd: ['SYS_ADMIN'],
      devices: [{ source: '/dev/fuse', target: '/dev/fuse', permissions: 'rwm' }],
      ulimits: { nofile: { soft: 4096, hard: 8192 }, memlock: { soft: 65536, hard: 65536 } },
      shmSizeBytes: 128 << 20,
      init: false,
      environment: { BUCKET: 'b' },
      workingDir: '/home/ray',
      hostname: 'worker',
      networkMode: 'bridge',
      extraHosts: ['head:10.0.0.1'],
      sysctls: { 'net.core.somaxconn': '777' },
      groupAdd: ['1234'],
      tmpfs: [{ target: '/scratch', options: 'size=1m' }],
      volumes: [{ type: 'bind', source: runDirectory, target: '/data', readOnly: true }],
    });
    for (const line of [
      // Bit 21 on top of the engine's default set.
      /CapEff:\s+00000000a82425fb$/m,
      /^Max open files\s+4096\s+8192\s/m,
      /^64$/m,
      /131072/,
      /^BUCKET=b$/m,
      /^SECRET=s$/m,
      /groups=.*1234/,
      /^\/home\/ray$/m,
      /^worker$/m,
    ]) {
      expect(stdout).toMatch(line);
    }
    for (const line of [
      /^10\.0\.0\.1\s+head$/m,
      /^777$/m,
      /^\/dev\/fuse$/m,
      /tmpfs \/scratch tmpfs .*size=1024k/,
      / \/data \S+ ro,/,
      / \/run\/relight \S+ rw,/,
    ]) {
      expect(stdout).toMatch(line);
    }
    expect(facts).toMatchObject({ runDirectory, restartPolicy: 'no', logDriver: 'json-file' });
  });

  it('privileged', async () => {
    // Not started: a test machine may itself lack capabilities that a privileged container gets.
    await engine.remove('options');
    const spec = { ...bare, privileged: true };
    const input = { spec, workload: 'w', generation: 1, ownerId: 'o', fingerprint: {}, runDirectory, secrets: {} };
    await engine.create('options', createOptions(input));
    expect(await engine.inspectRaw('options')).toMatchObject({ HostConfig: { Privileged: true } });
  });

  it('as an ordinary user in several networks, with aliases', async () => {
    const { stdout, raw } = await create({
      user: '1000:1000',
      networks: [
        { name: 'front', aliases: ['web'] },
        { name: 'back', aliases: ['db'] },
      ],
    });
    expect(stdout).toMatch(/uid=1000\(ray\)/);
    expect(raw).toMatchObject({
      NetworkSettings: {
        Networks: {
          front: { Aliases: expect.arrayContaining(['web']), IPAddress: expect.stringMatching(/\d/) },
          back: { Aliases: expect.arrayContaining(['db']), IPAddress: expect.stringMatching(/\d/) },
        },
      },
    });
  });

  it('leaves nothing behind when it cannot join one of several networks', async () => {
    const networks = [
      { name: 'front', aliases: [] },
      { name: 'host', aliases: [] },
    ];
    await expect(create({ networks })).rejects.toThrow(/host network/);
    expect(await engine.inspect('options')).toBeNull();
  });

  it('refuses a run directory that is gone', async () => {
    const input = { spec: { ...bare, name: 'options' }, workload: 'w', generation: 1, ownerId: 'o', fingerprint: {}, secrets: {} };
    await expect(engine.create('options', createOptions({ ...input, runDirectory: `${runDirectory}/gone` }))).rejects.toMatchObject({
      code: 'device-missing',
    });
  });
});
