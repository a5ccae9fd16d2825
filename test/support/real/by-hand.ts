/** A Ray worker with its bucket as a person keeps it who knows every step and is never asked twice: the floor to measure against. */
import type { DockerEngine } from '@relight/agent/engine/docker-engine';
import { waitFor } from '../wait.ts';
import { bucket, onlyDir } from './emulator.ts';
import type { NetworkHolder } from './network-holder.ts';
import { joinCommand, mountPoint, type RayCluster } from './ray-cluster.ts';

const everyMs = 25;

export class RayByHand {
  readonly #cluster: RayCluster;
  readonly #engine: DockerEngine;
  readonly #machine: NetworkHolder;
  #id = '';
  #generation = 0;

  private constructor(cluster: RayCluster, machine: NetworkHolder) {
    this.#cluster = cluster;
    this.#engine = cluster.lab.engine;
    this.#machine = machine;
  }

  static async start(cluster: RayCluster): Promise<RayByHand> {
    const hand = new RayByHand(cluster, await cluster.newMachine('hand'));
    await hand.#create();
    await hand.#mount();
    await hand.#join([]);
    return hand;
  }

  /** Breaks it and mends it; milliseconds from the fault until it is of use. */
  readonly mend = {
    container: () =>
      this.#timed(async (known) => {
        const dead = this.#id;
        await this.#engine.kill(dead, 'SIGKILL');
        await this.#engine.rename(dead, `by-hand-${this.#generation}-dead`);
        await this.#create();
        await this.#mount();
        await this.#join(known);
        return () => this.#engine.remove(dead);
      }),
    process: () =>
      this.#timed(async (known) => {
        await this.#stopRay();
        await this.#join(known);
      }),
    mount: () =>
      this.#timed(async (known) => {
        await this.#sh(`pkill -9 gcsfuse; umount -f -l ${mountPoint}; true`);
        await this.#mount();
        await this.#stopRay();
        await this.#join(known);
      }),
  };

  async #timed(steps: (known: readonly string[]) => Promise<void | (() => Promise<void>)>): Promise<number> {
    const known = await this.#cluster.alive(this.#machine.address);
    const began = performance.now();
    const after = await steps(known);
    const took = performance.now() - began;
    await after?.();
    return took;
  }

  async #create(): Promise<void> {
    this.#generation += 1;
    const { cluster, mode } = { cluster: this.#cluster, mode: this.#machine.mode };
    const HostConfig = {
      NetworkMode: mode,
      ShmSize: 128 << 20,
      CapAdd: ['SYS_ADMIN'],
      SecurityOpt: ['apparmor=unconfined'],
      Devices: [{ PathOnHost: '/dev/fuse', PathInContainer: '/dev/fuse', CgroupPermissions: 'rwm' }],
    };
    this.#id = await cluster.docker.run(`by-hand-${this.#generation}-${process.pid}`, cluster.parts.image, ['sleep', 'infinity'], {
      HostConfig,
    });
  }

  async #mount(): Promise<void> {
    await this.#sh(`mkdir -p ${mountPoint}`);
    const flags = ['--foreground', '--implicit-dirs', '--only-dir', onlyDir, ...this.#cluster.emulator.options, bucket, mountPoint];
    await this.#engine.execDetached(this.#id, { argv: ['gcsfuse', ...flags] });
    await this.#until(`test -e ${mountPoint}/marker`, 'the marker to be there');
  }

  async #stopRay(): Promise<void> {
    await this.#sh('pkill -9 raylet; pkill -9 -x ray; true');
  }

  async #join(known: readonly string[]): Promise<void> {
    await this.#sh('ray stop --force');
    await this.#engine.execDetached(this.#id, { argv: ['sh', '-c', joinCommand], env: { HEAD: this.#cluster.headAddress } });
    await waitFor(async () => (await this.#cluster.alive(this.#machine.address)).some((id) => !known.includes(id)), {
      timeoutMs: 120_000,
      everyMs,
      what: 'the head to have the node',
    });
  }

  async #until(command: string, what: string): Promise<void> {
    const succeeds = async (): Promise<boolean> => (await this.#engine.exec(this.#id, { argv: ['sh', '-c', command] })).exitCode === 0;
    await waitFor(succeeds, { timeoutMs: 60_000, everyMs, what });
  }

  async #sh(command: string): Promise<void> {
    const { exitCode, stderr } = await this.#engine.exec(this.#id, { argv: ['sh', '-c', command] }, { timeoutMs: 60_000 });
    if (exitCode !== 0) throw new Error(`${command}: ${stderr}`);
  }
}
