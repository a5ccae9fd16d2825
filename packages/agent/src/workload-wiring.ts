/**
 * The workloads, put together: for each a loop with its stages, probes and journal; what they share (runs, logs, secrets); and
 * the containers that they take over.
 */
import { join } from 'node:path';
import { hostLogs } from '@relight/shared/log-stream';
import type { WorkloadMetrics, WorkloadStatus } from '@relight/shared/status';
import type { AgentContext, Emit } from './agent-context.ts';
import { MountProbes } from './checks/mount.ts';
import { Prober } from './checks/prober.ts';
import { SecretValues } from './config/secret-values.ts';
import { readEnvFiles } from './config/secrets.ts';
import { withAutomaticChecks } from './config/automatic-checks.ts';
import type { AgentSpec, VarSpec, WorkloadSpec } from './config/spec.ts';
import { HeldConfigurations } from './held-configurations.ts';
import { Adopter } from './engine/adopter.ts';
import type { AdoptingEngine } from './engine/adopting-engine.ts';
import { ContainerSecrets } from './engine/container-secrets.ts';
import type { ContainerFacts } from './engine/engine.ts';
import type { HostLevel } from './host-level.ts';
import { WorkloadMetricsSampler } from './host/workload-metrics.ts';
import type { HostIncidents } from './incidents/make-incidents.ts';
import { ContainerLogs } from './logs/container-logs.ts';
import { EarlierLogs } from './logs/earlier-logs.ts';
import { FollowingShipper } from './logs/following-shipper.ts';
import { ApiLogs } from './logs/origins/api-logs.ts';
import { syncJournal } from './logs/origins/journal-sync.ts';
import { ContainerFiles } from './logs/origins/container-files.ts';
import type { OutboxHistory } from './outbox/telling.ts';
import { ContainerRuns } from './stages/container-runs.ts';
import { GivenUpLogs } from './stages/given-up-logs.ts';
import { resolveVars } from './stages/prepare.ts';
import { runRootOf } from './stages/run-files.ts';
import { agentVersion } from './version.ts';
import { WorkloadJournal } from './workload-journal.ts';
import { WorkloadLoop } from './workload-loop.ts';
import { configuredSecrets, secretsOf, type Secrets } from './workload-secrets.ts';
import { WorkloadStore } from './workload-store.ts';

export interface WorkloadWiringOptions {
  readonly context: AgentContext;
  readonly engine: AdoptingEngine;
  readonly emit: Emit;
  /** Of the outbox that `emit` appends to. */
  readonly history: OutboxHistory;
  readonly secrets: Secrets;
  readonly host: Pick<HostLevel, 'accelerators' | 'gate' | 'rebooted' | 'facts' | 'introduce' | 'conditions'>;
  readonly incidents: HostIncidents;
  /** Filled here. */
  readonly loops: Map<string, WorkloadLoop>;
  /** Asks for a look at the engine. */
  readonly observe: () => void;
  /** What a heartbeat says has changed. */
  readonly onChange: () => void;
}

interface Shared {
  readonly runs: ContainerRuns;
  readonly mounts: MountProbes;
  readonly store: WorkloadStore;
}

export class WorkloadWiring {
  readonly shipper: FollowingShipper;
  readonly held: HeldConfigurations;
  readonly #options: WorkloadWiringOptions;
  readonly #adopter: Adopter;
  readonly #adopting = new Set<string>();
  readonly #containerSecrets: ContainerSecrets;
  readonly #containerLogs: ContainerLogs;
  readonly #apiLogs: ApiLogs | null;
  /** Null: there is no collector, and the files stay where they are. */
  readonly #containerFiles: ContainerFiles | null;
  readonly #earlierLogs: EarlierLogs;
  readonly #givenUpLogs: GivenUpLogs;
  readonly #metrics: WorkloadMetricsSampler;
  readonly #shared: Shared;
  /** Loops of workloads that were taken out of the configuration, by name, until they have let go. */
  readonly #leaving = new Map<string, Promise<void>>();
  /** Null: no collector has said so yet. */
  #fleetSize: number | null = null;
  #measured: ReadonlyMap<string, WorkloadMetrics> = new Map();

