/** The level of the host, put together: gate, conditions, kernel log and cloud, accelerators, orphans, metrics and facts. */
import { toRelightError } from '@relight/shared/errors';
import type { HostFacts, HostMetrics } from '@relight/shared/status';
import type { AgentContext, Emit } from './agent-context.ts';
import type { SecretValues } from './config/secret-values.ts';
import type { AdoptingEngine } from './engine/adopting-engine.ts';
import { managedLabels } from './engine/create-options.ts';
import type { ContainerFacts } from './engine/engine.ts';
import { Accelerators } from './host/accelerators/accelerators.ts';
import { readRememberedBootId, rememberBootId } from './host/boot-id.ts';
import { HostConditions } from './host/conditions.ts';
import { askForFacts, thisProgram } from './host/facts-child.ts';
import { readHostFacts } from './host/facts.ts';
import type { HostGate } from './host/gate/host-gate.ts';
import { makeGate } from './host/gate/make-gate.ts';
import type { LogShipper } from './logs/log-shipper.ts';
import { MetricsSampler } from './host/metrics.ts';
import { Orphans } from './host/orphans.ts';
import { HostWatch } from './host/watch.ts';
import type { OutboxHistory } from './outbox/telling.ts';
import type { WorkloadLoop } from './workload-loop.ts';

/** Removing a container with many files takes the engine seconds. */
const removeTimeoutMs = 60_000;

export interface HostLevelOptions {
  readonly context: AgentContext;
  readonly engine: AdoptingEngine;
  readonly emit: Emit;
  /** Of the outbox that `emit` appends to. */
  readonly history: OutboxHistory;
  readonly logs: LogShipper;
  /** Of all workloads: the host's commands and the kernel know no borders. */
  readonly secrets: SecretValues;
  /** By name; they come later. */
  readonly loops: ReadonlyMap<string, WorkloadLoop>;
  /** What a heartbeat says has changed. */
  readonly onChange: () => void;
}

export class HostLevel {
  readonly conditions: HostConditions;
  readonly accelerators: Accelerators;
  readonly watch: HostWatch;
  readonly gate: HostGate;
  readonly orphans: Orphans;
  /** The machine has booted since an agent last ran here. */
  readonly rebooted: boolean;
  readonly #options: HostLevelOptions;
  readonly #sampler: MetricsSampler;
  #facts: HostFacts;
  #metrics: HostMetrics | null = null;

  constructor(options: HostLevelOptions) {
    this.#options = options;
    const { clock, stateDir, bootId } = options.context;
    this.#facts = readHostFacts();
    const { emit, history, secrets, onChange } = options;
    const redact = (text: string): string => secrets.text(text);
    this.conditions = new HostConditions({ clock, stateDir, bootId, redact, emit, history, onChange });
    this.accelerators = this.#makeAccelerators();
    this.watch = this.#makeWatch();
    this.rebooted = this.#rebooted();
    this.gate = this.#makeGate();
    this.orphans = this.#makeOrphans();
    this.#sampler = new MetricsSampler({ clock, disks: [stateDir, '/'] });
  }

  /** Null before the first sample. */
  get metrics(): HostMetrics | null {
    return this.#metrics;
  }

