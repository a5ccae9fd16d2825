import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RelightError } from '@relight/shared/errors';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../load.ts';
import type { AgentSpec, SetupStep, WorkloadSpec } from '../../spec.ts';
import { importRay, type RayImportOptions } from './import-ray.ts';
import type { RayNote } from './report.ts';

const fixture = (name: string): string => readFileSync(join(import.meta.dirname, 'fixtures', name), 'utf8');
const noAnswers = { memoryAvailableBytes: null, nvidia: null };
const options = (more: Partial<RayImportOptions> = {}): RayImportOptions => ({ file: 'cluster.yaml', host: noAnswers, ...more });

interface Result {
  readonly yaml: string;
  readonly notes: readonly RayNote[];
  readonly spec: AgentSpec;
  readonly workload: WorkloadSpec;
  readonly steps: readonly SetupStep[];
}
function imported(text: string, more: Partial<RayImportOptions> = {}): Result {
  const { yaml, notes } = importRay(text, options(more));
  const spec = parseConfig(yaml, '/etc/relight/agent.yaml', { hostname: 'h' });
  const workload = spec.workloads[0];
  if (workload === undefined) throw new Error('no workload');
  return { yaml, notes, spec, workload, steps: workload.setup.filter((item) => item.kind === 'step') };
}
const text = (command: SetupStep['run'] | null | undefined): string | null =>
  command !== null && command !== undefined && 'text' in command ? command.text : null;
const told = (notes: readonly RayNote[], kind: RayNote['kind']): readonly string[] =>
  notes.filter((note) => note.kind === kind).map(({ line, text: what }) => `${line}: ${what}`);

/** The smallest cluster that `ray up` takes, with what a test is about. */
const cluster = (more: string, docker = ''): string =>
  `cluster_name: c\nprovider: {type: local, head_ip: 10.0.0.2, worker_ips: []}\ndocker:\n  image: ray:1\n  container_name: ray_docker\n${docker}${more}\n`;

