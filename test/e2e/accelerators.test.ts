/**
 * Accelerators on a real engine. The machine has none, so `nvidia-smi` is a script on the agent's PATH and in the container,
 * and the TPU a device node on which processes take a lock, in a /dev of the agent's own. Everything else is real.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { at, Bystander, type WorkloadDocument } from '../support/bystander.ts';
import { dockerApi } from '../support/docker-api.ts';
import { findProgram } from '../support/engine-install.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { fakeNvidiaSmi, nvidiaSmi } from '../support/nvidia-smi.ts';
import { listProcesses } from '../support/processes.ts';
import { eventually, waitFor } from '../support/wait.ts';

const docker = dockerApi(inject('engineSocket'));
const image = inject('engineImage');

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(async () => {
  await lab?.dispose();
});

describe('a GPU', () => {
  const card = { uuid: 'GPU-e2e', pci: '00000000:01:00.0', model: 'NVIDIA H100 80GB HBM3' };

  /** A host with one GPU, and a container whose nvidia-smi fails as soon as /tmp/lost is there: a new container has it back. */
  async function worker(name: string) {
    const host = fakeNvidiaSmi(join(lab.directory, name, 'host'));
    host.prints(nvidiaSmi({ gpus: [card] }));
    const inside = fakeNvidiaSmi(join(lab.directory, name, 'inside'));
    inside.says(
      'echo asked >> /opt/nvidia/asked\n[ -e /tmp/lost ] && { echo "Failed to initialize NVML: Unknown Error"; exit 255; }\necho "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-e2e)"',
    );
    const document: WorkloadDocument = {
      container: { volumes: [`${inside.directory}:/opt/nvidia`], environment: { PATH: '/opt/nvidia:/usr/local/bin:/usr/bin:/bin' } },
      process: { run: 'exec sleep 100000' },
      // Long enough for a busy machine: an answer that comes too late is told, and is not what these tests wait for.
      live: [{ gpu: {}, interval: '300ms', timeout: '30s', failures: 2 }],
    };
    const bystander = await Bystander.start(lab, name, image, document, { env: { PATH: `${host.directory}:${process.env['PATH']}` } });
    await bystander.phase('ready');
    // The phase may arrive before the events that led to it: a mark comes behind them.
    await bystander.next(0, 'workload.ready');
    const asked = (): number =>
      existsSync(join(inside.directory, 'asked')) ? readFileSync(join(inside.directory, 'asked'), 'utf8').split('\n').length : 0;
    return { bystander, host, asked };
  }

  test('that is lost inside the container, with nothing at work on it: the container is made anew, once', async () => {
    const { bystander, asked } = await worker('gpu-lost');
    const mark = await bystander.mark();
    await bystander.exec('touch', '/tmp/lost');
    const scheduled = await bystander.next(mark, 'restart.scheduled');
    expect(scheduled.data).toMatchObject({ code: 'gpu-lost', level: 'container', countsAsFailure: true });
    expect(scheduled.message).toContain('Failed to initialize NVML: Unknown Error');
    await bystander.next(Number(scheduled.id), 'workload.ready');
    expect((await bystander.phase('ready')).generation).toBe(2);
    expect((await bystander.since(mark)).find(({ kind }) => kind === 'check.failed')?.data).toMatchObject({ code: 'gpu-lost' });
    const before = asked();
    await waitFor(() => asked() >= before + 5, { what: 'it to be asked five times more', timeoutMs: 60_000 });
    expect(await bystander.status()).toMatchObject({ phase: 'ready', generation: 2, restarts: { container: 1 } });
    await bystander.agent.service.stop();
  });

  test('that is lost while a process of the container works on it: told, and left alone until that has ended', async () => {
    const { bystander, host, asked } = await worker('gpu-at-work');
    const { id } = await bystander.container();
    // Ready is said as soon as its wrapper runs.
    const atWork = await waitFor(
      () => listProcesses().find(({ cgroup, cmdline }) => cgroup.includes(id) && cmdline[0] === 'sleep' && cmdline[1] === '100000'),
      { what: 'the process to run' },
    );
    host.prints(nvidiaSmi({ gpus: [{ ...card, processes: [{ pid: atWork.pid, name: 'train.py' }] }] }));
    const mark = await bystander.mark();
    await bystander.exec('touch', '/tmp/lost');
    const failed = await bystander.next(mark, 'check.failed');
    expect(failed.message).toContain(`train.py (pid ${atWork.pid}) still runs on a GPU`);
    const before = asked();
    await waitFor(() => asked() >= before + 5, { what: 'it to be asked five times more', timeoutMs: 60_000 });
    expect(await bystander.phase('degraded')).toMatchObject({ generation: 1, restarts: { process: 0, container: 0 } });
    host.prints(nvidiaSmi({ gpus: [card] }));
    const scheduled = await bystander.next(mark, 'restart.scheduled');
    await bystander.next(Number(scheduled.id), 'workload.ready');
    expect(await bystander.phase('ready')).toMatchObject({ generation: 2, restarts: { container: 1 } });
    await bystander.agent.service.stop();
  });

  test('of a host whose driver does not match: seen with health, reason and action, as a condition, and in /metrics', async () => {
    const host = fakeNvidiaSmi(join(lab.directory, 'mismatch'));
    host.prints(nvidiaSmi({ gpus: [{ ...card, temperature: '77 C', utilisation: '37 %' }] }));
    const bystander = await Bystander.start(lab, 'gpu-driver', image, {}, { env: { PATH: `${host.directory}:${process.env['PATH']}` } });
    const seen = () => lab.fleet.host('gpu-driver').then((found) => found?.accelerators);
    await eventually(async () => expect(await seen()).toMatchObject([{ kind: 'gpu', index: 0, id: 'GPU-e2e', health: 'ok' }]), {
      what: 'its GPU',
      timeoutMs: 30_000,
    });
    const metrics = await fetch(`${lab.url}/metrics`, {
      headers: { authorization: `Bearer ${readFileSync(lab.operatorTokenFile, 'utf8').trim()}` },
    }).then((answer) => answer.text());
    expect(metrics).toContain('relight_accelerator_temperature_celsius{host="gpu-driver",kind="gpu",index="0",id="GPU-e2e"} 77');
    expect((await lab.relight('host', 'gpu-driver')).stdout).toContain('NVIDIA H100 80GB HBM3, ok, 37 % used');

    host.says('echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18');
    await bystander.agent.service.stop();
    await bystander.agent.service.start();
    await eventually(
      async () =>
        expect(await seen()).toMatchObject([{ id: 'GPU-e2e', health: 'failed', action: expect.stringContaining('Reboot') as string }]),
      { what: 'the card to have failed', timeoutMs: 30_000 },
    );
    const { conditions } = (await lab.fleet.host('gpu-driver')) ?? {};
    expect(conditions?.map(({ name, severity }) => [name, severity])).toContainEqual(['gpu-driver-mismatch', 'error']);
    expect((await lab.agentCommand(bystander.agent, 'status')).stdout).toContain('different versions');
    await bystander.agent.service.stop();
  });
});

