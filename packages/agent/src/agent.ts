/**
 * The service: one agent of one host, put together. The only place of the agent that wires parts to each other.
 *
 *   engine ─ observer ─▶ loops (one a workload: supervisor, stages, probes) ─▶ outbox ─▶ uplink ─▶ collector
 *                          │ runs ─▶ run files ─▶ log shipper ───────────────────────────▲
 *   control socket ────────┘
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { systemClock, type Clock } from '@relight/shared/clock';
import { toRelightError } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import type { HostFacts, HostMetrics, WorkloadMetrics, WorkloadStatus } from '@relight/shared/status';
import type { Logger } from 'pino';
import type { ActionOutcome, ControlAction } from './control/action.ts';
import { carryOut } from './control/carry-out.ts';
import { MountProbes } from './checks/mount.ts';
import { Prober } from './checks/prober.ts';
import { SecretValues } from './config/secret-values.ts';
import type { AgentSpec, WorkloadSpec } from './config/spec.ts';
import { ControlServer } from './control/server.ts';
import { acquireStateLock, type StateLock } from './control/state-lock.ts';
import type { AgentStatus } from './control/status.ts';
import { Systemd } from './control/systemd.ts';
import { ContainerSecrets } from './engine/container-secrets.ts';
import { managedLabels } from './engine/create-options.ts';
import { Adopter } from './engine/adopter.ts';
import { AdoptingEngine } from './engine/adopting-engine.ts';
import type { ContainerFacts, Engine, EngineEvent, EngineInfo } from './engine/engine.ts';
import { EngineObserver } from './engine/observer.ts';
import { readBootId, rememberBootId } from './host/boot-id.ts';
import { Accelerators } from './host/accelerators/accelerators.ts';
import { HostConditions } from './host/conditions.ts';
import { askForFacts, thisProgram } from './host/facts-child.ts';
import { readHostFacts } from './host/facts.ts';
import type { HostGate } from './host/gate/host-gate.ts';
import { makeGate } from './host/gate/make-gate.ts';
import { loadIdentity, type Identity } from './host/identity.ts';
import { readMachineId, type MachineId } from './host/machine-id.ts';
import { makeIncidents, type HostIncidents } from './incidents/make-incidents.ts';
import { otherHands } from './incidents/other-hands.ts';
import { MetricsSampler } from './host/metrics.ts';
import { Orphans } from './host/orphans.ts';
import { machineGoesDown } from './host/shutdown.ts';
import { HostWatch } from './host/watch.ts';
import { WorkloadMetricsSampler } from './host/workload-metrics.ts';
import { ContainerLogs } from './logs/container-logs.ts';
import { EarlierLogs } from './logs/earlier-logs.ts';
import { FollowingShipper } from './logs/following-shipper.ts';
import { FileOutbox } from './outbox/file-outbox.ts';
import { ContainerRuns } from './stages/container-runs.ts';
import { runRootOf } from './stages/run-files.ts';
import { resolveVars } from './stages/prepare.ts';
import { Uplink } from './uplink/uplink.ts';
import { agentVersion } from './version.ts';
import { WorkloadJournal } from './workload-journal.ts';
import { WorkloadLoop } from './workload-loop.ts';
import { WorkloadStore } from './workload-store.ts';

export interface AgentOptions {
  readonly spec: AgentSpec;
  readonly stateDir: string;
  readonly logger: Logger;
}

/**
 * Runs until SIGTERM or SIGINT; resolves with the exit code. Fails with already-running. When the state directory was deleted
 * or taken over, the process starts over from its first line (same pid, so systemd sees no change).
 */
export async function runAgent(options: AgentOptions): Promise<number> {
  const lock = acquireStateLock(options.stateDir);
  try {
    const agent = new Agent(options, lock, systemClock);
    const signal = new Promise<NodeJS.Signals>((resolve) => {
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
    });
    await agent.start();
    const ending = await Promise.race([signal, agent.stateLost]);
    if (ending === 'state-lost') {
      await agent.stop(ending);
      return startOver();
    }
    options.logger.info({ signal: ending }, 'stopping; workloads go on as they are');
    await agent.stop();
    return 0;
  } finally {
    lock.release();
  }
}

/** Returns only where the platform cannot do it: then whoever watches the service starts it again. */
function startOver(): number {
  process.execve?.(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], process.env);
  return 1;
}

