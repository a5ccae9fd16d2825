/** A container that was there before Relight: taken over as it runs, and made again exactly when it dies. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { Bystander, type WorkloadDocument } from '../support/bystander.ts';
import { dockerApi, type CreateBody } from '../support/docker-api.ts';
import { programs, startLab, type Lab } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';

const docker = dockerApi(inject('engineSocket'));
const image = inject('engineImage');
const host = mkdtempSync(join(tmpdir(), 'relight-adopt-'));
let lab: Lab;

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(async () => {
  await lab?.dispose();
  rmSync(host, { recursive: true });
});

/** With everything that somebody may have said to `docker run`. */
const asRunByHand = {
  Env: ['BUCKET=b', 'EMPTY=', 'API_TOKEN=hf_very_secret_value'],
  Labels: { team: 'tpu', 'com.docker.compose.project': 'old' },
  WorkingDir: '/tmp',
  StopSignal: 'SIGINT',
  StopTimeout: 1,
  Tty: true,
  OpenStdin: true,
  Hostname: 'worker-7',
  Volumes: { '/anonymous': {} },
  Healthcheck: { Test: ['CMD', 'true'], Interval: 60_000_000_000 },
  HostConfig: {
    Binds: [`${host}:/data:ro`],
    Mounts: [{ Type: 'tmpfs', Target: '/fast', TmpfsOptions: { SizeBytes: 1 << 20 } }],
    CapAdd: ['CAP_SYS_NICE'],
    CapDrop: ['CAP_NET_RAW'],
    ShmSize: 8 << 20,
    Memory: 256 << 20,
    MemorySwap: 512 << 20,
    CpuShares: 512,
    PidsLimit: 300,
    Ulimits: [{ Name: 'nofile', Soft: 2048, Hard: 4096 }],
    ExtraHosts: ['head:10.0.0.2'],
    DnsSearch: ['example.internal'],
    OomScoreAdj: 100,
    GroupAdd: ['1000'],
    RestartPolicy: { Name: 'unless-stopped' },
    LogConfig: { Type: 'json-file', Config: { 'max-size': '5m' } },
  },
};

interface Adopted {
  readonly worker: Bystander;
  readonly id: string;
}

async function adopt(name: string, document: WorkloadDocument = {}, more: CreateBody = asRunByHand): Promise<Adopted> {
  const containerName = `e2e-${name}-${process.pid}`;
  const id = await docker.run(containerName, image, ['sh', '-c', 'echo content > /anonymous/kept; exec sleep infinity'], more);
  const worker = await Bystander.adopting(lab, name, document);
  return { worker, id };
}

/** The built agent's preflight on the real engine. */
async function check(config: string): Promise<{ readonly code: number; readonly stdout: string }> {
  const asked = promisify(execFile)(process.execPath, [programs.agent, 'check', '--config', config]);
  return asked.then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code: number; stdout: string }) => error,
  );
}

/** What two documents of one container may differ in: their instance, their owner, and what Relight says that it changes. */
function comparable(document: Record<string, unknown> | null): object {
  const { Config, HostConfig, Mounts } = document as {
    Config: Record<string, unknown>;
    HostConfig: Record<string, unknown>;
    Mounts: { Destination: string }[];
  };
  const labels = Object.entries(Config['Labels'] as Record<string, string>).filter(
    ([key]) => !/^(relight|com\.docker\.compose)\./.test(key),
  );
  return {
    Config: { ...Config, Labels: Object.fromEntries(labels) },
    HostConfig: {
      ...HostConfig,
      RestartPolicy: null,
      Mounts: (HostConfig['Mounts'] as { Target: string; Type: string }[] | undefined)?.filter(({ Type }) => Type === 'tmpfs'),
    },
    // A volume that has a name now has an SELinux mode, too.
    Mounts: Mounts.filter(({ Destination }) => Destination !== '/run/relight')
      .map((mount) => ({ ...mount, Mode: '' }))
      .toSorted((a, b) => (a.Destination < b.Destination ? -1 : 1)),
  };
}