describe('a file as Marin has it', () => {
  const marin = imported(fixture('marin.yaml'), { nodeType: 'tpu_worker', head: '10.1.2.3' });

  it('becomes a configuration with comments', async () => {
    await expect(marin.yaml).toMatchFileSnapshot('fixtures/marin.agent.yaml');
    await expect(`${marin.notes.map(({ kind, line, text: what }) => `${kind} ${line}: ${what}`).join('\n')}\n`).toMatchFileSnapshot(
      'fixtures/marin.notes.txt',
    );
  });

  it('makes the same container', () => {
    expect(marin.workload.container).toMatchObject({
      name: 'ray_docker',
      image: 'us-west4-docker.pkg.dev/example-models/marin/marin_cluster:20250901',
      command: ['sleep', 'infinity'],
      init: true,
      pullPolicy: 'always',
      networkMode: 'host',
      privileged: true,
      shmSizeBytes: 200 * 1024 ** 3,
      ulimits: { memlock: { soft: -1, hard: -1 }, nofile: { soft: 1048576, hard: 1048576 } },
      environment: {
        LC_ALL: 'C.UTF-8',
        LANG: 'C.UTF-8',
        MARIN_PREFIX: 'gs://marin-us-west4',
        BUCKET: 'marin-us-west4',
        AUTOSCALER_HEARTBEAT_TIMEOUT_S: '600',
        TPU_MIN_LOG_LEVEL: '3',
        TPU_STDERR_LOG_LEVEL: '3',
      },
      volumes: [
        { source: '/tmp', target: '/tmp' },
        { source: '/var/run/docker.sock', target: '/var/run/docker.sock' },
      ],
    });
  });

  it('runs the eleven setup commands in their order, byte for byte, and lifts gcsfuse to its place among them', () => {
    const commands = fixture('marin.yaml').split('worker_setup_commands:\n')[1]?.split('head_start_ray_commands')[0] ?? '';
    expect(marin.workload.setup).toHaveLength(11);
    expect(marin.workload.setup[10]).toEqual({ kind: 'mount', mount: 'gcsfuse_mount' });
    const kept = marin.steps.map((step) => text(step.run));
    for (const index of [0, 1, 2, 3, 5, 6, 7, 9]) expect(commands).toContain(`- ${kept[index]}\n`);
    expect(kept[4]).toBe('gsutil -m cp -r gs://marin-us-west4/tokenizers/* "$HOME/.cache/huggingface/"');
    expect(marin.steps[4]?.optional).toBe(true);
    expect(kept[8]).toBe(
      `echo "export HF_DATASETS_TRUST_REMOTE_CODE=1 HF_HOME=/opt/gcsfuse_mount/(shared)" | sed 's/[()]//g' >> ~/.bashrc`,
    );
    expect(marin.steps.filter(({ optional }) => optional)).toHaveLength(1);
  });

  it('mounts the bucket that the shell would have found', () => {
    expect(marin.workload.mounts).toMatchObject([
      {
        type: 'gcsfuse',
        bucket: 'marin-us-west4',
        target: '/opt/gcsfuse_mount',
        onlyDir: 'gcsfuse_mount',
        implicitDirs: true,
        options: [],
      },
    ]);
  });

  it('starts Ray in the foreground and asks the head about it', () => {
    expect(text(marin.workload.process?.run)).toBe(
      'ulimit -n 65536; ray start --disable-usage-stats --address=$RAY_HEAD_IP:6379 --object-manager-port=8076 --block',
    );
    expect(text(marin.workload.process?.before)).toBe('ray stop');
    expect(marin.workload.dependsOn).toMatchObject([{ kind: 'tcp', address: '${RAY_HEAD_IP}:6379' }]);
    expect(marin.workload.live.filter(({ probe }) => probe.kind !== 'volumes')).toMatchObject([
      { probe: { kind: 'http', url: 'http://127.0.0.1:52365/api/local_raylet_healthz' }, restarts: 'process' },
    ]);
    expect(marin.spec.vars).toMatchObject([
      { name: 'RAY_HEAD_IP', value: '10.1.2.3' },
      { name: 'RAY_OVERRIDE_RESOURCES', value: '{"CPU":120,"TPU":4}' },
      { name: 'RAY_CLOUD_INSTANCE_ID', run: expect.anything() },
    ]);
  });

  it("runs the head's and the host's commands where they belong", () => {
    expect(marin.yaml).not.toContain('ray_bootstrap_config');
    expect(marin.yaml.split('vars:')[0]).toContain('- run: sudo chmod 666 /var/run/docker.sock');
  });

  it('takes for a node type what Ray takes: its commands replace all others, its docker block is laid over the general one', () => {
    const slice = imported(fixture('marin.yaml'), { nodeType: 'tpu_slice_v5e_128' });
    expect(slice.workload.container).toMatchObject({
      image: 'us-west4-docker.pkg.dev/example-models/marin/marin_slice:20250901',
      privileged: true,
    });
    expect(slice.steps.map((step) => text(step.run))).toEqual(['echo "a slice"']);
    expect(told(slice.notes, 'left')).toContain(
      '42: worker_setup_commands: the node type tpu_slice_v5e_128 has worker_setup_commands of its own, which replace them in Ray',
    );
    const { run } = slice.spec.vars[0] as { run: SetupStep['run'] };
    expect(text(run)).toBe(
      `gcloud compute instances list --project=example-models '--filter=labels.ray-cluster-name=marin-us-west4-a AND labels.ray-node-type=head AND status=RUNNING' '--format=value(networkInterfaces[0].networkIP)' | head -n 1 | grep .`,
    );
  });
});