class Agent {
  readonly #spec: AgentSpec;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #stateDir: string;
  readonly #identity: Identity;
  readonly #machineId: MachineId;
  readonly #bootId = readBootId();
  readonly #startedAt: number;
  /** When `clock.monotonic()` was zero. */
  readonly #monotonicEpoch: number;
  readonly #engine: Engine;
  readonly #outbox: FileOutbox;
  readonly #incidents: HostIncidents;
  readonly #conditions: HostConditions;
  readonly #gate: HostGate;
  readonly #orphans: Orphans;
  readonly #accelerators: Accelerators;
  readonly #watch: HostWatch;
  readonly #shipper: FollowingShipper;
  readonly #containerLogs: ContainerLogs;
  readonly #observer: EngineObserver;
  readonly #runs: ContainerRuns;
  readonly #earlierLogs: EarlierLogs;
  readonly #secrets: ReadonlyMap<string, SecretValues>;
  readonly #containerSecrets: ContainerSecrets;
  readonly #loops = new Map<string, WorkloadLoop>();
  readonly #uplink: Uplink | null;
  readonly #control: ControlServer;
  readonly #systemd: Systemd;
  readonly #hostMetrics: MetricsSampler;
  readonly #workloadMetrics: WorkloadMetricsSampler;
  readonly #lock: StateLock;
  readonly #adopter: Adopter;
  readonly #adopting = new Set<string>();
  /** Until the first look: what fell, fell with the machine. */
  #afterBoot = false;
  #engineUp: boolean | null = null;
  #engineReason = 'not asked yet';
  #engineInfo: EngineInfo | null = null;
  #facts: HostFacts = {};
  #metrics: HostMetrics | null = null;
  #measured: ReadonlyMap<string, WorkloadMetrics> = new Map();
  #onFirstLook: () => void = () => {};
  #onStateLost: (ending: 'state-lost') => void = () => {};
  /** Resolves when the state directory is ours no more. */
  readonly stateLost = new Promise<'state-lost'>((resolve) => {
    this.#onStateLost = resolve;
  });

