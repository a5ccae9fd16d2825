/**
 * One workload, alive: feeds events to the pure supervisor one at a time, writes down what must not be forgotten, and
 * carries out the effects. Decides nothing itself.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '@relight/shared/clock';
import { toRelightError } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import type { WorkloadMetrics, WorkloadStatus } from '@relight/shared/status';
import { withAutomaticChecks } from './config/automatic-checks.ts';
import { strongest } from './config/agent-change.ts';
import { compareWorkload } from './config/impact.ts';
import type { AgentSpec, ContainerSpec, WorkloadSpec } from './config/spec.ts';
import type { ContainerFacts } from './engine/engine.ts';
import type { Look } from './engine/observer.ts';
import type { WorkloadHandle } from './host/accelerators/accelerators.ts';
import { type Held, HeldInputs } from './held-inputs.ts';
import { inputFiles } from './input-files.ts';
import { withOwnRuns } from './supervisor/claimed-runs.ts';
import type { Effect, EmittedEvent, SupervisorEvent } from './supervisor/event.ts';
import { mayBeginSomething } from './supervisor/may-begin.ts';
import { ownHand } from './supervisor/observe.ts';
import type { Op, OpResult } from './supervisor/op.ts';
import { afterReboot, initialState, restore, type WorkloadState } from './supervisor/state.ts';
import { workloadStatus } from './supervisor/status.ts';
import { transition, wakeAt } from './supervisor/transition.ts';
import { withoutSecrets } from './supervisor/journal.ts';
import { SpareLoop } from './spare-loop.ts';
import { bothChanges, configChange, type SpecChanged } from './workload-config-change.ts';
import { EventQueue } from './event-queue.ts';
import type { LoopOptions } from './loop-options.ts';
import { WorkloadMemory } from './workload-memory.ts';
import type { SavedConfiguration } from './workload-store.ts';
import { WorkloadOperations } from './workload-operations.ts';
import { WorkloadWatch } from './workload-watch.ts';

/** A tick that changes nothing must not become a busy loop. */
const tickMsMin = 20;

export class WorkloadLoop {
  #options: LoopOptions;
  readonly #queue: EventQueue<SupervisorEvent>;
  readonly #memory: WorkloadMemory;
  readonly #operations: WorkloadOperations;
  readonly #watch: WorkloadWatch;
  readonly #inputs: HeldInputs;
  #spare: SpareLoop | null;
  readonly #stop = new AbortController();
  #state: WorkloadState;
  #tick: Timer | null = null;
  #saved: SavedConfiguration | null;
  #compared = false;
  /** The configuration changed while this operation was under way; what it has made may come from the one before. */
  #overtaken: { readonly opId: number; readonly change: SpecChanged } | null = null;
  /** When the last operation ended that a look at the engine may have missed, monotonic. */
  #knownAt = Number.NEGATIVE_INFINITY;
  /** Resolves when no spare loop works any more but `#spare`. */
  #earlierSpares: Promise<unknown> = Promise.resolve();

