/** A cluster file, imported by the built agent and run on a real engine: every command does what it does under `ray up`. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { parse } from 'yaml';
import { buildBashImage } from '../support/bash-image.ts';
import { dockerApi } from '../support/docker-api.ts';
import { eventsStored } from '../support/caught-up.ts';
import { programs, startLab, type Lab } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';

const run = promisify(execFile);
const engineSocket = inject('engineSocket');
const docker = dockerApi(engineSocket);
const directory = mkdtempSync(join(tmpdir(), 'relight-import-'));
const image = 'relight-bash:latest';
const name = `e2e-import-ray-${process.pid}`;
let lab: Lab;
let head: Server;

beforeAll(async () => {
  await buildBashImage(engineSocket, image);
  lab = await startLab({ engineSocket });
  head = createServer((socket) => socket.end());
  await once(head.listen(0, '127.0.0.1'), 'listening');
});
afterAll(async () => {
  await lab?.dispose();
  head?.close();
  await docker.removeImage(image);
  rmSync(directory, { recursive: true });
});

const cluster = (port: number): string => `
cluster_name: lab
provider: {type: gcp, project_id: p, region: r}
docker:
  image: ${image}
  container_name: ${name}
  pull_before_run: false
  worker_run_options:
    - --cap-add=SYS_ADMIN --device=/dev/fuse
    - --security-opt=apparmor:unconfined
    - --ulimit nofile=2048:4096
    - -e BUCKET=marin-us
    - "-v"
    - "${directory}:/shared"
    - --rm=0
initialization_commands:
  - echo "head $RAY_HEAD_IP" > ${directory}/host-setup
  - "false || true"
worker_setup_commands:
  - gcloud config set compute/zone us-west4-a
  - gcloud config set project p
  - mkdir -p "~/.cache/huggingface"
  - mkdir -p ~/.ssh && gcloud compute project-info describe --format="value(items[?key==\\"ssh-keys\\"].value)" > ~/.ssh/authorized_keys
  - (echo 'export HF_HOME=/opt/mount; export QUOTED="a (b)"') >> ~/.bashrc
  - test "$QUOTED" = "a (b)" && test "$FROM_BASHRC" = yes && test "$OMP_NUM_THREADS" = 1
  - echo one >> /shared/steps
  - "exit 3 || true"
  - f() { echo "two"; }; f >> /shared/steps
  - gcsfuse --implicit-dirs --only-dir gcsfuse_mount $BUCKET /opt/mount || true
  - touch /opt/mount/marker
worker_start_ray_commands:
  - ray stop
  - ulimit -n 4096; ray start --address=$RAY_HEAD_IP:${port} --object-manager-port=8076
available_node_types:
  head: {resources: {}, node_config: {}}
  tpu: {resources: {CPU: 4, TPU: 1}, node_config: {}}
head_node_type: head
`;

interface Imported {
  readonly host: { readonly setup: readonly object[] };
  readonly vars: Readonly<Record<string, unknown>>;
  readonly workloads: readonly [Readonly<Record<string, unknown>>];
}

test('a cluster file becomes a worker that is set up, mounted and started as ray up does it', { timeout: 240_000 }, async () => {
  const { port } = head.address() as { port: number };
  const file = join(directory, 'cluster.yaml');
  writeFileSync(file, cluster(port));
  const flags = ['--node-type', 'tpu', '--head', '127.0.0.1', '--socket', engineSocket];
  const { stdout } = await run(process.execPath, [programs.agent, 'import', 'ray', file, ...flags]);
  const { host, vars, workloads } = parse(stdout) as Imported;
  // The stand-in for Ray has no dashboard and no raylet that could be asked.
  const workload = { ...workloads[0], ready: [{ exec: 'test -s /calls/ray-nofile', interval: '200ms' }], live: [] };
  const agent = await lab.addAgent({
    host: 'imported',
    workloads: [workload],
    // Whoever installs a package beside the tests is none of their business.
    config: { vars, host: { name: 'imported', ...host, gate: { quiet_for: '0s', package_manager_idle: false, pending_reboot: 'report' } } },
  });
  try {
    await lab.fleet.waitForPhase('imported', 'ray-worker', 'ready', 90_000);
    await eventsStored(agent);
    const id = (await lab.engine.inspect(name))?.id ?? '';
    const read = async (path: string): Promise<string> => (await lab.engine.exec(id, { argv: ['cat', path] })).stdout;
    expect(readFileSync(join(directory, 'host-setup'), 'utf8')).toBe('head 127.0.0.1\n');
    expect(readFileSync(join(directory, 'steps'), 'utf8')).toBe('one\ntwo\n');
    expect((await read('/calls/gcloud')).split('\n')).toContain('--format=value(items[?key=="ssh-keys"].value)');
    expect(await read('/root/.ssh/authorized_keys')).toBe('ssh-rsa KEY of marin-us\n');
    expect((await lab.engine.exec(id, { argv: ['stat', '/root/.cache/huggingface'] })).exitCode).toBe(0);
    expect((await read('/calls/gcsfuse')).trim().split('\n')).toEqual([
      '--foreground',
      '--implicit-dirs',
      '--only-dir',
      'gcsfuse_mount',
      'marin-us',
      '/opt/mount',
    ]);
    expect(await read('/buckets/marin-us/marker')).toBe('');
    expect(await read('/calls/ray')).toBe(`stop\nstart --address=127.0.0.1:${port} --object-manager-port=8076 --block\n`);
    expect(await read('/calls/ray-nofile')).toBe('4096\n');
    const environment = (await read('/calls/ray-env')).split('\n');
    for (const line of [
      'HF_HOME=/opt/mount',
      'OMP_NUM_THREADS=1',
      'PYTHONWARNINGS=ignore',
      'RAY_OVERRIDE_RESOURCES={"CPU":4,"TPU":1}',
      'BUCKET=marin-us',
      'FROM_BASHRC=yes',
    ])
      expect(environment).toContain(line);
    // Both optional steps, on the host and in the container, have failed and were seen; bash has not complained about its terminal.
    const events = await lab.fleet.events({ host: 'imported', limit: 1_000 });
    expect(events.filter(({ kind }) => kind === 'setup.step-failed').map(({ data }) => data['optional'])).toEqual([true, true]);
    const log = await run(
      process.execPath,
      [programs.relight, 'tail', '--host', 'imported', '--source', 'setup', '--no-follow', '-n', '1000'],
      {
        env: { ...process.env, ...lab.operatorEnvironment },
      },
    );
    expect(log.stdout).not.toMatch(/job control|terminal process group/);

    // Stopped and started as a process of its own: its shell ignores SIGTERM, what runs in it does not.
    const { code } = await lab.agentCommand(agent, 'restart', 'ray-worker', '--level', 'process');
    expect(code).toBe(0);
    await waitFor(async () => (await read('/calls/ray')).match(/^start /gm)?.length === 2, {
      what: 'the second start',
      timeoutMs: 60_000,
      everyMs: 100,
    });
    await lab.fleet.waitForPhase('imported', 'ray-worker', 'ready', 60_000);
    await eventsStored(agent);
    const exits = (await lab.fleet.events({ host: 'imported', limit: 1_000 })).filter(({ kind }) => kind === 'process.killed');
    expect(exits).toHaveLength(1);
  } finally {
    await agent.service.stop();
  }
});