  constructor({ spec: configured, stateDir, logger }: AgentOptions, lock: StateLock, clock: Clock) {
    this.#lock = lock;
    const spec = { ...configured, stateDir };
    this.#spec = spec;
    this.#logger = logger;
    this.#clock = clock;
    this.#stateDir = stateDir;
    this.#startedAt = clock.now();
    this.#monotonicEpoch = this.#startedAt - clock.monotonic();
    this.#machineId = readMachineId({ stateDir });
    this.#identity = loadIdentity({ stateDir, machineId: this.#machineId });
    this.#facts = readHostFacts();
    const engine = new AdoptingEngine({ socketPath: spec.engine.socket });
    this.#engine = engine;
    const directory = join(stateDir, 'outbox');
    this.#outbox = FileOutbox.open({ directory, newEpoch: randomUUID, clock, logger });
    this.#incidents = makeIncidents({
      clock,
      random: Math.random,
      spec,
      stateDir,
      engine,
      secrets: () => this.#secrets.values(),
      containerOf: (workload) => this.#loops.get(workload)?.state.container ?? null,
      kernelLines: (since) => this.#watch.kernelLines(since),
      warn: (message) => logger.warn(message),
    });
    this.#conditions = new HostConditions({
      clock,
      stateDir,
      bootId: this.#bootId,
      emit: (event) => this.#emit(event),
      onChange: () => this.#uplink?.statusChanged(),
    });
    this.#accelerators = new Accelerators({
      clock,
      spec,
      stateDir,
      bootId: this.#bootId,
      ownerId: this.#identity.agentId,
      engine: this.#engine,
      path: process.env['PATH'] ?? '',
      report: (source, list) => this.#conditions.set(source, list),
      workloads: () => new Map([...this.#loops].map(([name, loop]) => [name, loop.acceleratorUser()])),
    });
    this.#watch = new HostWatch({
      clock,
      logger,
      stateDir,
      ownerId: this.#identity.agentId,
      engine: this.#engine,
      conditions: this.#conditions,
      workloads: () =>
        [...this.#loops.values()].map((loop) => ({
          containerId: loop.state.container?.id ?? null,
          send: (event) => loop.send(event),
        })),
      onXid: (xid, at, history) => this.#accelerators.xid(xid, at, history),
      metadataUrl: process.env['RELIGHT_METADATA_URL'],
    });
    const rebooted = this.#rebooted();
    this.#afterBoot = rebooted;
    this.#gate = makeGate({
      spec,
      bootId: this.#bootId,
      rebooted,
      clock,
      now: () => this.#steadyNow(),
      random: Math.random,
      logger,
      emit: (event) => this.#emit(event),
      report: (source, list) => this.#conditions.set(source, list),
      workloads: () => this.#loops.values(),
      onChange: () => this.#uplink?.statusChanged(),
    });
    this.#orphans = new Orphans({
      workloads: new Set(spec.workloads.map(({ name }) => name)),
      mode: spec.host.orphans,
      wallNow: () => clock.now(),
      report: (list) => this.#conditions.set('orphans', list),
      remove: (id) => this.#engine.remove(id, { timeoutMs: 60_000 }),
      onRemoved: ({ name, labels }) =>
        this.#emit({
          kind: 'host.notice',
          severity: 'info',
          message: `the container ${name} was removed: no workload "${labels[managedLabels.workload]}" is configured any more`,
          data: { container: name },
        }),
      warn: (containerId, thrown) =>
        logger.warn({ containerId, reason: toRelightError(thrown).message }, 'an orphan container could not be removed'),
    });
    this.#secrets = new Map(spec.workloads.map((workload) => [workload.name, new SecretValues(workload.container.envFile)]));
    this.#adopter = new Adopter({
      engine,
      stateDir,
      ownerId: this.#identity.agentId,
      clock,
      notice: (workload, severity, message, data) => this.#emit({ kind: 'host.notice', workload, severity, message, data }),
      secrets: (workload, values) => this.#secretsOf(workload).learn(values),
    });
    this.#containerSecrets = new ContainerSecrets({ engine: this.#engine, secrets: this.#secrets });
    this.#shipper = new FollowingShipper({
      clock,
      logger,
      directory: join(stateDir, 'logs'),
      delivering: spec.collector !== null,
      redact: (key) => (bytes) => this.#secretsOf(key.workload).bytes(bytes),
      rateLimit: (key) => spec.workloads.find(({ name }) => name === key.workload)?.logs.rateLimit ?? null,
    });
    this.#containerLogs = new ContainerLogs({ shipper: this.#shipper, emit: (event) => this.#emit(event) });
    this.#observer = new EngineObserver({
      engine: this.#engine,
      clock,
      logger,
      ownerId: this.#identity.agentId,
      names: spec.workloads.map((workload) => workload.container.name),
      // After a reboot the containers fell with the machine, not by themselves.
      afterBoot: rebooted,
      onObserved: (containers, afterOutage) => this.#observed(containers, afterOutage),
      onLost: (reason) => this.#engineLost(reason),
      onEvent: (event) => this.#engineEvent(event),
    });
    this.#runs = new ContainerRuns({ engine: this.#engine, clock, runRoot: runRootOf(stateDir), logs: this.#shipper });
    this.#earlierLogs = new EarlierLogs({ runRoot: runRootOf(stateDir), shipper: this.#shipper, runs: this.#runs, logger });
    const mounts = new MountProbes({ clock });
    const store = new WorkloadStore(stateDir);
    for (const given of spec.workloads) {
      const adopted = this.#adopter.remembered(given);
      const workload = adopted === null ? given : { ...given, container: adopted };
      this.#loops.set(
        workload.name,
        new WorkloadLoop({
          agent: spec,
          spec: workload,
          ownerId: this.#identity.agentId,
          engine: this.#engine,
          runs: this.#runs,
          mountProbes: mounts,
          prober: (onResult) =>
            new Prober({ engine: this.#engine, clock, mounts, gpus: this.#accelerators, shell: workload.shell, onResult }),
          resolveVars: (signal) => resolveVars(spec.vars, { clock, signal }),
          secrets: this.#secretsOf(workload.name),
          gate: this.#gate,
          accelerators: this.#accelerators,
          rebooted,
          store,
          beforeRemoval: (containerId) => this.#incidents.gatherer.captured(containerId),
          journal: this.#journalOf(workload),
          clock,
          now: () => this.#steadyNow(),
          random: Math.random,
          logger,
          emit: (event) => {
            this.#emit(event);
            this.#accelerators.heard(event);
          },
          whyNotAdopted: () => this.#adopter.why(workload),
          observe: () => this.#observer.observe(),
          onChange: () => this.#uplink?.statusChanged(),
        }),
      );
    }
    this.#hostMetrics = new MetricsSampler({ clock, disks: [stateDir, '/'] });
    this.#workloadMetrics = new WorkloadMetricsSampler({
      clock,
      stats: (id) => this.#engine.stats(id),
      hostMemoryBytes: this.#facts.memoryTotalBytes ?? Number.POSITIVE_INFINITY,
    });
    this.#uplink = spec.collector === null ? null : this.#dialer(spec.collector);
    this.#systemd = new Systemd({ env: process.env, clock, onError: (message) => logger.warn(message) });
    this.#control = new ControlServer({
      path: join(stateDir, 'control.sock'),
      handlers: {
        status: () => this.#status(),
        act: (action) => Promise.resolve(this.#carryOut(action, 'by hand on the host')),
      },
      onError: (error) => logger.error({ err: error }, 'the control socket could not take a connection'),
    });
  }

  #journalOf(spec: WorkloadSpec): WorkloadJournal {
    return new WorkloadJournal({
      stateDir: this.#stateDir,
      spec,
      ownerId: this.#identity.agentId,
      version: agentVersion,
      wallNow: () => this.#clock.now(),
      onTrouble: (reason) => this.#logger.warn({ workload: spec.name, reason }, 'the journal for replay cannot be written and pauses'),
    });
  }

  /** The supervisors' clock, in epoch milliseconds: a step of the wall clock neither shortens a pause nor lengthens a wait. */
  #steadyNow(): number {
    return Math.round(this.#monotonicEpoch + this.#clock.monotonic());
  }

  /** A workload that the configuration no longer has keeps nothing secret that we could know. */
  #secretsOf(workload: string): SecretValues {
    return this.#secrets.get(workload) ?? new SecretValues([]);
  }

  #dialer(collector: NonNullable<AgentSpec['collector']>): Uplink {
    const { host } = this.#spec;
    return new Uplink({
      spec: collector,
      clock: this.#clock,
      random: Math.random,
      logger: this.#logger,
      outbox: this.#outbox,
      logs: this.#shipper,
      incidents: this.#incidents.incidents,
      hello: () => ({
        agentId: this.#identity.agentId,
        machineId: this.#machineId,
        bootId: this.#bootId,
        host: host.name,
        labels: { ...host.labels },
        version: agentVersion,
        facts: this.#hostFacts(),
        remoteActions: host.remoteActions,
      }),
      status: () => ({
        workloads: this.#workloads(),
        ...(this.#metrics === null ? {} : { metrics: this.#metrics }),
        engine: this.#engineUp === true ? 'up' : 'down',
        conditions: this.#conditions.list(),
        gate: this.#gate.status(),
        accelerators: this.#accelerators.list(),
      }),
      onFleetSize: (size) => {
        for (const loop of this.#loops.values()) loop.send({ type: 'fleet', size });
      },
      onAction: (action) => {
        if (!host.remoteActions) {
          return Promise.resolve({
            ok: false,
            code: 'action-refused',
            message: `host ${host.name} refuses remote actions (host.remote_actions)`,
          });
        }
        return Promise.resolve(this.#carryOut(action, 'by an operator'));
      },
    });
  }

  /** Resolves when the first look at the engine has been taken, or could not be. */
  async start(): Promise<void> {
    const { host } = this.#spec;
    this.#logger.info({ agentId: this.#identity.agentId, host: host.name, stateDir: this.#stateDir }, 'relight-agent starts');
    this.#emit({
      kind: 'agent.started',
      severity: 'info',
      message: `relight-agent ${agentVersion} started on ${host.name}`,
      data: { version: agentVersion, bootId: this.#bootId, identity: this.#identity.reason },
    });
    // Before the first line is read. A file that is missing is the create stage's to complain about.
    await Promise.allSettled([...this.#secrets.values()].map((secrets) => secrets.load()));
    this.#earlierLogs.follow();
    await this.#control.listen();
    this.#accelerators.start();
    this.#watch.start();
    this.#hostMetrics.start((metrics) => void this.#sampled(metrics));
    // Before anybody could begin anything.
    await this.#gate.start();
    const looked = new Promise<void>((resolve) => {
      this.#onFirstLook = resolve;
    });
    for (const [workload, { state }] of this.#loops) {
      if (state.readyAt === null) continue;
      for (const event of this.#incidents.incidents.catchUp({ workload, readyAt: state.readyAt })) this.#store(event);
    }
    await this.#adopt([...this.#loops.values()]);
    this.#observer.start();
    await looked;
    this.#uplink?.start();
    void this.#completeFacts();
    this.#systemd.ready(`supervising ${this.#loops.size} workload(s)`);
  }

  async stop(why: 'signal' | 'state-lost' = 'signal'): Promise<void> {
    const lost = why === 'state-lost';
    if (!lost) await this.#systemd.stopping();
    // A preempted machine does not come back by itself, whatever systemd calls it.
    const preempted = this.#watch.departure?.kind === 'preemption';
    const down = await machineGoesDown({ clock: this.#clock });
    const reason = !preempted && down === 'reboot' ? 'rebooting' : 'stopped';
    const because = lost
      ? ': its state directory was deleted or taken over, it starts over'
      : preempted
        ? ': the machine is preempted'
        : { no: '', reboot: ': the machine goes down for a reboot', poweroff: ': the machine is switched off' }[down];
    this.#emit({
      kind: 'agent.stopped',
      severity: lost ? 'error' : 'info',
      message: `relight-agent stopped${because}`,
      data: { reason: lost ? why : reason },
    });
    this.#gate.stop();
    this.#observer.stop();
    this.#hostMetrics.dispose();
    this.#accelerators.dispose();
    this.#watch.dispose();
    this.#conditions.dispose();
    for (const loop of this.#loops.values()) loop.stop();
    await this.#control.close();
    await this.#uplink?.stop(reason);
    this.#incidents.incidents.stop();
    this.#shipper.close();
    this.#outbox.close();
  }

  #carryOut(action: Omit<ControlAction, 'type'>, by: string): ActionOutcome {
    // Whoever resumes the host wants to see it tried now: its commands, too.
    if (action.action === 'resume' && action.workload === undefined) this.#gate.retrySetup();
    return carryOut(action, this.#loops, by, this.#steadyNow());
  }

  #emit(event: Omit<NewAgentEvent, 'at'> & { readonly at?: number }): void {
    const { event: emitted, follow } = this.#incidents.incidents.take({ ...event, at: event.at ?? this.#clock.now() });
    for (const one of [emitted, ...follow]) this.#store(one);
  }

  #store(event: NewAgentEvent): void {
    const stored = this.#outbox.append(event);
    const level = event.severity === 'info' ? 'info' : event.severity === 'warning' ? 'warn' : 'error';
    this.#logger[level]({ kind: event.kind, workload: event.workload, seq: stored.seq, data: event.data }, event.message);
  }

  #observed(containers: readonly ContainerFacts[], afterOutage: boolean): void {
    if (this.#engineUp !== true) this.#engineFound();
    this.#gate.engineIs(true, this.#engineReason);
    const own = containers.filter((facts) => facts.labels[managedLabels.agent] === this.#identity.agentId);
    for (const facts of own) this.#containerLogs.seen(facts);
    this.#orphans.observed(own);
    void this.#earlierLogs.observed(own);
    for (const loop of this.#loops.values()) loop.observed(containers, afterOutage, this.#afterBoot);
    this.#afterBoot = false;
    const awaited = [...this.#loops.values()].filter(({ spec: { container } }) => container.adopt !== undefined && container.image === '');
    const come = awaited.filter(({ spec }) => containers.some(({ name }) => name === spec.container.name));
    if (come.length > 0) void this.#adopt(come).then((adopted) => (adopted ? this.#observer.observe() : undefined));
    // No line leaves before: the uplink starts after the first look.
    void this.#containerSecrets.learn(own).then(this.#onFirstLook);
  }

  /** Workloads that take over a container of somebody else: who holds its name now? True: at least one was taken over. */
  async #adopt(loops: readonly WorkloadLoop[]): Promise<boolean> {
    const free = loops.filter(({ spec }) => spec.container.adopt !== undefined && !this.#adopting.has(spec.name));
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

  #engineFound(): void {
    const first = this.#engineUp === null;
    this.#engineUp = true;
    this.#engineReason = 'answers';
    if (first) for (const event of this.#incidents.incidents.catchUp({ engine: 'up' })) this.#store(event);
    else this.#emit({ kind: 'engine.recovered', severity: 'info', message: 'the engine answers again', data: {} });
    void this.#engine.info().then(
      (info) => {
        this.#engineInfo = info;
        this.#hostMetrics.watchDisk(info.rootDirectory);
      },
      (thrown: unknown) => this.#logger.warn({ reason: toRelightError(thrown).message }, 'the engine does not tell its version'),
    );
  }

  #engineLost(reason: string): void {
    if (this.#engineUp !== false)
      this.#emit({ kind: 'engine.lost', severity: 'error', message: `the engine does not answer: ${reason}`, data: {} });
    this.#engineUp = false;
    this.#engineReason = reason;
    for (const loop of this.#loops.values()) loop.send({ type: 'engine-lost', reason });
    this.#gate.engineIs(false, reason);
    this.#onFirstLook();
  }

  #engineEvent(event: EngineEvent): void {
    // While the engine is asked what happened, the host is.
    if (event.type === 'container') this.#gate.glance();
    const loop = this.#loops.get(event.attributes['relight.workload'] ?? '');
    const order = loop === undefined ? null : otherHands(event, loop.state);
    if (order !== null) this.#incidents.incidents.observe(order);
    if (event.type === 'image') {
      if (event.action === 'delete' || event.action === 'untag') return;
      for (const loop of this.#loops.values()) loop.send({ type: 'image-changed' });
    } else if (event.action === 'oom') {
      this.#watch.oomSeen(event.id, () => loop?.send({ type: 'oom', process: null, constraint: 'container' }));
    }
  }

  async #sampled(metrics: HostMetrics): Promise<void> {
    this.#metrics = metrics;
    this.#watch.sampled(metrics);
    this.#incidents.measured(metrics);
    this.#checkStateDirectory();
    const containers = new Map(
      [...this.#loops].flatMap(([name, { state }]) =>
        state.container?.running === true ? [[name, { id: state.container.id, pid: state.container.pid }] as const] : [],
      ),
    );
    this.#measured = await this.#workloadMetrics.sample(containers);
  }

  /**
   * Deleted under a running agent. Going on as before would be worse than a kill -9: nobody could ask it anything, and a second
   * agent could be started on the same containers. Starting over makes the directory anew and adopts everything by its labels.
   */
  #checkStateDirectory(): void {
    if (!this.#lock.held()) this.#onStateLost('state-lost');
  }

  #workloads(): WorkloadStatus[] {
    return [...this.#loops].map(([name, loop]) => ({
      ...loop.status(this.#measured.get(name) ?? null),
      lastIncidentId: this.#incidents.incidents.lastOf(name),
    }));
  }

  /** For the next hello. What /proc told at once counts where both know. */
  async #completeFacts(): Promise<void> {
    try {
      this.#facts = { ...(await askForFacts({ program: thisProgram(), clock: this.#clock })), ...this.#facts };
    } catch (thrown) {
      const { code, message, advice } = toRelightError(thrown);
      this.#logger.warn({ code, advice }, message);
    }
  }

  #hostFacts(): HostFacts {
    const info = this.#engineInfo;
    const gpuTools = this.#accelerators.tools;
    return {
      ...this.#facts,
      ...(gpuTools === undefined ? {} : { gpuTools }),
      ...(info === null ? {} : { engineVersion: info.version, engineApiVersion: info.apiVersion }),
    };
  }

  #status(): AgentStatus {
    const { collector, host } = this.#spec;
    return {
      agentId: this.#identity.agentId,
      host: host.name,
      version: agentVersion,
      bootId: this.#bootId,
      startedAt: this.#startedAt,
      engine: { state: this.#engineUp === true ? 'up' : 'down', reason: this.#engineReason, version: this.#engineInfo?.version ?? null },
      collector: collector === null || this.#uplink === null ? null : { url: collector.url, ...this.#uplink.state() },
      metrics: this.#metrics,
      conditions: this.#conditions.list(),
      gate: this.#gate.status(),
      accelerators: this.#accelerators.list(),
      workloads: this.#workloads(),
    };
  }

  /** Whether the machine has booted since an agent last ran here. Says so as an event. */
  #rebooted(): boolean {
    const before = rememberBootId(this.#stateDir, this.#bootId);
    if (before === null || before === this.#bootId) return false;
    this.#emit({ kind: 'host.booted', severity: 'info', message: 'the machine has booted', data: { bootId: this.#bootId, before } });
    return true;
  }
}