describe('a TPU', () => {
  /** A lock on the device stands for the chip: whoever has it open and locked is the only one who can use it. */
  const takeTpu =
    'exec 3<>/dev/accel0; flock -n 3 || { echo "RuntimeError: TPU initialization failed: The TPU is already in use by process with pid 1" >&2; exit 1; }; echo has the TPU';

  function hostWithTpu(name: string) {
    const home = join(lab.directory, name);
    mkdirSync(home, { recursive: true });
    const node = join(home, 'accel0');
    // As /dev/null, which every container may open.
    execFileSync('mknod', [node, 'c', '1', '3']);
    const dev = join(home, 'dev');
    mkdirSync(dev);
    const setUp = `mount -t tmpfs dev ${dev} && cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom ${dev} && mknod ${dev}/accel0 c 1 3 && mount --rbind ${dev} /dev && exec "$@"`;
    return { node, service: { through: ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', setUp, 'sh'] } };
  }

  /** The image's busybox has no flock; that of the machine needs nothing but its C library, which the image has. */
  const binds = (node: string): readonly string[] => [`${node}:/dev/accel0`, `${findProgram('flock')}:/usr/bin/flock:ro`];

  const user = (node: string, container: WorkloadDocument['container'] = {}): WorkloadDocument => ({
    container: { volumes: binds(node), ...container },
    process: { run: `${takeTpu}; sleep 100000`, stop_timeout: '100ms' },
    ready: [{ exec: 'pidof sleep && grep -q "has the TPU" /run/relight/*process.log', interval: '100ms' }],
  });

  test('that an orphan of our own killed container holds is taken back', async () => {
    const { node, service } = hostWithTpu('tpu-orphan');
    const bystander = await Bystander.start(lab, 'tpu-orphan', image, user(node, { pid: 'host' }), service);
    await bystander.phase('ready');
    const { id } = await bystander.container();
    // It has the TPU before it has become what it sleeps as.
    const holder = await waitFor(
      () => listProcesses().find(({ cgroup, cmdline }) => cgroup.includes(id) && cmdline[0] === 'sleep' && cmdline[1] === '100000'),
      { what: 'somebody to hold the TPU' },
    );
    // It leaves its container's cgroup, as a program that manages cgroups by itself may, and so survives the container.
    for (const line of readFileSync(`/proc/${holder.pid}/cgroup`, 'utf8').trim().split('\n')) {
      const [, controllers = '', path = ''] = line.split(':');
      if (!path.includes(id)) continue;
      const root =
        controllers === '' ? ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'] : [`/sys/fs/cgroup/${controllers.replace('name=', '')}`];
      for (const directory of root)
        if (existsSync(`${directory}/cgroup.procs`)) writeFileSync(`${directory}/cgroup.procs`, String(holder.pid));
    }
    const mark = await bystander.mark();
    await docker.kill(id);
    await bystander.next(mark, 'container.died');
    const killed = await bystander.next(mark, 'process.killed', ({ data }) => data['code'] === 'tpu-busy');
    expect(killed.message).toContain(`sleep (pid ${holder.pid})`);
    await bystander.next(Number(killed.id), 'workload.ready');
    await bystander.phase('ready');
    expect(listProcesses().some(({ pid }) => pid === holder.pid)).toBe(false);
    expect(await bystander.status()).toMatchObject({ generation: 2, phase: 'ready', restarts: { process: 0, container: 1 } });
    await bystander.agent.service.stop();
  });

  test('that somebody else holds: left alone, tried once more, then held with the name of the holder', async () => {
    const { node, service } = hostWithTpu('tpu-foreign');
    const foreign = await docker.run(`foreign-${process.pid}`, image, ['sh', '-c', `${takeTpu}; sleep 200000`], {
      HostConfig: { Binds: binds(node) },
    });
    try {
      await waitFor(() => listProcesses().some(({ cgroup, cmdline }) => cgroup.includes(foreign) && cmdline[0] === 'sleep'), {
        what: 'the other one to have the TPU',
        timeoutMs: 30_000,
      });
      const bystander = await Bystander.start(lab, 'tpu-foreign', image, user(node), service);
      const held = await bystander.next(0, 'workload.held', ({ data }) => data['holders'] === true, 60_000);
      // What is held looks again after a while: before that it was started twice.
      const events = await bystander.since(0);
      const starts = events
        .slice(
          0,
          events.findIndex(({ kind }) => kind === 'workload.held'),
        )
        .filter(({ kind }) => kind === 'process.started');
      expect(starts).toHaveLength(2);
      const [first, second] = starts.map(at);
      expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(4_000);
      expect(held.message).toMatch(new RegExp(`the TPU is held by .*in container foreign-${process.pid}`));
      expect(held.message).toContain('replace the VM');
      const host = await eventually(
        async () => {
          const found = await lab.fleet.host('tpu-foreign');
          expect(found?.conditions?.map(({ name }) => name)).toContain('tpu-busy');
          return found;
        },
        { what: 'the condition', timeoutMs: 30_000 },
      );
      expect(host?.accelerators).toMatchObject([{ kind: 'tpu', id: '/dev/accel0', health: 'failed' }]);
      expect((await docker.inspect(foreign))?.['State']).toMatchObject({ Running: true });

      await docker.remove(foreign);
      await lab.relight('resume', 'tpu-foreign/tpu-foreign');
      await bystander.phase('ready');
      await eventually(
        async () => expect((await lab.fleet.host('tpu-foreign'))?.accelerators).toMatchObject([{ health: 'ok', reason: '' }]),
        {
          what: 'the TPU to be well again',
          timeoutMs: 30_000,
        },
      );
      await bystander.agent.service.stop();
    } finally {
      await docker.remove(foreign).catch(() => undefined);
    }
  });
});