describe('a file as SkyPilot makes it', () => {
  const sky = imported(fixture('sky.yaml'), { host: { memoryAvailableBytes: 100e9, nvidia: true } });

  it('becomes a configuration with comments', async () => {
    await expect(sky.yaml).toMatchFileSnapshot('fixtures/sky.agent.yaml');
    await expect(`${sky.notes.map(({ kind, line, text: what }) => `${kind} ${line}: ${what}`).join('\n')}\n`).toMatchFileSnapshot(
      'fixtures/sky.notes.txt',
    );
  });

  it('takes the only worker type by itself, with what mounts and GPUs need', () => {
    expect(sky.workload.container).toMatchObject({
      pullPolicy: 'missing',
      gpus: 'all',
      runtime: 'nvidia',
      capAdd: ['SYS_ADMIN'],
      devices: [{ source: '/dev/fuse' }],
      securityOpt: ['apparmor=unconfined'],
      shmSizeBytes: 64 * 1024 ** 3,
      volumes: [],
    });
    expect(told(sky.notes, 'left')).toContainEqual(
      expect.stringContaining("--volume $HOME/datasets:/datasets: the host's shell would expand it"),
    );
  });

  it('lifts a mount out of the middle of a command and keeps what is around it', () => {
    const tail = sky.workload.setup.slice(-2);
    expect(tail[0]).toEqual({ kind: 'mount', mount: 'checkpoints' });
    expect(tail[1]).toMatchObject({ kind: 'step', run: { text: 'touch /checkpoints/.here' } });
    expect(sky.workload.mounts).toMatchObject([
      { bucket: 'my-checkpoints', target: '/checkpoints', implicitDirs: true, options: ['-o', 'allow_other', '--stat-cache-ttl=10s'] },
    ]);
  });

  it('cuts what would come after a ray start that does not end', () => {
    expect(text(sky.workload.process?.run)).toBe(
      'RAY_SCHEDULER_EVENTS=0 ray start --disable-usage-stats --address=$RAY_HEAD_IP:6380 --object-manager-port=8076 --dashboard-agent-listen-port=52400 --block',
    );
    expect(text(sky.workload.process?.before)).toBe('(ray stop\n) && (pgrep -f skylet || true\n)');
    expect(sky.workload.dependsOn).toMatchObject([{ address: '${RAY_HEAD_IP}:6380' }]);
    expect(sky.workload.live[0]).toMatchObject({ probe: { url: 'http://127.0.0.1:52400/api/local_raylet_healthz' } });
  });
});

