/**
 * One workload, alive: feeds events to the pure supervisor one at a time, writes down what must not be forgotten, and
 * carries out the effects. Decides nothing itself.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage, RelightError, toRelightError } from '@relight/shared/errors';
import type { WorkloadMetrics, WorkloadStatus } from '@relight/shared/status';
import type { Logger } from 'pino';
import type { MountProbes } from './checks/mount.ts';
import type { MountProbeResult, ProbeResult } from './checks/probe.ts';
import type { DesiredProbe, Prober } from './checks/prober.ts';
import type { SecretValues } from './config/secret-values.ts';
import type { AgentSpec, ContainerSpec, WorkloadSpec } from './config/spec.ts';
import type { ContainerFacts, Engine } from './engine/engine.ts';
import type { Look } from './engine/observer.ts';
import type { WorkloadHandle } from './host/accelerators/accelerators.ts';
import { runOp } from './stages/run-op.ts';
import { isExecuting } from './stages/proc.ts';
import { type Held, HeldInputs } from './held-inputs.ts';
import { inputFiles } from './input-files.ts';
import { RunWatches } from './stages/run-watches.ts';
import { lastWords } from './stages/last-words.ts';
import type { RunExit, Runs } from './stages/runs.ts';
import type { AcceleratorPort, StageContext } from './stages/stage.ts';
import { wantedProbes } from './supervisor/desired-probes.ts';
import type { Effect, EmittedEvent, SupervisorEvent } from './supervisor/event.ts';
import type { Op, OpResult, RunHandle } from './supervisor/op.ts';
import { afterReboot, durable, initialState, restore, type WorkloadState } from './supervisor/state.ts';
import { workloadStatus } from './supervisor/status.ts';
import { transition, wakeAt } from './supervisor/transition.ts';
import { withoutSecrets } from './supervisor/journal.ts';
import { SpareLoop } from './spare-loop.ts';
import { configChange } from './workload-config-change.ts';
import type { WorkloadJournal } from './workload-journal.ts';
import type { WorkloadStore } from './workload-store.ts';

/** An operation that does not end after its cancellation is given up; what it may still do is found by observation. */
const cancelMsMax = 15_000;
/** A tick that changes nothing must not become a busy loop. */
const tickMsMin = 20;

export interface LoopOptions {
  readonly agent: AgentSpec;
  readonly spec: WorkloadSpec;
  readonly ownerId: string;
  readonly engine: Engine;
  readonly runs: Runs;
  readonly mountProbes: MountProbes;
  readonly prober: (onResult: ProbeCallback) => Prober;
  /** Resolves the variables of one attempt, for probes after an adoption. */
  readonly resolveVars: (signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
  readonly secrets: SecretValues;
  /** The host's gate: glanced at before anything may begin, and asked in full before an attempt does. */
  readonly gate: { glance(): void; confirm(): Promise<void> };
  /** What stages may ask of the host's GPUs and TPUs. */
  readonly accelerators?: AcceleratorPort;
  /** The machine has booted since this workload was last supervised. */
  readonly rebooted: boolean;
  readonly store: WorkloadStore;
  readonly journal: WorkloadJournal;
  readonly clock: Clock;
  /** Epoch milliseconds that never jump. */
  readonly now: () => number;
  readonly random: () => number;
  readonly logger: Logger;
  /** `at`: when it was seen or decided, by the wall clock. */
  readonly emit: (event: EmittedEvent & { readonly workload: string; readonly at: number }) => void;
  /** Why a container that is to be adopted was not. */
  readonly whyNotAdopted?: () => RelightError;
  /** Resolves when nobody reads this container any more: it may be evidence. */
  readonly beforeRemoval: (containerId: string) => Promise<void>;
  readonly observe: () => void;
  readonly onChange: () => void;
}

export type ProbeCallback = (key: string, kind: DesiredProbe['kind'], result: ProbeResult | MountProbeResult) => void;

export class WorkloadLoop {
  #options: LoopOptions;
  readonly #prober: Prober;
  readonly #queue: SupervisorEvent[] = [];
  readonly #watches: RunWatches;
  readonly #inputs: HeldInputs;
  readonly #spare: SpareLoop | null;
  readonly #stop = new AbortController();
  #state: WorkloadState;
  #draining = false;
  #op: { readonly id: number; readonly abort: AbortController } | null = null;
  #progress: string | null = null;
  #vars: Readonly<Record<string, string>> | null = null;
  #resolved: { readonly at: number; readonly tookMs: number } | null = null;
  #resolving = false;
  #tick: Timer | null = null;
  #savedSpec: WorkloadSpec | null;
  #compared = false;
  #unsaved = false;