describe('an adopted container', () => {
  test('runs on, is made again exactly when it dies, then with mounts, setup and process, and survives the agent', async () => {
    const { worker, id } = await adopt('adopted', {
      setup: [{ name: 'mark', run: 'echo done > /set-up' }],
      process: { run: 'while :; do sleep 0.2; done', stop_timeout: '1s' },
      ready: [{ exec: 'test -s /anonymous/kept', interval: '200ms' }],
    });
    const before = comparable(await docker.inspect(worker.containerName));
    try {
      await worker.next(0, 'workload.ready');
      await worker.caughtUp();
      // Nothing was done to it but the restart policy.
      expect(await worker.container()).toMatchObject({ id, status: 'running' });
      expect(await docker.inspect(worker.containerName)).toMatchObject({ HostConfig: { RestartPolicy: { Name: 'no' } } });
      const events = await worker.events();
      expect(events.map(({ kind }) => kind)).not.toContain('container.created');
      expect(events.find(({ kind }) => kind === 'container.adopted')).toMatchObject({ generation: 1 });
      const notices = events.filter(({ kind }) => kind === 'host.notice').map(({ message }) => message);
      expect(notices).toEqual(
        expect.arrayContaining([
          expect.stringContaining('its restart policy was unless-stopped and is no now: Relight is the only restarter'),
          expect.stringContaining('was made by Docker Compose (project old'),
        ]),
      );
      expect(await worker.status()).toMatchObject({ generation: 1, image, restarts: { process: 0, container: 0 } });

      // The agent comes and goes: the same container, and nobody restarts it.
      const gone = await worker.mark();
      await worker.agent.service.kill();
      await worker.agent.service.start();
      await worker.next(gone, 'container.adopted');
      await worker.caughtUp();
      await worker.phase('ready');
      expect(await worker.container()).toMatchObject({ id, status: 'running' });

      const mark = await worker.mark();
      await docker.kill(worker.containerName);
      expect(await worker.next(mark, 'container.created')).toMatchObject({ generation: 2 });
      await worker.next(mark, 'process.started');
      await worker.next(mark, 'workload.ready');
      await worker.phase('ready');
      expect(comparable(await docker.inspect(worker.containerName))).toEqual(before);
      expect(await worker.exec('cat', '/anonymous/kept')).toBe('content\n');
      expect(await worker.exec('cat', '/set-up')).toBe('done\n');
      expect(await docker.inspect(worker.containerName)).toMatchObject({ Config: { Labels: { 'relight.generation': '2' } } });
      expect(JSON.stringify(await worker.events())).not.toContain('hf_very_secret_value');

      // Both copies of it, by somebody else, while the agent is away: made again from memory alone.
      await worker.agent.service.kill();
      await docker.remove(worker.containerName);
      const again = await worker.mark();
      await worker.agent.service.start();
      await worker.next(again, 'workload.ready');
      await worker.caughtUp();
      expect((await worker.container()).id).not.toBe(id);
      expect(comparable(await docker.inspect(worker.containerName))).toEqual(before);

      const directory = join(worker.agent.stateDir, 'adopted');
      expect(await readdir(directory)).toEqual(['adopted.json']);
      expect((await stat(join(directory, 'adopted.json'))).mode & 0o777).toBe(0o600);
    } finally {
      await worker.agent.service.stop();
    }
  });

  test('started with --rm it is refused, with what to do', async () => {
    const { worker, id } = await adopt('adopt-rm', {}, { HostConfig: { AutoRemove: true } });
    try {
      const { reason } = await worker.phase('held');
      expect(reason).toContain('was started with --rm: the engine deletes it when it ends');
      expect(reason).toContain('relight-agent import container');
      const { code, stdout } = await check(worker.agent.configFile);
      expect(code).toBe(1);
      expect(stdout).toContain('was started with --rm: the engine deletes it when it ends');
      expect(await worker.container()).toMatchObject({ id, status: 'running' });
    } finally {
      await worker.agent.service.stop();
      await docker.remove(id);
    }
  });

  test('that is not there is waited for, and adopted when it comes', async () => {
    const worker = await Bystander.adopting(lab, 'adopt-later', {});
    try {
      const { reason } = await worker.phase('held');
      expect(reason).toContain(
        `there is no container named "${worker.containerName}" on this host, and none of that name was ever adopted`,
      );
      const id = await docker.run(worker.containerName, image, ['sleep', 'infinity']);
      await worker.phase('ready');
      expect(await worker.container()).toMatchObject({ id, status: 'running' });
      expect(await worker.status()).toMatchObject({ generation: 1, restarts: { container: 0 } });
      await docker.kill(worker.containerName);
      await waitFor(async () => (await worker.status()).generation === 2, { what: 'the second generation', timeoutMs: 30_000 });
      await worker.phase('ready');
    } finally {
      await worker.agent.service.stop();
    }
  });

  test('replaced by its other owner it is a conflict that names the owner', async () => {
    const { worker } = await adopt('adopt-robbed', {}, {});
    try {
      await worker.phase('ready');
      await docker.remove(worker.containerName);
      const labels = { 'com.docker.compose.project': 'train', 'com.docker.compose.service': 'ray' };
      // Both want the name; whoever comes second sees the other one.
      const robber = async (): Promise<boolean> =>
        docker.run(worker.containerName, image, ['sleep', 'infinity'], { Labels: labels }).then(
          () => true,
          () =>
            docker.remove(worker.containerName).then(
              () => false,
              () => false,
            ),
        );
      await waitFor(robber, { what: 'the name to be taken', everyMs: 5, timeoutMs: 60_000 });
      const { reason } = await worker.phase('held');
      expect((await check(worker.agent.configFile)).stdout).toContain('made by Docker Compose (project train, service ray');
      expect(reason).toContain('Docker Compose (project train, service ray');
      await docker.remove(worker.containerName);
      await worker.phase('ready');
    } finally {
      await worker.agent.service.stop();
    }
  });

  test('whose state directory is lost is adopted again', async () => {
    const { worker, id } = await adopt('adopt-lost', {}, {});
    try {
      await worker.phase('ready');
      await worker.agent.service.kill();
      await rm(worker.agent.stateDir, { recursive: true });
      const mark = await worker.mark();
      await worker.agent.service.start();
      await worker.next(mark, 'container.adopted');
      expect(await worker.container()).toMatchObject({ id, status: 'running' });
      writeFileSync(join(host, 'seen'), '');
    } finally {
      await worker.agent.service.stop();
      await docker.remove(worker.containerName);
    }
  });

  test('whose workload is taken out is let go of as it runs, also where orphans are removed', async () => {
    const [name, made] = ['adopt-let-go', `e2e-adopt-made-${process.pid}`];
    const found = `e2e-${name}-${process.pid}`;
    const id = await docker.run(found, image, ['sleep', 'infinity']);
    const workloads = [
      { name: 'found', container: { adopt: found } },
      { name: 'made', container: { name: made, image, pull_policy: 'never', command: ['sleep', 'infinity'] } },
    ];
    const agent = await lab.addAgent({ host: name, workloads, hostFields: { orphans: 'remove' } });
    try {
      await lab.fleet.waitForPhase(name, 'found', 'ready');
      await lab.fleet.waitForPhase(name, 'made', 'ready');
      agent.configure([]);
      // One judgement is about both.
      await waitFor(async () => (await docker.inspect(made)) === null, { what: 'the orphan to be removed', timeoutMs: 30_000 });
      expect(await docker.inspect(found)).toMatchObject({ Id: id, State: { Running: true } });
      agent.configure(workloads.slice(0, 1));
      await lab.fleet.waitForPhase(name, 'found', 'ready');
      expect(await docker.inspect(found)).toMatchObject({ Id: id, State: { Running: true } });
    } finally {
      await agent.service.stop();
      await docker.remove(found);
    }
  });

  test('that could not be written down runs on when the configuration changes, and is written down then', async () => {
    const name = 'adopt-unwritten';
    const containerName = `e2e-${name}-${process.pid}`;
    const id = await docker.run(containerName, image, ['sleep', 'infinity']);
    const workload = (interval: string) => ({ name, container: { adopt: containerName }, live: [{ exec: 'true', interval }] });
    const agent = await lab.addAgent({ host: name, workloads: [workload('1s')], start: false });
    // As good as a full disk, for this one file.
    const file = join(agent.stateDir, 'adopted', `${name}.json`);
    mkdirSync(`${file}.new`, { recursive: true });
    const told = (what: string): Promise<boolean> =>
      waitFor(async () => (await lab.fleet.events({ host: name })).some(({ message }) => message.includes(what)), {
        what,
        timeoutMs: 30_000,
      });
    try {
      await agent.service.start();
      await lab.fleet.waitForPhase(name, name, 'ready');
      await told('is adopted, but what it is could not be written down');
      agent.configure([workload('2s')]);
      await told(`workload ${name}: restarts nothing (live)`);
      expect((await lab.fleet.events({ host: name })).map(({ kind }) => kind)).not.toContain('restart.scheduled');
      expect(existsSync(file)).toBe(false);
      rmSync(`${file}.new`, { recursive: true });
      agent.configure([workload('3s')]);
      await waitFor(() => existsSync(file), { what: 'it to be written down' });
      expect(await docker.inspect(containerName)).toMatchObject({ Id: id, State: { Running: true } });
      await lab.fleet.waitForPhase(name, name, 'ready');
    } finally {
      await agent.service.stop();
      await docker.remove(containerName);
    }
  });
});