describe('details', () => {
  it('has the start commands of Ray where the file has none', () => {
    const { workload, spec } = imported(cluster(''));
    expect(text(workload.process?.run)).toBe('ulimit -n 65536; ray start --address=$RAY_HEAD_IP:6379 --object-manager-port=8076 --block');
    expect(text(workload.process?.before)).toBe('ray stop');
    expect(spec.vars).toEqual([{ name: 'RAY_HEAD_IP', value: '10.0.0.2' }]);
  });

  it('reckons shared memory as Ray does, and at most 200 GB', () => {
    expect(imported(cluster(''), { host: { memoryAvailableBytes: 100e9, nvidia: false } }).workload.container.shmSizeBytes).toBe(
      Math.floor(33e9 / 2 ** 20) * 2 ** 20,
    );
    expect(imported(cluster(''), { host: { memoryAvailableBytes: 900e9, nvidia: false } }).workload.container.shmSizeBytes).toBe(
      Math.floor(200e9 / 2 ** 20) * 2 ** 20,
    );
    expect(imported(cluster('', '  disable_shm_size_detection: true\n')).workload.container.shmSizeBytes).toBeUndefined();
  });

  it('concatenates options and lets the last flag win', () => {
    const docker =
      '  run_options: ["--rm", "--memory 1g", "-e A=1"]\n  worker_run_options: ["--rm=0", "--memory=2g", "-e", "B=\'x y\'", "--restart always"]\n';
    const { workload, notes } = imported(cluster('', docker));
    expect(workload.container).toMatchObject({ memoryBytes: 2 ** 31, environment: { A: '1', B: 'x y' } });
    const left = told(notes, 'left').join('\n');
    expect(left).toContain('--restart always: Relight is the only restarter');
    expect(left).not.toContain('--rm');
    expect(told(imported(cluster('')).notes, 'left').join('\n')).toContain('--rm: Relight removes containers itself');
  });

  it.each<[string, object]>([
    ['a && b || true', { run: { text: 'a && b' }, optional: true }],
    ['a || true && b', { run: { text: 'a || true && b' }, optional: false }],
    ['(a || true)', { run: { text: '(a || true)' }, optional: false }],
    ['echo "x || true"', { run: { text: 'echo "x || true"' }, optional: false }],
    ['for f in *; do rm $f || true; done', { run: { text: 'for f in *; do rm $f || true; done' }, optional: false }],
    ['cat <<EOF\nx || true', { optional: false }],
    ['echo "~/x" \'~/y\' ~/z', { run: { text: 'echo "$HOME/x" \'~/y\' ~/z' } }],
  ])('%s', (command, expected) => {
    expect(imported(cluster(`setup_commands: [${JSON.stringify(command)}]`)).steps).toMatchObject([expected]);
  });

  it.each<[string, object | null]>([
    ['gcsfuse b /m', { type: 'gcsfuse', bucket: 'b', target: '/m', implicitDirs: false, onlyDir: null }],
    ['gcsfuse --implicit-dirs /all', { bucket: '', target: '/all', implicitDirs: true }],
    ['gcsfuse --only-dir=a/b --key-file /k.json b /m/', { bucket: 'b', target: '/m', onlyDir: 'a/b', options: ['--key-file=/k.json'] }],
    ['gcsfuse --foreground b /m > /tmp/log 2>&1 &', { bucket: 'b', target: '/m', options: [] }],
    ['sudo mkdir -p /m; gcsfuse ${UNKNOWN} /m', { type: 'command', run: { text: 'gcsfuse --foreground ${UNKNOWN} /m' }, target: '/m' }],
    ['sudo gcsfuse b /m', { type: 'command', run: { text: 'sudo gcsfuse --foreground b /m' } }],
    ['gcsfuse --version', null],
    ['gcsfuse b ~/m', null],
    ['yes | gcsfuse b /m', null],
    ['which gcsfuse', null],
  ])('of %s it makes a mount, or leaves it alone', (command, expected) => {
    const { workload } = imported(cluster(`setup_commands: [${JSON.stringify(command)}]`));
    expect(workload.mounts).toMatchObject(expected === null ? [] : [expected]);
    expect(workload.setup).toHaveLength(1);
    expect(workload.setup[0]?.kind).toBe(expected === null ? 'step' : 'mount');
  });

  it('knows what an earlier command has exported by way of .bashrc', () => {
    const { workload } = imported(cluster(`setup_commands: ["echo 'export B=mine' >> ~/.bashrc", "gcsfuse $B /m || exit 1"]`));
    expect(workload.mounts).toMatchObject([{ type: 'gcsfuse', bucket: 'mine' }]);
  });

  it('runs docker commands on the host, and none that act on the container', () => {
    const { yaml, steps, notes } = imported(cluster('setup_commands: ["docker pull x", "docker exec ray_docker id", "dockerize x"]'));
    expect(steps).toEqual([]);
    expect(yaml.split('vars:')[0]).toContain('- run: docker pull x');
    expect(told(notes, 'left').join('\n')).toContain('docker exec ray_docker id');
  });

  it('says what a person should look at', () => {
    const { notes, yaml } = imported(
      cluster(
        'setup_commands: ["sleep 30", "x | tee log", "echo a >> ~/.bashrc"]\ninitialization_commands: ["sudo usermod -aG docker $USER"]',
      ),
    );
    const look = told(notes, 'look').join('\n');
    for (const part of ['a blind wait', 'hides the exit code', 'not idempotent', 'uses $USER']) {
      expect(look).toContain(part);
      expect(yaml).toContain(part);
    }
  });

  it('names every field that it does not carry over, with its line', () => {
    const more =
      'max_workers: 3\nauth: {ssh_user: me}\nrsync_exclude: ["**/.git"]\nfile_mounts: {"/cfg": "./cfg"}\nmax_wrkers: 1\nhead_node: {}';
    const left = told(imported(cluster(more)).notes, 'left');
    expect(left).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^2: provider: /),
        expect.stringMatching(/^6: max_workers: /),
        expect.stringMatching(/^7: auth: /),
        expect.stringMatching(/^8: rsync_exclude: /),
        '9: file_mounts /cfg: Ray stages it at /tmp/ray_tmp_mount/c/cfg, which a reboot may empty; copy it to a lasting place and add it to volumes',
        '10: max_wrkers: Ray has no such field; did you mean max_workers?',
      ]),
    );
  });

  it('without an address of the head the configuration says so when it is used', () => {
    const text_ = cluster('').replace('type: local, head_ip: 10.0.0.2, worker_ips: []', 'type: azure');
    const { spec, notes } = imported(text_);
    expect(spec.vars[0]).toMatchObject({ name: 'RAY_HEAD_IP', run: { text: expect.stringContaining('exit 1') } });
    expect(told(notes, 'look').join('\n')).toContain('give --head');
  });

  it('without a ray start the start commands are steps, and nothing pretends to be a process', () => {
    const { workload } = imported(cluster('worker_start_ray_commands: ["/start.sh"]'));
    expect(workload.process).toBeNull();
    expect(workload.setup).toMatchObject([{ run: { text: '/start.sh' } }]);
  });
});

