/** The accelerators of this host, put together: what watches them, what stages and checks may ask, and who is told. */
import { join } from 'node:path';
import type { Clock, Timer } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import { type Accelerator, acceleratorsMax } from '@relight/shared/status';
import type { HostGpus } from '../../checks/gpu.ts';
import type { AgentSpec, ContainerSpec } from '../../config/spec.ts';
import { managedLabels } from '../../engine/create-options.ts';
import type { Engine } from '../../engine/engine.ts';
import { readCgroup } from '../../stages/proc.ts';
import type { AcceleratorPort, TpuRequest } from '../../stages/stage.ts';
import type { SupervisorEvent } from '../../supervisor/event.ts';
import type { ReportedCondition } from '../condition-diff.ts';
import type { XidFact } from '../kernel-log/xid.ts';
import { type GpuBlock, type GpuHealth } from './gpu-health.ts';
import { GpuMonitor } from './gpu-monitor.ts';
import type { GpuReport } from './gpu-report.ts';
import { Smi } from './smi.ts';
import { Tpus } from './tpus.ts';
import { usesGpus, usesTpus } from './wants.ts';
import { meaningOf } from './xid.ts';

const surveyMs = 300_000;

/** What is asked of a workload's supervisor. */
export interface WorkloadHandle {
  readonly container: ContainerSpec;
  /** Of the container that it has now. */
  readonly containerId: string | null;
  readonly generation: number;
  readonly nextRun: number;
  send(event: SupervisorEvent): void;
}

export interface AcceleratorsOptions {
  readonly clock: Clock;
  readonly spec: AgentSpec;
  readonly stateDir: string;
  readonly bootId: string;
  readonly ownerId: string;
  readonly engine: Pick<Engine, 'inspect'>;
  /** The agent's own PATH. */
  readonly path: string;
  readonly report: (source: string, conditions: readonly ReportedCondition[]) => void;
  readonly workloads: () => ReadonlyMap<string, WorkloadHandle>;
}

export class Accelerators implements AcceleratorPort, HostGpus {
  readonly #options: AcceleratorsOptions;
  readonly #gpus: GpuMonitor;
  readonly #tpus: Tpus;
  #block: GpuBlock | null = null;
  #survey: Timer | null = null;

  constructor(options: AcceleratorsOptions) {
    const { clock, spec, stateDir, bootId, ownerId, engine, path, report } = options;
    this.#options = options;
    const smi = new Smi({ clock, path });
    const expected = spec.host.accelerators.gpus;
    this.#gpus = new GpuMonitor({
      clock,
      look: () => smi.look(),
      file: join(stateDir, 'gpus.json'),
      bootId,
      expected,
      // As it is at each look: workloads come and go with the configuration.
      get needed() {
        return expected !== null || [...options.workloads().values()].some(({ container }) => usesGpus(container));
      },
      onLook: (health) => this.#looked(health),
    });
    this.#tpus = new Tpus({
      clock,
      ownerId,
      ownerLabel: managedLabels.agent,
      inspect: (id) => engine.inspect(id),
      report: (conditions) => report('tpu', conditions),
    });
  }

  start(): void {
    this.#gpus.start();
    const survey = (): void => {
      this.#survey = this.#options.clock.after(surveyMs, survey);
      // What cannot be seen now is seen the next time.
      void this.#tpus.survey().catch(() => undefined);
    };
    survey();
  }

  dispose(): void {
    this.#gpus.dispose();
    this.#survey?.cancel();
  }

  list(): Accelerator[] {
    return [...this.#gpus.health.accelerators, ...this.#tpus.list()].slice(0, acceleratorsMax);
  }

  /** For people: which tools there are. Undefined before the first look. */
  get tools(): string | undefined {
    return this.#gpus.tools;
  }

  async mayStart(container: ContainerSpec): Promise<void> {
    if (!usesGpus(container)) return;
    // What stood in the way may be gone by now: a driver that was reloaded is not waited for.
    const { block } = this.#gpus.looked && this.#block === null ? this.#gpus.health : await this.#gpus.look();
    if (block !== null) throw new RelightError(block.code, block.message, { recoverable: false, advice: block.advice });
  }

  async freeTpus(container: ContainerSpec, request: TpuRequest, signal: AbortSignal): Promise<readonly string[]> {
    return usesTpus(container) ? (await this.#tpus.free(request, signal)).killed : [];
  }

  async report(): Promise<GpuReport | string> {
    const { conditions } = await this.#gpus.lookAnew();
    return this.#gpus.report ?? conditions[0]?.reason ?? 'this host has no nvidia-smi';
  }

  /** An event of a workload has been emitted: a busy TPU leads to the question who holds it. */
  heard({ kind, workload, data }: Pick<NewAgentEvent, 'kind' | 'workload' | 'data'>): void {
    if (workload === undefined) return;
    if (kind === 'workload.ready') this.#tpus.release(workload);
    if (kind === 'workload.held' && data['code'] === 'tpu-busy' && data['holders'] === undefined) void this.#quarantine(workload);
  }

  /** From the kernel log, whose watcher raises the condition. `history`: said before this agent came. */
  xid(fact: XidFact, at: number, history: boolean): void {
    const { known, event } = meaningOf(fact, at);
    if (known !== null) this.#gpus.xid(known);
    if (event !== null && !history) for (const handle of this.#usersOf(fact)) handle.send(event);
  }

  /** The workload whose process it was, or every one that uses GPUs when nobody can tell. */
  #usersOf({ process }: XidFact): readonly WorkloadHandle[] {
    const users = [...this.#options.workloads().values()].filter(({ container }) => usesGpus(container));
    const cgroup = process === null ? null : readCgroup('/proc', process.pid);
    const own = users.filter(({ containerId }) => containerId !== null && cgroup?.includes(containerId) === true);
    return own.length > 0 ? own : users;
  }

  #looked(health: GpuHealth): void {
    const { report, workloads } = this.#options;
    report('gpu', health.conditions);
    const before = this.#block;
    this.#block = health.block;
    if (before === null || health.block !== null) return;
    for (const handle of workloads().values()) {
      if (usesGpus(handle.container)) handle.send({ type: 'inputs-changed', what: ['the GPUs of the host'], container: false });
    }
  }

  async #quarantine(workload: string): Promise<void> {
    const handle = this.#options.workloads().get(workload);
    if (handle === undefined || this.#tpus.devices().length === 0) return;
    const { containerId, generation, nextRun } = handle;
    const request = {
      workload,
      containerId: containerId ?? '',
      generation,
      nextRun,
      afterBusy: true,
      removeInContainer: () => Promise.resolve(),
    };
    try {
      const { message, advice } = await this.#tpus.quarantine(request);
      handle.send({ type: 'accelerator', code: 'tpu-busy', message, level: 'host', recoverable: false, data: { advice, holders: true } });
    } catch {
      // The engine is away: the workload is held all the same, without the holder's name.
    }
  }
}
