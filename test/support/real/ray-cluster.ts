/**
 * A cluster of real Ray: a head that can be lost and come back elsewhere, and workers that agents keep, each on "a machine" with
 * an address of its own. What a worker needs of a bucket comes through real gcsfuse from an emulator.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodesUrl, parseNodes, type RayNode } from '@relight/agent/checks/ray-nodes';
import { Bystander, type WorkloadDocument } from '../bystander.ts';
import { dockerApi, type DockerApi } from '../docker-api.ts';
import type { Lab } from '../lab.ts';
import { waitFor } from '../wait.ts';
import { bucket, type Emulator, onlyDir, startEmulator } from './emulator.ts';
import { type NetworkHolder, startNetworkHolder } from './network-holder.ts';
import type { RealParts } from './ray-image.ts';

interface HeadFacts {
  readonly State: { readonly Running: boolean; readonly ExitCode: number; readonly OOMKilled: boolean };
  readonly LogPath: string;
}

/** Small enough for three raylets on a machine for tests. */
const small = '--object-store-memory=80000000 --disable-usage-stats';
/** A raylet gives its agents, which import half of Python, 30 s to tell of themselves: too little on a machine that is busy enough. */
const patient = { RAY_agent_register_timeout_ms: '120000' };
export const mountPoint = '/opt/gcsfuse_mount';
export const joinCommand = `exec ray start --address=$HEAD:6379 --num-cpus=1 ${small} --block`;
export const containerOptions = {
  command: ['sleep', 'infinity'],
  init: true,
  shm_size: '128mb',
  cap_add: ['SYS_ADMIN'],
  devices: ['/dev/fuse'],
  security_opt: ['apparmor=unconfined'],
} as const;

/** `any`: every field of the workload may be replaced. */
export interface WorkerOptions {
  readonly document?: WorkloadDocument;
  readonly image?: string;
  /** Default: a new one. */
  readonly machine?: NetworkHolder;
}

export class RayCluster implements AsyncDisposable {
  readonly lab: Lab;
  readonly docker: DockerApi;
  readonly parts: RealParts;
  readonly emulator: Emulator;
  readonly #headFile: string;
  readonly #holders: NetworkHolder[] = [];
  #head: NetworkHolder | undefined;
  #count = 0;

  private constructor(lab: Lab, docker: DockerApi, parts: RealParts, emulator: Emulator) {
    this.lab = lab;
    this.docker = docker;
    this.parts = parts;
    this.emulator = emulator;
    const directory = join(lab.directory, 'ray');
    mkdirSync(directory, { recursive: true });
    this.#headFile = join(directory, 'head');
  }