describe('refuses', () => {
  const marin = fixture('marin.yaml');
  it.each<[string, string, Partial<RayImportOptions>, string, string]>([
    ['an empty file', '', {}, 'config-invalid', 'cluster.yaml:1:1: the file is empty; it must be a Ray cluster YAML'],
    ['what is no YAML', 'a: [', {}, 'config-invalid', 'cluster.yaml:1:'],
    ['what is no map', '- a', {}, 'config-invalid', 'cluster.yaml:1:1: must be a Ray cluster YAML (key: value), not a list'],
    [
      'a Jinja template',
      'cluster_name: c\ndocker: {image: "{{ image }}"}',
      {},
      'config-invalid',
      'cluster.yaml:2:18: a Jinja template ({{ image }}',
    ],
    ['a Jinja block', '{% if x %}\na: 1', {}, 'config-invalid', 'cluster.yaml:1:1: a Jinja template'],
    ['no docker section', 'cluster_name: c\nprovider: {type: local}', {}, 'config-invalid', 'docker.image is missing'],
    [
      'podman',
      'docker: {image: x, use_podman: true}',
      {},
      'config-invalid',
      'docker.use_podman: Relight works with the Docker Engine only',
    ],
    [
      'commands that are none',
      cluster('setup_commands: [{a: 1}]'),
      {},
      'config-invalid',
      'cluster.yaml:6:18: setup_commands[0]: must be text, not a map; a command with ": " in it needs quotes',
    ],
    [
      'options that are no flags',
      cluster('', '  run_options: ["--privilegd"]\n'),
      {},
      'config-invalid',
      'cluster.yaml:6: docker.run_options: docker run has no flag --privilegd; did you mean --privileged?',
    ],
    ['an open quote', cluster('', '  run_options: ["-e \'A"]\n'), {}, 'config-invalid', 'a quote is never closed'],
    [
      'an unknown node type',
      marin,
      { nodeType: 'tpu_workr' },
      'usage',
      '--node-type tpu_workr: the file has no such node type; did you mean tpu_worker?',
    ],
    ["the head's type", marin, { nodeType: 'head_default' }, 'usage', "that is the head's type"],
    [
      'a choice of types without one',
      marin,
      {},
      'usage',
      'the file has 2 worker types: tpu_worker, tpu_slice_v5e_128; which one is this host?',
    ],
    [
      'a head that is no address',
      marin,
      { nodeType: 'tpu_worker', head: 'http://x' },
      'usage',
      '--head "http://x" is no address of a host',
    ],
  ])('%s', (_, yaml, more, code, message) => {
    const thrown = (() => {
      try {
        importRay(yaml, options(more));
      } catch (error) {
        return error;
      }
      return null;
    })();
    expect(thrown).toBeInstanceOf(RelightError);
    expect(thrown).toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it("takes Docker's own templates for what they are", () => {
    expect(imported(cluster(`setup_commands: ["ps --format '{{.Names}} {{json .}}'"]`)).steps).toHaveLength(1);
  });
});
