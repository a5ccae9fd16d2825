/**
 * The TPUs of this host: who has them open, and making them free for a workload. Killed is only what provably is an orphan
 * of our own (tpu-holders.ts); a lock file goes only when nobody holds anything.
 */
import { lstatSync } from 'node:fs';
import { type Clock, delay } from '@relight/shared/clock';
import type { Accelerator } from '@relight/shared/status';
import type { ContainerFacts } from '../../engine/engine.ts';
import { runChild } from '@relight/shared/child';
import { isAlive } from '../../stages/proc.ts';
import type { TpuRequest } from '../../stages/stage.ts';
import type { ReportedCondition } from '../condition-diff.ts';
import { type DeviceHolder, holdersOf } from './device-holders.ts';
import { type DeviceRoots, listTpus, type TpuDevice } from './tpu-devices.ts';
import { type Claim, describeHolder, type HolderContainer, standingOf } from './tpu-holders.ts';

/** libtpu makes it and leaves it behind when it is killed. */
const lockFileName = 'libtpu_lockfile';
/** The driver lets go of a chip up to 4 s after its last process has ended. */
const releaseMs = 4_500;
/** What survives SIGKILL for so long is in D state. */
const afterKillMs = 5_000;
const pollMs = 25;
const rememberedMs = 60_000;
const removeMs = 5_000;

export interface TpusOptions extends DeviceRoots {
  readonly clock: Clock;
  readonly ownerId: string;
  /** Null: there is no such container. */
  readonly inspect: (containerId: string) => Promise<ContainerFacts | null>;
  readonly ownerLabel: string;
  readonly report: (conditions: readonly ReportedCondition[]) => void;
  /** Default: /tmp */
  readonly tmp?: string;
  readonly procRoot?: string;
}

/** What was found and done. */
export interface Freed {
  readonly killed: readonly string[];
  /** Who still has them, for a person. */
  readonly foreign: readonly string[];
}

const nobody: Freed = { killed: [], foreign: [] };

export class Tpus {
  readonly #options: TpusOptions;
  readonly #procRoot: string;
  readonly #lockFile: string;
  /** By workload: why its TPU is busy. */
  readonly #busy = new Map<string, string>();
  #held: ReadonlyMap<string, number> = new Map();
  #found: { readonly at: number; readonly devices: readonly TpuDevice[] } | null = null;

  constructor(options: TpusOptions) {
    this.#options = options;
    this.#procRoot = options.procRoot ?? '/proc';
    this.#lockFile = `${options.tmp ?? '/tmp'}/${lockFileName}`;
  }