  /** With a head that answers, and no worker. */
  static async start(lab: Lab, engineSocket: string, parts: RealParts): Promise<RayCluster> {
    const docker = dockerApi(engineSocket);
    const first = await startNetworkHolder(docker, `ray-first-${process.pid}`, parts.image);
    const emulator = await startEmulator(parts.emulator, first.address.replace(/\d+$/, '1'));
    const cluster = new RayCluster(lab, docker, parts, emulator);
    cluster.#holders.push(first);
    try {
      await cluster.startHead(first);
    } catch (error) {
      // Its names are wanted by the next file.
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  get headAddress(): string {
    if (this.#head === undefined) throw new Error('there is no head');
    return this.#head.address;
  }

  get dashboard(): string {
    return `http://${this.headAddress}:8265`;
  }

  async newMachine(what: string): Promise<NetworkHolder> {
    this.#count += 1;
    const holder = await startNetworkHolder(this.docker, `ray-${what}-${this.#count}-${process.pid}`, this.parts.image);
    this.#holders.push(holder);
    return holder;
  }

  /** A head of a new cluster, at `where` or where the last one was; resolves when it has its own node ALIVE. */
  async startHead(where: NetworkHolder | undefined = this.#head): Promise<void> {
    if (where === undefined) throw new Error('where?');
    this.#head = where;
    // Ray's server for clients must learn this port otherwise, and gives up after 30 s where no raylet is there yet to tell it: then all of the
    // head ends, a second after it has said that it runs.
    const ports = '--port=6379 --runtime-env-agent-port=6381';
    const command = `exec ray start --head ${ports} --dashboard-host=0.0.0.0 --num-cpus=0 ${small} --block`;
    const HostConfig = { NetworkMode: where.mode, ShmSize: 128 << 20 };
    // Ray's own settings. Default of the first: 10 s, with which a raylet that hangs is DEAD after 65 s.
    const Env = ['RAY_health_check_timeout_ms=3000', ...Object.entries(patient).map(([name, value]) => `${name}=${value}`)];
    const run = (): Promise<string> => this.docker.run(this.#headName, this.parts.image, ['sh', '-c', command], { HostConfig, Env });
    await run();
    // Renamed into place: a half written address is none.
    writeFileSync(`${this.#headFile}.new`, where.address);
    renameSync(`${this.#headFile}.new`, this.#headFile);
    await waitFor(
      async () => {
        // Its node may be ALIVE while `ray start` still waits for the rest of it, and may give up.
        if (aliveOf((await this.nodes(where.address)) ?? []).length > 0 && (await this.#hasStarted())) return true;
        const words = await this.headWords();
        if (words === null) return false;
        // On a machine that is busy enough Ray gives its own parts up while they start.
        console.error(`the head has ended before it was one, and is started again: ${words}`);
        await this.loseHead();
        await run();
        return false;
      },
      { timeoutMs: 180_000, everyMs: 100, what: 'the head of the cluster to have its own node' },
    );
  }

  /** How the head has ended, and the last of what it has said; null: it runs. */
  async headWords(): Promise<string | null> {
    const facts = (await this.docker.inspect(this.#headName)) as HeadFacts | null;
    if (facts === null) return 'it is gone';
    if (facts.State.Running) return null;
    const lines = readFileSync(facts.LogPath, 'utf8').trimEnd().split('\n').slice(-30);
    return `exit code ${facts.State.ExitCode}, out of memory: ${facts.State.OOMKilled}\n${lines.join('\n')}`;
  }

  /** `ray start` has said so. */
  async #hasStarted(): Promise<boolean> {
    const facts = (await this.docker.inspect(this.#headName)) as HeadFacts | null;
    return facts?.State.Running === true && readFileSync(facts.LogPath, 'utf8').includes('Ray runtime started');
  }

  /** As by a crash of its machine, without a word to the workers. */
  loseHead(): Promise<void> {
    return this.docker.remove(this.#headName);
  }

  /** What the head says of one address; null: nothing. */
  async nodes(address = this.headAddress): Promise<readonly RayNode[] | null> {
    const signal = AbortSignal.timeout(5_000);
    const body = await fetch(nodesUrl(this.dashboard, address), { signal }).then(
      (answer) => (answer.ok ? answer.text() : ''),
      () => '',
    );
    return parseNodes(body);
  }

  /** Ids of the nodes that the head has ALIVE at an address, as soon as it says anything: silence for a moment is no answer. */
  async alive(address: string): Promise<readonly string[]> {
    return aliveOf(await waitFor(() => this.nodes(address), { timeoutMs: 60_000, everyMs: 100, what: 'the head to tell of its nodes' }));
  }

  gcsfuse(more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
    return {
      name: 'bucket',
      type: 'gcsfuse',
      bucket,
      target: mountPoint,
      only_dir: onlyDir,
      implicit_dirs: true,
      options: this.emulator.options,
      // A machine with three raylets and a whole run of tests beside it may take a second for anything.
      check: { interval: '2s', timeout: '4s', failures: 2 },
      ...more,
    };
  }

  /** A worker as a fleet has it: bucket, Ray, and the proof by the head. */
  workerDocument(machine: NetworkHolder, { container, ...more }: WorkloadDocument = {}): WorkloadDocument {
    return {
      depends_on: [{ tcp: '${HEAD}:6379', timeout: '2s' }],
      // Default: a raylet gives a head up after 60 s.
      container: {
        ...containerOptions,
        network_mode: machine.mode,
        environment: { RAY_gcs_rpc_server_reconnect_timeout_s: '20', ...patient },
        ...container,
      },
      mounts: [this.gcsfuse()],
      process: { before: 'ray stop --force', run: joinCommand, stop_timeout: '5s' },
      ready: [{ ray_node: { dashboard: 'http://${HEAD}:8265' } }, { exec: `test -e ${mountPoint}/marker` }],
      live: [
        { http: `http://127.0.0.1:52365/api/local_raylet_healthz`, from: 'container', interval: '2s', timeout: '5s', failures: 2 },
        { ray_node: { dashboard: 'http://${HEAD}:8265' }, interval: '5s' },
      ],
      ...more,
    };
  }

  async startWorker(name: string, { document, image, machine: given }: WorkerOptions = {}): Promise<RayWorker> {
    const machine = given ?? (await this.newMachine(name));
    const wanted = this.workerDocument(machine, document);
    const vars = { HEAD: { run: ['cat', this.#headFile] } };
    const bystander = await Bystander.start(this.lab, name, image ?? this.parts.image, wanted, {}, {}, { vars });
    return new RayWorker(this, bystander, machine);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.emulator[Symbol.asyncDispose]();
    await this.loseHead().catch(() => {});
    for (const holder of this.#holders) await this.docker.remove(holder.name).catch(() => {});
  }

  get #headName(): string {
    return `ray-head-${process.pid}`;
  }
}

const aliveOf = (nodes: readonly RayNode[]): readonly string[] => nodes.filter((node) => node.alive).map(({ id }) => id);

export class RayWorker {
  readonly cluster: RayCluster;
  readonly bystander: Bystander;
  readonly machine: NetworkHolder;

  constructor(cluster: RayCluster, bystander: Bystander, machine: NetworkHolder) {
    this.cluster = cluster;
    this.bystander = bystander;
    this.machine = machine;
  }

  /** Resolves when it is ready, for the first time. */
  async ready(timeoutMs = 240_000): Promise<this> {
    try {
      await this.bystander.next(0, 'workload.ready', undefined, timeoutMs);
    } catch (error) {
      const words = await this.cluster.headWords();
      throw words === null ? error : new Error(`the head has ended: ${words}`, { cause: error });
    }
    await this.bystander.phase('ready', timeoutMs);
    return this;
  }

  alive(): Promise<readonly string[]> {
    return this.cluster.alive(this.machine.address);
  }
}