  constructor(options: LoopOptions) {
    this.#options = options;
    this.#memory = new WorkloadMemory({ ...options, workload: options.spec.name });
    const saved = this.#memory.recall();
    const now = options.now();
    this.#saved = saved;
    const own = { owner: options.ownerId, workload: options.spec.name };
    const restored = saved === null ? null : withOwnRuns(restore(saved.state, now, options.spec.restart.container.maxMs), own);
    this.#state = restored === null ? initialState(now) : options.rebooted ? afterReboot(restored) : restored;
    this.#queue = new EventQueue(
      (event) => this.#step(event),
      () => this.#settle(),
    );
    const send = (event: SupervisorEvent): void => this.send(event);
    this.#spare = options.spec.spare === null ? null : new SpareLoop(options, send);
    this.#inputs = new HeldInputs({
      clock: options.clock,
      files: () => inputFiles(this.#options.spec),
      disks: [options.agent.stateDir, '/'],
      resolveVars: () => (this.#options.agent.vars.some((variable) => 'run' in variable) ? options.resolveVars : null),
      onChanged: (what, container) => send({ type: 'inputs-changed', what, container }),
    });
    const live = { loop: () => this.#options, state: () => this.#state };
    this.#operations = new WorkloadOperations({
      ...live,
      // Before they are read: what changes while it is tried counts as a change, too.
      onPrepare: () => void this.#inputs.remember(),
      emit: (event) => options.emit(this.#toTell(event, options.clock.now())),
      onDone: (opId, result) => this.#done(opId, result),
    });
    this.#watch = new WorkloadWatch({
      ...live,
      vars: () => this.#operations.vars,
      learn: (vars) => this.#operations.learn(vars),
      send,
    });
  }

  get state(): WorkloadState {
    return this.#state;
  }

  get spec(): WorkloadSpec {
    return this.#options.spec;
  }

  get agent(): AgentSpec {
    return this.#options.agent;
  }

  /** What the last life of the agent worked with; null: nothing is remembered. */
  get saved(): SavedConfiguration | null {
    return this.#saved;
  }

  /** What is supervised is known at last: a container was adopted. Before anything is compared with it. */
  setContainer(container: ContainerSpec): void {
    this.#options = { ...this.#options, spec: withAutomaticChecks({ ...this.#options.spec, container }) };
    this.#options.journal.specChanged(this.#options.spec);
  }

  /** Another configuration holds from now on. What it costs what runs, the supervisor does, and no more. */
  reconfigure(agent: AgentSpec, spec: WorkloadSpec): void {
    const changes = compareWorkload(this.#options.spec, spec);
    const otherVars = !isDeepStrictEqual(this.#options.agent.vars, agent.vars);
    this.#options = { ...this.#options, agent, spec };
    // It compares what it was made from with what the variables are, of the configuration that it was given.
    if (changes.length > 0 || otherVars) this.#renewSpare();
    if (changes.length === 0) return;
    this.#options.journal.specChanged(spec);
    // Before the first look it is compared with what was saved, as after a restart of the agent.
    if (!this.#compared) return;
    const change: SpecChanged = { type: 'spec-changed', impact: strongest(changes), fields: changes.map(({ field }) => field) };
    const { op } = this.#state;
    this.send(change);
    if (op === null || change.impact === 'none' || !makesSomething.has(op.op.kind)) return;
    const earlier = this.#overtaken?.opId === op.id ? this.#overtaken.change : null;
    this.#overtaken = { opId: op.id, change: earlier === null ? change : bothChanges(earlier, change) };
  }

  /** One that was prepared for another configuration is no help; the new loop judges what there is, and makes it anew. */
  #renewSpare(): void {
    const old = this.#spare;
    this.#spare = null;
    old?.stop();
    if (old !== null) this.send({ type: 'spare', generation: this.#state.spareGeneration, offer: null });
    // Two never work on one spare.
    this.#earlierSpares = Promise.all([this.#earlierSpares, old?.ended]);
    void this.#earlierSpares.then(() => {
      if (this.#stop.signal.aborted || this.#spare !== null || this.#options.spec.spare === null) return;
      this.#spare = new SpareLoop(this.#options, (event) => this.send(event));
      this.#options.observe();
    });
  }

  #done(opId: number, result: OpResult): void {
    const { op } = this.#state;
    const endedAt = this.#options.clock.monotonic();
    this.send({ type: 'op-done', opId, result });
    if ((op !== null && ownHand.has(op.op.kind)) || this.#state.pendingFailure !== null) this.#knownAt = endedAt;
    if (this.#overtaken?.opId !== opId) return;
    const { change } = this.#overtaken;
    this.#overtaken = null;
    if (result.ok) this.send(change);
  }

  send(event: SupervisorEvent): void {
    if (this.#stop.signal.aborted) return;
    if (mayBeginSomething(event, this.#state)) this.#options.gate.glance();
    this.#queue.add(withoutSecrets(event, (value) => this.#options.secrets.data(value)));
  }

  /** `silence`: why nothing is known of this workload's container, although the engine answers. */
  observed({ containers, silent, afterOutage, askedAt }: Look, afterBoot: boolean, silence: string | null): void {
    const { spec, observe } = this.#options;
    const own = containers.filter((facts) => facts.labels['relight.workload'] === spec.name || facts.name === spec.container.name);
    if (silence === null) {
      this.#compareSpec(own);
      // A slow one may not know what we have made since, nor that it died of what an operation failed with: the next one does.
      if (askedAt < this.#knownAt && !afterOutage) observe();
      else this.send({ type: 'observed', containers: own, afterOutage, ...(afterBoot ? { afterBoot } : {}) });
    } else {
      this.send({ type: 'container-silent', reason: silence });
    }
    this.#spare?.observed(own, { silent: new Set(silent.map(({ id }) => id)), afterOutage, askedAt });
  }

  /** Once: does what runs come from another configuration than the present one? */
  #compareSpec(containers: readonly ContainerFacts[]): void {
    if (this.#compared) return;
    this.#compared = true;
    const { spec, ownerId } = this.#options;
    const change = configChange(this.#saved?.spec ?? null, spec, containers, ownerId);
    if (change !== null) this.send(change);
  }

  /** Of the accelerators: whom a fault of theirs concerns. */
  acceleratorUser(): WorkloadHandle {
    const { container, generation, nextRun } = this.#state;
    const send = (event: SupervisorEvent): void => this.send(event);
    return { container: this.#options.spec.container, containerId: container?.id ?? null, generation, nextRun, send };
  }

  status(metrics: WorkloadMetrics | null): WorkloadStatus {
    const status = workloadStatus(this.#state, this.#options.spec, this.#operations.progress, metrics);
    return this.#spare === null ? status : { ...status, spare: this.#spare.status() };
  }

  /** Is something under way that another agent would have to begin anew? */
  get busy(): string | null {
    const { op, stage } = { op: this.#state.op, stage: this.status(null).stage };
    return op === null || op.cancelled ? null : (stage ?? op.op.kind);
  }

  /** After `stop`: resolves when nothing is under way any more. */
  async ended(): Promise<void> {
    await Promise.all([this.#operations.ended, this.#earlierSpares, this.#spare?.ended]);
  }

  /** Lets go of everything; containers, mounts and processes go on as they are. */
  stop(): void {
    this.#stop.abort();
    this.#tick?.cancel();
    this.#watch.dispose();
    this.#spare?.stop();
    this.#operations.stop();
    this.#inputs.dispose();
  }

  #step(event: SupervisorEvent): void {
    const { agent, spec, ownerId, clock, journal } = this.#options;
    const before = this.#state;
    // Before the state is written: a slow disk is not when it happened.
    const { at, now } = sameMoment(clock, this.#options.now);
    const random = this.#options.random();
    const { state, effects } = transition(before, event, { now, random, spec, ownerId });
    this.#state = state;
    journal.record({ at, now, random, event, before, after: state, effects });
    if (state.op === null) this.#operations.idle();
    const events = effects.flatMap((effect) => (effect.kind === 'emit' ? [this.#toTell(effect.event, at)] : []));
    // Until what runs was compared with it, another configuration is not what it was made from: the next life would see no change.
    const present = { spec, vars: agent.vars };
    this.#memory.keep(state, this.#compared ? present : (this.#saved ?? present), events);
    for (const effect of effects) this.#carryOut(effect);
    if (state !== before) this.#options.onChange();
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'run':
        this.#operations.start(effect.opId, effect.op);
        return;
      case 'cancel':
        this.#operations.cancel(effect.opId);
        return;
      case 'emit':
        return;
      case 'observe':
        this.#options.observe();
        return;
      case 'probe-mount':
        this.#watch.probeNow(effect.mount);
        return;
      case 'sweep':
        void this.#sweep(effect.containerIds);
    }
  }

  #toTell(event: EmittedEvent, at: number): NewAgentEvent {
    const { secrets, spec } = this.#options;
    return { ...event, message: secrets.text(event.message), data: secrets.data(event.data), workload: spec.name, at };
  }

  /** After the queue is empty: probes, watches and the next tick follow from the state. */
  #settle(): void {
    this.#options.journal.flush(this.#state);
    this.#watch.settle();
    this.#inputs.set(heldBy(this.#state), this.#operations.vars);
    const { now, spec, clock } = this.#options;
    this.#spare?.main(this.#state);
    this.#tick?.cancel();
    const at = wakeAt(this.#state, { spec });
    this.#tick = at === null ? null : clock.after(Math.max(tickMsMin, at - now()), () => this.send({ type: 'tick' }));
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

/** What comes of them is made from the configuration. */
const makesSomething: ReadonlySet<Op['kind']> = new Set(['prepare', 'pull', 'create', 'take-spare', 'process']);

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