  /** Looked for once a minute: they come with a driver, and every heartbeat asks. */
  devices(): readonly TpuDevice[] {
    const now = this.#options.clock.monotonic();
    if (this.#found === null || now - this.#found.at >= rememberedMs) this.#found = { at: now, devices: listTpus(this.#options) };
    return this.#found.devices;
  }

  list(): readonly Accelerator[] {
    const busy = [...this.#busy.values()];
    return this.devices().map(({ index, path, model }) => {
      const holders = this.#held.get(path);
      return {
        kind: 'tpu',
        index,
        id: path,
        model,
        health: busy.length === 0 ? 'ok' : 'failed',
        reason: busy.join('; '),
        action: busy.length === 0 ? '' : advice,
        metrics: holders === undefined ? {} : { holders },
      };
    });
  }

  /** Counts who has them open, for people. */
  async survey(): Promise<void> {
    if (this.devices().length > 0) await this.#holders();
  }

  /**
   * Kills orphans of ours. After a busy TPU, or after a kill: removes a lock file that nobody holds, and waits until the
   * driver has let go. Never fails because of a holder: whether it is in the way, the start will show.
   */
  async free(request: TpuRequest, signal: AbortSignal): Promise<Freed> {
    if (this.devices().length === 0) return nobody;
    let { orphans, foreign } = await this.#sort(request);
    const killed = orphans.map(({ text }) => text);
    if (orphans.length > 0) {
      await this.#kill(
        orphans.map(({ holder }) => holder),
        signal,
      );
      ({ orphans, foreign } = await this.#sort(request));
    }
    if (killed.length > 0 || request.afterBusy) {
      if ((await this.#holders()).length === 0) await this.#removeLockFile(request, signal);
      await delay(this.#options.clock, releaseMs, signal);
      foreign = (await this.#sort(request)).foreign;
    }
    return { killed, foreign: [...foreign, ...orphans.map(({ text }) => `${text} (it survives SIGKILL)`)] };
  }

  /** A person is asked: who holds it, as far as it can be seen. */
  async quarantine(request: TpuRequest): Promise<{ readonly message: string; readonly advice: string }> {
    const { foreign } = await this.#sort(request);
    const message =
      foreign.length === 0 ? 'the TPU is busy, and no process of this host holds it' : `the TPU is held by ${foreign.join(', ')}`;
    this.#busy.set(request.workload, message);
    this.#tell();
    return { message, advice };
  }

  /** It works again, or is not wanted any more. */
  release(workload: string): void {
    if (this.#busy.delete(workload)) this.#tell();
  }

  #tell(): void {
    this.#options.report(
      [...this.#busy].map(([workload, reason]) => ({ name: 'tpu-busy', subject: workload, severity: 'error', reason, advice })),
    );
  }

  async #holders(): Promise<readonly DeviceHolder[]> {
    const devices = this.devices().map(({ path }) => path);
    // Inside a container they have the name of /dev; a test's have that of its directory.
    const { dev = '/dev' } = this.#options;
    const names = devices.flatMap((path) => [path, path.replace(/^\/dev/, dev)]);
    const holders = await holdersOf(new Set([...names, this.#lockFile, `/tmp/${lockFileName}`]), this.#options.clock, this.#procRoot);
    const count = (path: string): number =>
      holders.filter((holder) => holder.devices.includes(path) || holder.devices.includes(path.replace(/^\/dev/, dev))).length;
    this.#held = new Map(devices.map((path) => [path, count(path)]));
    return holders;
  }

  async #sort(request: TpuRequest): Promise<{
    readonly orphans: readonly { readonly holder: DeviceHolder; readonly text: string }[];
    readonly foreign: readonly string[];
  }> {
    const holders = await this.#holders();
    const containers = await this.#containersOf(holders);
    const claim: Claim = { ...request, ownerId: this.#options.ownerId, containers };
    const of = (standing: string): readonly DeviceHolder[] => holders.filter((holder) => standingOf(holder, claim) === standing);
    return {
      orphans: of('orphan').map((holder) => ({ holder, text: describeHolder(holder, containers) })),
      foreign: of('foreign').map((holder) => describeHolder(holder, containers)),
    };
  }

  /** Fails when the engine does not answer: then nobody knows what is dead. */
  async #containersOf(holders: readonly DeviceHolder[]): Promise<ReadonlyMap<string, HolderContainer>> {
    const { inspect, ownerId, ownerLabel } = this.#options;
    const ids = new Set(holders.map(({ containerId }) => containerId).filter((id) => id !== null));
    const found = await Promise.all(
      [...ids].map(async (id): Promise<[string, HolderContainer][]> => {
        const facts = await inspect(id);
        if (facts === null) return [];
        // Anything but a stopped one may have living processes.
        const running = facts.status !== 'exited' && facts.status !== 'dead' && facts.status !== 'created';
        return [[id, { name: facts.name, running, ours: facts.labels[ownerLabel] === ownerId }]];
      }),
    );
    return new Map(found.flat());
  }

  async #kill(orphans: readonly DeviceHolder[], signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const alive = (): readonly DeviceHolder[] => orphans.filter(({ pid, startTicks }) => isAlive(this.#procRoot, pid, startTicks));
    for (const { pid } of alive()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended at this moment, which is what was wanted; what may not be killed stays and is told.
      }
    }
    for (const deadline = clock.monotonic() + afterKillMs; alive().length > 0 && clock.monotonic() < deadline;)
      await delay(clock, pollMs, signal);
  }

  /** On the host, and as the container sees it: by a command in there, because its links are its own. */
  async #removeLockFile({ removeInContainer }: TpuRequest, signal: AbortSignal): Promise<void> {
    if (exists(this.#lockFile)) {
      await runChild({ argv: ['rm', '-f', '--', this.#lockFile], clock: this.#options.clock, timeoutMs: removeMs, signal });
    }
    await removeInContainer(`/tmp/${lockFileName}`).catch(() => undefined);
  }
}

const advice = 'Stop who holds it; when nobody does, replace the VM.';

function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