  constructor(options: WorkloadWiringOptions) {
    this.#options = options;
    const { context, engine, emit, secrets, host, loops } = options;
    const { clock, logger, stateDir, spec, identity } = context;
    this.held = new HeldConfigurations({
      engine,
      clock,
      now: context.steadyNow,
      random: context.random,
      agent: () => context.spec,
      text: (workload, text) => this.#secretsOf(workload).text(text),
      hide: (has, wanted, vars) => this.#hide(has, wanted, vars),
      emit,
      report: (list) => host.conditions.set('images', list),
      reported: () => host.conditions.of('images'),
      observe: options.observe,
      onChange: options.onChange,
    });
    this.#adopter = new Adopter({
      engine,
      stateDir,
      ownerId: identity.agentId,
      clock,
      notice: (workload, severity, message, data) => emit({ kind: 'host.notice', workload, severity, message, data }),
      secrets: (workload, values) => this.#secretsOf(workload).learn(values),
    });
    this.#containerSecrets = new ContainerSecrets({ engine, secrets });
    this.shipper = new FollowingShipper({
      clock,
      logger,
      directory: join(stateDir, 'logs'),
      delivering: spec.collector !== null,
      redact:
        (key) =>
        (bytes, ...torn) =>
          this.#secretsOf(key.workload).bytes(bytes, ...torn),
      rateLimit: (key) => this.#inForce(key.workload)?.logs.rateLimit ?? null,
    });
    this.#apiLogs =
      spec.collector === null
        ? null
        : new ApiLogs({
            engine,
            shipper: this.shipper,
            clock,
            logger,
            syncJournal,
            unreadable: (facts) => this.#containerLogs.unreadable(facts),
            directory: join(stateDir, 'logs', 'api'),
            bootId: context.bootId,
          });
    this.#containerLogs = new ContainerLogs({ shipper: this.shipper, api: this.#apiLogs, emit });
    this.#containerFiles =
      spec.collector === null
        ? null
        : new ContainerFiles({
            shipper: this.shipper,
            clock,
            emit,
            logger,
            directory: join(stateDir, 'logs'),
            patternsOf: (workload) => this.#inForce(workload)?.logs.files ?? [],
          });
    const runRoot = runRootOf(stateDir);
    const runs = new ContainerRuns({
      engine,
      clock,
      runRoot,
      logs: this.shipper,
      redact: (workload, ...tail) => this.#secretsOf(workload).tail(...tail),
    });
    this.#earlierLogs = new EarlierLogs({ runRoot, shipper: this.shipper, runs, logger });
    this.#givenUpLogs = new GivenUpLogs({
      runRoot,
      clock,
      logger,
      notice: (workload, message, data) => emit({ kind: 'host.notice', workload, severity: 'warning', message, data }),
    });
    this.#shared = { runs, mounts: new MountProbes({ clock }), store: new WorkloadStore(stateDir) };
    for (const given of spec.workloads) loops.set(given.name, this.#loop(this.#known(given), host.rebooted));
    this.#metrics = new WorkloadMetricsSampler({
      clock,
      stats: (id) => engine.stats(id),
      hostMemoryBytes: host.facts().memoryTotalBytes ?? Number.POSITIVE_INFINITY,
    });
  }

  /** Before the first line is read. A file that is missing is the create stage's to complain about. */
  async start(): Promise<void> {
    const { loops, secrets } = this.#options;
    const load = (): Promise<unknown> => Promise.allSettled([...secrets.values()].map((values) => values.load()));
    await load();
    await this.held.begin([...loops.values()]);
    // Of what goes on under the configuration before.
    this.#hidePatterns();
    await load();
    this.#earlierLogs.follow();
  }

  /**
   * The context's configuration is another one: each workload takes up what changed of it, new ones begin, and those that are no more
   * are let go of, which leaves their containers running. Resolves when all of it is under way.
   */
  async configure(): Promise<void> {
    const { context, loops, observe, onChange } = this.#options;
    const { workloads } = context.spec;
    const wanted = new Set(workloads.map(({ name }) => name));
    for (const [name, loop] of loops) if (!wanted.has(name)) this.#letGo(name, loop);
    await this.#configureSecrets(context.spec);
    const offers = workloads.flatMap((given) => {
      const loop = loops.get(given.name);
      const known = this.#known(given);
      return loop === undefined ? [] : [{ loop, wanted: known.container === given.container ? known : withAutomaticChecks(known) }];
    });
    await this.held.offer(offers);
    for (const given of workloads) if (!loops.has(given.name)) await this.#begin(this.#known(given));
    // In the order of the file, for whoever looks.
    const inOrder = workloads.flatMap(({ name }) => (loops.has(name) ? [[name, loops.get(name)] as const] : []));
    loops.clear();
    for (const [name, loop] of inOrder) if (loop !== undefined) loops.set(name, loop);
    observe();
    onChange();
  }

  #letGo(name: string, loop: WorkloadLoop): void {
    this.#options.loops.delete(name);
    this.held.drop(name);
    loop.stop();
    this.#leaving.set(name, loop.ended());
  }

  async #begin(workload: WorkloadSpec): Promise<void> {
    // Two loops never work on one container.
    await this.#leaving.get(workload.name);
    this.#leaving.delete(workload.name);
    const loop = this.#loop(workload, false);
    await this.held.begin([loop]);
    this.#options.loops.set(workload.name, loop);
    this.#options.host.introduce(loop);
    if (this.#fleetSize !== null) loop.send({ type: 'fleet', size: this.#fleetSize });
    await this.adopt([loop]);
  }

  /** How many hosts there are that would all do the same at once. */
  fleetSizeIs(size: number): void {
    this.#fleetSize = size;
    for (const loop of this.#options.loops.values()) loop.send({ type: 'fleet', size });
  }

  /** Before a line of them is read. What cannot be read now is the create stage's to complain about. */
  async #configureSecrets({ vars, workloads }: AgentSpec): Promise<void> {
    const { secrets } = this.#options;
    const host = secrets.get(hostLogs) ?? new SecretValues([]);
    this.#hidePatterns();
    for (const workload of workloads) {
      const { name } = workload;
      if (!secrets.has(name)) secrets.set(name, secretsOf(workload, vars, host));
      this.#hide(this.#options.loops.get(name)?.spec ?? workload, workload, vars);
    }
    await Promise.allSettled(
      workloads.map(async ({ name, container }) => secrets.get(name)?.learn(Object.values(await readEnvFiles(container.envFile)))),
    );
  }

  /** The host's own commands may print what is any workload's, under the configuration before, too. */
  #hidePatterns(): void {
    const { context, loops, secrets } = this.#options;
    const specs = [...context.spec.workloads, ...[...loops.values()].map(({ spec }) => spec)];
    secrets.get(hostLogs)?.configure([], [...new Set(specs.flatMap(({ logs }) => logs.redact))]);
  }

  /** What is in force of a workload is what its next container is made from; what is wanted is hidden as well, from the first word of it. */
  #hide(has: WorkloadSpec, wanted: WorkloadSpec, vars: readonly VarSpec[]): void {
    const known = this.#options.secrets.get(wanted.name);
    known?.configure(has.container.envFile, [...new Set([...has.logs.redact, ...wanted.logs.redact])]);
    for (const { container } of [has, wanted]) known?.learn(configuredSecrets(container, vars));
  }

  /** The logs of what the engine has shown. `own`: those that carry our owner id; `all`: there are no others. */
  seen(own: readonly ContainerFacts[], all: boolean): void {
    for (const facts of own) {
      this.#containerLogs.seen(facts);
      this.#containerFiles?.seen(facts);
    }
    if (!all) return;
    const ids = new Set(own.map(({ id }) => id));
    this.#containerFiles?.keepOnly(ids);
    this.#apiLogs?.keepOnly(ids);
    // What runs in the others may still write.
    void this.#earlierLogs.observed(own);
    void this.#givenUpLogs.remove();
  }

  /** The end: nothing is read any more, how far it was is written down. */
  closeLogs(): void {
    this.#containerFiles?.close();
    this.#apiLogs?.close();
    this.shipper.close();
  }

  /** Resolves when what must not be shown of these containers is known. Never rejects. */
  learnSecrets(own: readonly ContainerFacts[]): Promise<void> {
    return this.#containerSecrets.learn(own);
  }

  /** Workloads that take over a container of somebody else: who holds its name now? True: at least one was taken over. */
  async adopt(loops: Iterable<WorkloadLoop>): Promise<boolean> {
    const free = [...loops].filter(({ spec }) => spec.container.adopt !== undefined && !this.#adopting.has(spec.name));
    const taken = await Promise.all(
      free.map(async (loop) => {
        this.#adopting.add(loop.spec.name);
        const container = await this.#adopter.look(loop.spec, loop.state.generation + 1);
        this.#adopting.delete(loop.spec.name);
        if (container !== null) loop.setContainer(container);
        return container !== null;
      }),
    );
    return taken.includes(true);
  }

  async measure(): Promise<void> {
    const containers = new Map(
      [...this.#options.loops].flatMap(([name, { state }]) =>
        state.container?.running === true ? [[name, { id: state.container.id, pid: state.container.pid }] as const] : [],
      ),
    );
    this.#measured = await this.#metrics.sample(containers);
  }

  statuses(): WorkloadStatus[] {
    const { loops, incidents } = this.#options;
    return [...loops].map(([name, loop]) => ({
      ...loop.status(this.#measured.get(name) ?? null),
      waitingConfiguration: this.held.status(name),
      lastIncidentId: incidents.incidents.lastOf(name),
    }));
  }

  /** For people: without what is secret of any workload, also of those that the file does not tell any more. */
  withoutSecrets<T>(value: T): T {
    return this.#secretsOf(hostLogs).data(value);
  }

  /** One of which nothing is remembered may have printed what any other keeps secret. */
  #secretsOf(workload: string): SecretValues {
    const { secrets } = this.#options;
    return secrets.get(workload) ?? secrets.get(hostLogs) ?? new SecretValues([]);
  }

  /** What holds of it: what the file says may wait for an image. */
  #inForce(workload: string): WorkloadSpec | undefined {
    return this.#options.loops.get(workload)?.spec ?? this.#options.context.spec.workloads.find(({ name }) => name === workload);
  }

  /** With what is remembered of a container that it has taken over. */
  #known(given: WorkloadSpec): WorkloadSpec {
    const adopted = this.#adopter.remembered(given);
    return adopted === null ? given : { ...given, container: adopted };
  }

  #loop(workload: WorkloadSpec, rebooted: boolean): WorkloadLoop {
    const { runs, mounts, store } = this.#shared;
    const { context, engine, emit, history, host, incidents, observe, onChange } = this.#options;
    const { spec, identity, clock, steadyNow, random, logger } = context;
    const { accelerators, gate } = host;
    return new WorkloadLoop({
      agent: spec,
      spec: workload,
      ownerId: identity.agentId,
      engine,
      runs,
      mountProbes: mounts,
      prober: (onResult) =>
        new Prober({ engine, clock, mounts, gpus: accelerators, shell: () => this.#inForce(workload.name)?.shell ?? null, onResult }),
      resolveVars: (signal) => resolveVars((this.#options.loops.get(workload.name)?.agent ?? context.spec).vars, { clock, signal }),
      secrets: this.#secretsOf(workload.name),
      gate,
      accelerators,
      rebooted,
      store,
      history,
      beforeRemoval: (containerId) => incidents.gatherer.captured(containerId),
      journal: this.#journal(workload),
      clock,
      now: steadyNow,
      random,
      logger,
      emit: (event) => {
        emit(event);
        accelerators.heard(event);
      },
      whyNotAdopted: () => this.#adopter.why(workload),
      observe,
      onChange: () => {
        onChange();
        this.held.changed(workload.name);
      },
    });
  }

  #journal(spec: WorkloadSpec): WorkloadJournal {
    const { stateDir, identity, clock, logger } = this.#options.context;
    return new WorkloadJournal({
      stateDir,
      spec,
      ownerId: identity.agentId,
      version: agentVersion,
      wallNow: () => clock.now(),
      onTrouble: (reason) => logger.warn({ workload: spec.name, reason }, 'the journal for replay cannot be written and pauses'),
    });
  }
}