  /** The gate is not among them: it is started last, before anybody could begin anything. */
  start(onSampled: (metrics: HostMetrics) => void): void {
    this.accelerators.start();
    this.watch.start();
    this.#sampler.start((metrics) => {
      this.#metrics = metrics;
      this.watch.sampled(metrics);
      onSampled(metrics);
    });
  }

  dispose(): void {
    this.#sampler.dispose();
    this.accelerators.dispose();
    this.watch.dispose();
    this.conditions.dispose();
  }

  /** A workload that was not there before hears what the others were told. */
  introduce(loop: WorkloadLoop): void {
    this.gate.tellAgain();
    this.watch.tellDeparture(loop);
  }

  /** Where the engine keeps its data. */
  engineRootIs(path: string): void {
    this.#sampler.watchDisk(path);
    this.watch.engineRootIs(path);
  }

  facts(): HostFacts {
    const gpuTools = this.accelerators.tools;
    return { ...this.#facts, ...(gpuTools === undefined ? {} : { gpuTools }) };
  }

  /** For the next hello. What /proc told at once counts where both know. */
  async completeFacts(): Promise<void> {
    const { clock, logger } = this.#options.context;
    try {
      this.#facts = { ...(await askForFacts({ program: thisProgram(), clock })), ...this.#facts };
    } catch (thrown) {
      const { code, message, advice } = toRelightError(thrown);
      logger.warn({ code, advice }, message);
    }
  }

  #makeAccelerators(): Accelerators {
    const { context, engine, loops } = this.#options;
    const { clock, spec, stateDir, bootId, identity } = context;
    return new Accelerators({
      clock,
      spec,
      stateDir,
      bootId,
      ownerId: identity.agentId,
      engine,
      path: process.env['PATH'] ?? '',
      report: (source, list) => this.conditions.set(source, list),
      workloads: () => new Map([...loops].map(([name, loop]) => [name, loop.acceleratorUser()])),
    });
  }

  #makeWatch(): HostWatch {
    const { context, engine, loops } = this.#options;
    const { clock, logger, stateDir, identity } = context;
    return new HostWatch({
      clock,
      logger,
      stateDir,
      ownerId: identity.agentId,
      engine,
      conditions: this.conditions,
      workloads: () =>
        [...loops].map(([name, loop]) => ({
          name,
          pid: loop.state.container?.running === true ? loop.state.container.pid : 0,
          containerId: loop.state.container?.id ?? null,
          send: (event) => loop.send(event),
        })),
      onXid: (xid, at, history) => this.accelerators.xid(xid, at, history),
      metadataUrl: process.env['RELIGHT_METADATA_URL'],
    });
  }

  #makeGate(): HostGate {
    const { context, emit, logs, secrets, loops, onChange } = this.#options;
    const { spec, bootId, clock, steadyNow, random, logger } = context;
    return makeGate({
      spec,
      bootId,
      rebooted: this.rebooted,
      clock,
      now: steadyNow,
      random,
      logger,
      logs,
      secrets,
      emit,
      report: (source, list) => this.conditions.set(source, list),
      workloads: () => loops.values(),
      onChange,
    });
  }

  #makeOrphans(): Orphans {
    const { context, engine, emit } = this.#options;
    const { spec, clock, logger } = context;
    return new Orphans({
      isAdopted: (containerId) => engine.isAdopted(containerId),
      workloads: () => new Set(this.#options.context.spec.workloads.map(({ name }) => name)),
      mode: spec.host.orphans,
      wallNow: () => clock.now(),
      report: (list) => this.conditions.set('orphans', list),
      remove: (id) => engine.remove(id, { timeoutMs: removeTimeoutMs }),
      onRemoved: ({ name, labels }: ContainerFacts) =>
        emit({
          kind: 'host.notice',
          severity: 'info',
          message: `the container ${name} was removed: no workload "${labels[managedLabels.workload]}" is configured any more`,
          data: { container: name },
        }),
      warn: (containerId, thrown) =>
        logger.warn({ containerId, reason: toRelightError(thrown).message }, 'an orphan container could not be removed'),
    });
  }

  /** Says so as an event. */
  #rebooted(): boolean {
    const { context, emit } = this.#options;
    const { stateDir, bootId } = context;
    const before = readRememberedBootId(stateDir);
    const rebooted = before !== null && before !== bootId;
    // First told, then remembered: killed in between it is told twice rather than never.
    if (rebooted) emit({ kind: 'host.booted', severity: 'info', message: 'the machine has booted', data: { bootId, before } });
    if (before !== bootId) rememberBootId(stateDir, bootId);
    return rebooted;
  }
}
