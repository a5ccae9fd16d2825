/** A worker as its fleet has it in a file for `ray up`: imported with the public command, and run as it was written. */
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { Bystander, type WorkloadDocument } from '../bystander.ts';
import { programs } from '../lab.ts';
import { bucket, onlyDir } from './emulator.ts';
import { mountPoint, type RayCluster, RayWorker } from './ray-cluster.ts';

const run = promisify(execFile);
const name = 'imported';

interface Imported {
  readonly host: Readonly<Record<string, unknown>>;
  readonly vars: Readonly<Record<string, unknown>>;
  readonly workloads: readonly [WorkloadDocument];
}

export interface ImportedWorker {
  readonly worker: RayWorker;
  /** What the file mounts at /tmp: sessions of Ray outlive the container there. */
  readonly tmp: string;
}

export async function startImported(cluster: RayCluster): Promise<ImportedWorker> {
  const directory = join(cluster.lab.directory, name);
  const tmp = join(directory, 'tmp');
  mkdirSync(tmp, { recursive: true, mode: 0o1777 });
  const file = join(directory, 'cluster.yaml');
  writeFileSync(file, clusterFile(cluster, tmp));
  const head = ['--head', cluster.headAddress];
  const { stdout } = await run(process.execPath, [programs.agent, 'import', 'ray', file, '--node-type', 'tpu_worker', ...head]);
  const {
    host,
    vars,
    workloads: [{ container, ...workload }],
  } = parse(stdout) as Imported;
  const machine = await cluster.newMachine(name);
  // The one thing that differs: a machine of the tests is a container, not a host.
  const document = { ...workload, name, container: { ...container, network_mode: machine.mode } };
  const bystander = await Bystander.start(cluster.lab, name, cluster.parts.image, document, {}, host, { vars });
  return { worker: new RayWorker(cluster, bystander, machine), tmp };
}

/** As the fleets of Marin write it, down to its quoting; without what only Google's cloud can answer, within what any machine allows. */
const clusterFile = ({ parts, emulator }: RayCluster, tmp: string): string => `\
cluster_name: marin-us-west4-a
min_workers: 4
max_workers: 1024
provider:
  type: gcp
  region: us-west4
  availability_zone: us-west4-a
  project_id: example-models
auth:
  ssh_user: ray
docker:
  image: '${parts.image}'
  container_name: e2e-${name}-${process.pid}
  pull_before_run: false
  worker_run_options:
    - --cap-add=SYS_ADMIN --device=/dev/fuse
    - --security-opt=apparmor:unconfined
    - --ulimit memlock=1048576:1048576
    - --ulimit nofile=16384:16384
    - --shm-size=128mb
    - -e MARIN_PREFIX=gs://${bucket}
    - -e "BUCKET=${bucket}"
    - "-v"
    - "${tmp}:/tmp"
    - --rm=0
    - --restart=unless-stopped
initialization_commands:
  - 'echo "initialized by \${USER:-nobody}" > ${tmp}/initialized'
head_setup_commands:
  - mkdir $HOME/.cache/huggingface -p
worker_setup_commands:
  - mkdir $HOME/.cache/huggingface -p
  - mkdir -p ~/.ssh && echo "ssh-ed25519 AAAA test" > ~/.ssh/authorized_keys
  - 'echo "export HF_HOME=${mountPoint}/(shared)" | sed ''s/[()]//g'' >> ~/.bashrc'
  - rm -rf /tmp/ray/session_*/runtime_resources/
  - gcsfuse --implicit-dirs ${emulator.options.join(' ')} --only-dir ${onlyDir} $BUCKET ${mountPoint} || true
  - test -e ${mountPoint}/marker && echo "$HF_HOME" > /tmp/after-the-mount
head_start_ray_commands:
  - ray stop
  - ulimit -n 65536; ray start --disable-usage-stats --head --port=6379 --object-manager-port=8076
worker_start_ray_commands:
  - ray stop
  - ulimit -n 65536; ray start --disable-usage-stats --address=$RAY_HEAD_IP:6379 --object-manager-port=8076 --object-store-memory=80000000
head_node_type: head_default
available_node_types:
  head_default:
    resources: { 'CPU': 32 }
  tpu_worker:
    max_workers: 0
    resources: { 'CPU': 1, 'v5litepod-4': 1 }
`;