  constructor(options: LoopOptions) {
    this.#options = options;
    const saved = options.store.load(options.spec.name);
    const now = options.now();
    this.#savedSpec = saved?.spec ?? null;
    const restored = saved === null ? null : restore(saved.state, now, options.spec.restart.container.maxMs);
    this.#state = restored === null ? initialState(now) : options.rebooted ? afterReboot(restored) : restored;
    this.#prober = options.prober((key, kind, result) => this.#onProbe(key, kind, result));
    this.#watches = new RunWatches({
      runs: options.runs,
      logger: options.logger,
      onExit: (run, exit, containerAlive) => void this.#runExited(run, exit, containerAlive),
    });
    this.#spare = options.spec.spare === null ? null : new SpareLoop(options, (event) => this.send(event));
    this.#inputs = new HeldInputs({
      clock: options.clock,
      files: () => inputFiles(this.#options.spec),
      disks: [options.agent.stateDir, '/'],
      resolveVars: options.agent.vars.some((variable) => 'run' in variable) ? options.resolveVars : null,
      onChanged: (what, container) => this.send({ type: 'inputs-changed', what, container }),
    });
  }

  get state(): WorkloadState {
    return this.#state;
  }

  get spec(): WorkloadSpec {
    return this.#options.spec;
  }

  /** What is supervised is known at last: a container was adopted. Before anything is compared with it. */
  setContainer(container: ContainerSpec): void {
    this.#options = { ...this.#options, spec: { ...this.#options.spec, container } };
    this.#options.journal.specChanged(this.#options.spec);
  }

  send(event: SupervisorEvent): void {
    if (this.#stop.signal.aborted) return;
    if (mayBeginSomething(event)) this.#options.gate.glance();
    this.#queue.push(withoutSecrets(event, (value) => this.#options.secrets.data(value)));
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#step(next);
    } finally {
      this.#draining = false;
    }
    this.#settle();
  }

  /** `silence`: why nothing is known of this workload's container, although the engine answers. */
  observed({ containers, silent, afterOutage }: Look, afterBoot: boolean, silence: string | null): void {
    const { spec } = this.#options;
    const own = containers.filter((facts) => facts.labels['relight.workload'] === spec.name || facts.name === spec.container.name);
    if (silence === null) {
      this.#compareSpec(own);
      this.send({ type: 'observed', containers: own, afterOutage, ...(afterBoot ? { afterBoot } : {}) });
    } else {
      this.send({ type: 'container-silent', reason: silence });
    }
    this.#spare?.observed(own, new Set(silent.map(({ id }) => id)), afterOutage);
  }

  /** Once: does what runs come from another configuration than the present one? */
  #compareSpec(containers: readonly ContainerFacts[]): void {
    if (this.#compared) return;
    this.#compared = true;
    const { spec, ownerId } = this.#options;
    const change = configChange(this.#savedSpec, spec, containers, ownerId);
    if (change !== null) this.send(change);
  }

  /** Of the accelerators: whom a fault of theirs concerns. */
  acceleratorUser(): WorkloadHandle {
    const { container, generation, nextRun } = this.#state;
    const send = (event: SupervisorEvent): void => this.send(event);
    return { container: this.#options.spec.container, containerId: container?.id ?? null, generation, nextRun, send };
  }

  status(metrics: WorkloadMetrics | null): WorkloadStatus {
    const status = workloadStatus(this.#state, this.#options.spec, this.#progress, metrics);
    return this.#spare === null ? status : { ...status, spare: this.#spare.status() };
  }

  /** Lets go of everything; containers, mounts and processes go on as they are. */
  stop(): void {
    this.#stop.abort();
    this.#tick?.cancel();
    this.#prober.dispose();
    this.#spare?.stop();
    this.#op?.abort.abort(new RelightError('cancelled', 'the agent stops'));
    this.#watches.dispose();
    this.#inputs.dispose();
  }

  #step(event: SupervisorEvent): void {
    const { spec, ownerId, clock, journal } = this.#options;
    const before = this.#state;
    // Before the state is written: a slow disk is not when it happened.
    const { at, now } = sameMoment(clock, this.#options.now);
    const random = this.#options.random();
    const { state, effects } = transition(before, event, { now, random, spec, ownerId });
    this.#state = state;
    journal.record({ at, now, random, event, before, after: state, effects });
    if (state.op === null) this.#progress = null;
    this.#save();
    for (const effect of effects) this.#carryOut(effect, at);
    if (state !== before) this.#options.onChange();
  }

  /** A disk that takes no more must not stop recovery: labels, RELIGHT_RUN and the engine can tell all of it again. */
  #save(): void {
    const { store, spec } = this.#options;
    try {
      store.save(spec.name, { state: durable(this.#state), spec });
    } catch (error) {
      if (!this.#unsaved)
        this.#notice('error', `the state directory cannot be written (${errorMessage(error)}); supervision goes on without`);
      this.#unsaved = true;
      return;
    }
    if (this.#unsaved) this.#notice('info', 'the state directory can be written again');
    this.#unsaved = false;
  }

  /** Said once per outage. */
  #notice(severity: 'info' | 'error', message: string): void {
    this.#options.emit({
      kind: 'host.notice',
      severity,
      message,
      data: {},
      at: this.#options.clock.now(),
      workload: this.#options.spec.name,
    });
  }

  #carryOut(effect: Effect, at: number): void {
    switch (effect.kind) {
      case 'run':
        this.#start(effect.opId, effect.op);
        return;
      case 'cancel':
        if (this.#op?.id === effect.opId) this.#op.abort.abort(new RelightError('cancelled', 'overtaken by events'));
        return;
      case 'emit':
        this.#emit(effect.event, at);
        return;
      case 'observe':
        this.#options.observe();
        return;
      case 'probe-mount':
        this.#prober.now(`mount/${effect.mount}`);
        return;
      case 'sweep':
        void this.#sweep(effect.containerIds);
    }
  }

  #emit(event: EmittedEvent, at = this.#options.clock.now()): void {
    const { emit, secrets, spec } = this.#options;
    emit({ ...event, message: secrets.text(event.message), data: secrets.data(event.data), workload: spec.name, at });
  }

  #start(opId: number, op: Op): void {
    const abort = new AbortController();
    this.#op = { id: opId, abort };
    this.#progress = null;
    // Before they are read: what changes while it is tried counts as a change, too.
    if (op.kind === 'prepare') void this.#inputs.remember();
    void this.#perform(op, abort.signal).then((result) => {
      if (this.#op?.id === opId) this.#op = null;
      this.send({ type: 'op-done', opId, result });
    });
  }

  async #perform(op: Op, signal: AbortSignal): Promise<OpResult> {
    try {
      if (op.kind === 'create') await this.#options.secrets.load();
      if (op.kind === 'prepare') await this.#options.gate.confirm();
      const work = runOp(op, this.#context(signal));
      return { ok: true, value: await Promise.race([work, this.#givenUp(signal)]) };
    } catch (thrown) {
      const error = signal.aborted ? toRelightError(signal.reason, 'cancelled') : toRelightError(thrown);
      if (error.code === 'internal') this.#options.logger.error({ err: thrown, op }, 'an operation failed in an unforeseen way');
      const { code, message, recoverable, advice, data } = error;
      // A command's last lines are part of messages, and a command may print what it was given.
      return { ok: false, failure: this.#options.secrets.data({ code, message, recoverable, advice, data }) };
    }
  }

  #givenUp(signal: AbortSignal): Promise<never> {
    return new Promise((_, reject) => {
      const giveUp = (): void => void this.#options.clock.after(cancelMsMax, () => reject(signal.reason as Error));
      if (signal.aborted) giveUp();
      else signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  #context(signal: AbortSignal): StageContext {
    const { agent, spec, ownerId, engine, runs, mountProbes, clock, secrets, whyNotAdopted, accelerators } = this.#options;
    return {
      engine,
      clock,
      spec,
      agent,
      ownerId,
      generation: this.#state.generation,
      containerId: this.#state.container?.id ?? null,
      signal,
      vars: this.#vars ?? {},
      ...(this.#resolved !== null && this.#state.waitingFor !== null ? { earlier: this.#resolved } : {}),
      setVars: (vars, tookMs) => {
        this.#vars = vars;
        this.#resolved = { at: clock.monotonic(), tookMs };
      },
      runs,
      mountProbes,
      ...(whyNotAdopted === undefined ? {} : { whyNotAdopted }),
      ...(accelerators === undefined ? {} : { accelerators }),
      progress: (stage) => {
        this.#progress = secrets.text(stage);
        this.#options.onChange();
      },
      emit: (event) => this.#emit({ ...event, generation: this.#state.generation }),
    };
  }

  /** After the queue is empty: probes, watches and the next tick follow from the state. */
  #settle(): void {
    this.#options.journal.flush(this.#state);
    this.#setProbes();
    this.#setWatches();
    this.#inputs.set(heldBy(this.#state), this.#vars);
    const { now, spec, clock } = this.#options;
    this.#spare?.main(this.#state);
    this.#tick?.cancel();
    const at = wakeAt(this.#state, { spec });
    this.#tick = at === null ? null : clock.after(Math.max(tickMsMin, at - now()), () => this.send({ type: 'tick' }));
  }

  #setProbes(): void {
    const { container } = this.#state;
    const wanted = wantedProbes(this.#state, this.#options.spec);
    if (wanted.length === 0 || container === null) {
      this.#prober.set([]);
      return;
    }
    // After an adoption nobody has resolved the variables yet; a check without them would only fail.
    if (this.#vars === null) void this.#resolve();
    const usable = this.#vars === null ? wanted.filter((probe) => probe.kind === 'mount') : wanted;
    this.#prober.set(
      usable.map((probe): DesiredProbe => ({ ...probe, containerId: container.id, containerPid: container.pid, vars: this.#vars ?? {} })),
    );
  }

  async #resolve(): Promise<void> {
    if (this.#resolving) return;
    this.#resolving = true;
    try {
      const vars = await this.#options.resolveVars(this.#stop.signal);
      this.#vars ??= vars;
      this.send({ type: 'tick' });
    } catch (thrown) {
      if (this.#stop.signal.aborted) return;
      this.#options.logger.warn(
        { workload: this.#options.spec.name, reason: toRelightError(thrown).message },
        'checks wait for the variables',
      );
      this.#options.clock.after(variableRetryMs, () => this.send({ type: 'tick' }));
    } finally {
      this.#resolving = false;
    }
  }

  #setWatches(): void {
    const { container, process, mounts, adopted } = this.#state;
    const placed = [process, ...Object.values(mounts).map((mount) => mount.run)].filter((run) => run !== null);
    this.#watches.set(container?.running === true && adopted ? placed : [], container ?? { id: '', pid: 0 });
  }

  /** What it said last goes with it: that is where the cause stands. */
  async #runExited(run: RunHandle, { exitCode, signal }: RunExit, containerAlive: boolean): Promise<void> {
    const { runs, engine, secrets, logger } = this.#options;
    const words = await lastWords(run, exitCode, {
      runs,
      engine,
      redact: (text) => secrets.text(text),
      container: containerAlive ? this.#state.container : null,
      onFault: (thrown) => logger.warn({ run: run.runId, reason: errorMessage(thrown) }, 'the last lines of a run cannot be read'),
    });
    this.send({ type: 'run-exited', runId: run.runId, exitCode, signal, containerAlive, ...words });
  }

  #onProbe(key: string, kind: DesiredProbe['kind'], result: ProbeResult | MountProbeResult): void {
    const name = key.slice(kind.length + 1);
    const failed = 'condition' in result ? result.condition !== 'ok' : !result.ok;
    // A dead container fails every check; what it died of is the engine's to tell.
    if (failed && !isExecuting('/proc', this.#state.container?.pid ?? 0)) {
      this.#options.observe();
      return;
    }
    const message = this.#options.secrets.text(result.message);
    if ('condition' in result) this.send({ type: 'mount-check', mount: name, condition: result.condition, message });
    else if (kind !== 'mount') this.send({ type: 'check', list: kind, name, ...result, message });
  }

  async #sweep(containerIds: readonly string[]): Promise<void> {
    const { beforeRemoval, engine, logger } = this.#options;
    for (const id of containerIds) {
      try {
        await beforeRemoval(id);
        // Removing a container with many files takes the engine seconds.
        await engine.remove(id, { timeoutMs: 60_000, signal: this.#stop.signal });
      } catch (thrown) {
        if (!this.#stop.signal.aborted)
          logger.warn({ containerId: id, reason: toRelightError(thrown).message }, 'an old container could not be removed');
      }
    }
  }
}

const variableRetryMs = 5_000;

function heldBy({ phase, held, container }: WorkloadState): Held | null {
  if (phase !== 'held' || held === null) return null;
  const { code, data } = held.failure;
  const { port: number, holder } = data;
  if (typeof number !== 'number') return { code, port: null };
  // What the process asks for is a port of the container's network, what the engine publishes one of the host's.
  const network = code === 'address-in-use' ? container?.pid : undefined;
  return { code, port: { number, taken: typeof holder === 'string', network } };
}

/**
 * One moment by both clocks: an agent that is put aside by the kernel between the two readings would tell times that
 * contradict its decisions.
 */
function sameMoment(clock: Clock, steady: () => number): { readonly at: number; readonly now: number } {
  for (let tries = 0; ; tries += 1) {
    const at = clock.now();
    const now = steady();
    if (tries === 3 || clock.now() - at <= 1) return { at, now };
  }
}

/** Checks that pass change nothing, and they are most of what happens. What the gate itself says must not ask it again. */
function mayBeginSomething(event: SupervisorEvent): boolean {
  if (event.type === 'check') return !event.ok;
  if (event.type === 'mount-check') return event.condition !== 'ok';
  return event.type !== 'gate' && event.type !== 'pause' && event.type !== 'resume';
}
