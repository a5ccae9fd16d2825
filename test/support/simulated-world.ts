/**
 * The simulated host with a supervisor on it, which is told of everything as the adapters would. Every fault is a method. Nothing is
 * random here.
 */
import type { ContainerFacts } from '@relight/agent/engine/engine';
import type { WorkloadSpec } from '@relight/agent/config/spec';
import { withOwnRuns } from '@relight/agent/supervisor/claimed-runs';
import type { Effect, EmittedEvent, SupervisorEvent } from '@relight/agent/supervisor/event';
import type { Failure, Op, OpValue, RunHandle } from '@relight/agent/supervisor/op';
import { durable, initialState, restore, type WorkloadState } from '@relight/agent/supervisor/state';
import { transition, wakeAt } from '@relight/agent/supervisor/transition';
import { wantedProbes } from '@relight/agent/supervisor/desired-probes';
import type { JournalStep } from '@relight/agent/workload-journal';
import { failureOf, fall, type SimulatedContainer, SimulatedHost } from './simulated-host.ts';

const ownerId = 'owner';

export { failureOf } from './simulated-host.ts';

export class SimulatedWorld extends SimulatedHost {
  state: WorkloadState;
  readonly events: EmittedEvent[] = [];
  readonly ops: Op[] = [];
  checksPass = true;
  /** What a process that ends has said last. */
  lastLines: readonly string[] = [];
  pending: { readonly opId: number; readonly op: Op; cancelled: boolean } | null = null;
  #afterOutage = false;
  #observeWanted = false;
  /** Told of every transition, as the journal is. */
  onStep: (step: JournalStep) => void = () => {};
  /** Told of every look at the engine. */
  onObserved: (containers: readonly ContainerFacts[], afterOutage: boolean) => void = () => {};

  constructor(spec: WorkloadSpec) {
    super(spec);
    this.state = initialState(this.now);
  }

  /** The one that is supervised, whatever it is called. */
  get #supervised(): SimulatedContainer | undefined {
    return this.containers.find((container) => container.id === this.state.container?.id) ?? this.current;
  }

  send(event: SupervisorEvent): void {
    const { state: before, now } = this;
    const random = 0.5;
    const { state, effects } = transition(before, event, { now, random, spec: this.spec, ownerId });
    this.state = state;
    this.onStep({ at: now, now, random, event, before, after: state, effects });
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'run':
        if (this.pending !== null) throw new Error(`two operations at once: ${this.pending.op.kind} and ${effect.op.kind}`);
        this.pending = { opId: effect.opId, op: effect.op, cancelled: false };
        this.ops.push(effect.op);
        return;
      case 'cancel':
        if (this.pending?.opId !== effect.opId) throw new Error('cancels what is not under way');
        this.pending.cancelled = true;
        return;
      case 'emit':
        this.events.push(effect.event);
        return;
      case 'observe':
        this.#observeWanted = true;
        return;
      case 'probe-mount':
        return;
      case 'sweep':
        for (const id of effect.containerIds) {
          if (id === this.state.container?.id || id === this.strangerId) throw new Error('sweeps what it must not');
        }
        this.containers = this.containers.filter((container) => !effect.containerIds.includes(container.id));
    }
  }

  /** A container that is not ours takes our name, if that is free. */
  addStranger(id = 'stranger'): void {
    if (this.current !== undefined) return;
    this.stranger = true;
    this.strangerId = id;
    this.#observeWanted = true;
  }

  removeStranger(): void {
    this.stranger = false;
    this.#observeWanted = true;
  }

  /** Somebody starts the newest container that was set aside. */
  startRetired(): void {
    const retired = this.containers.findLast((container) => !container.running && container.id !== this.state.container?.id);
    if (retired === undefined || retired.startedAt === null || this.pending !== null) return;
    this.now += 1;
    retired.running = true;
    retired.startedAt = this.now;
    this.#observeWanted = true;
  }

  /** What the observer would do now. */
  observe(): void {
    this.#observeWanted = false;
    if (!this.engineUp) {
      this.send({ type: 'engine-lost', reason: 'connection refused' });
      return;
    }
    const afterOutage = this.#afterOutage;
    this.#afterOutage = false;
    const containers = this.facts();
    this.send({ type: 'observed', containers: this.stranger ? [...containers, this.strangerFacts()] : containers, afterOutage });
    this.onObserved(containers, afterOutage);
  }

  /** Ends the operation under way as the truth allows. */
  finishOp(failWith?: Failure): void {
    const { pending } = this;
    if (pending === null) return;
    this.pending = null;
    const outcome = failWith ?? this.#perform(pending.op, pending.cancelled);
    const result = 'code' in outcome ? ({ ok: false, failure: outcome } as const) : ({ ok: true, value: outcome } as const);
    this.send({ type: 'op-done', opId: pending.opId, result });
  }

  #perform(op: Op, cancelled: boolean): OpValue | Failure {
    return cancelled ? failureOf('cancelled') : this.perform(op, this.state.container?.id ?? null);
  }

  protected override onStopped({ kind, runId }: RunHandle): void {
    if (kind !== 'setup') this.send({ type: 'run-exited', runId, exitCode: 143, signal: 'SIGTERM', containerAlive: true, lastLines: [] });
  }

  killContainer(exitCode = 137): void {
    const current = this.#supervised;
    if (current?.running !== true) return;
    const process = current.runs.find((run) => run.kind === 'process');
    fall(current, exitCode);
    if (process !== undefined && this.state.process?.runId === process.runId) {
      this.send({ type: 'run-exited', runId: process.runId, exitCode: null, signal: null, containerAlive: false, lastLines: [] });
    }
    this.#observeWanted = true;
  }

  removeContainer(): void {
    const current = this.#supervised;
    if (current === undefined) return;
    this.killContainer();
    this.containers = this.containers.filter((container) => container !== current);
    this.#observeWanted = true;
  }

  /** Somebody's `docker restart`. */
  restartedByOthers(): void {
    const current = this.#supervised;
    if (current?.running !== true) return;
    this.now += 1;
    current.startedAt = this.now;
    current.runs = [];
    current.mounts.clear();
    this.#observeWanted = true;
  }

  renameContainer(): void {
    if (this.current === undefined) return;
    this.current.name = 'somebody-elses-idea';
    this.#observeWanted = true;
  }

  /** It ends by itself, and the mounts have been looked at. */
  killProcess(exitCode = 1): void {
    this.endProcess(exitCode);
    if (this.pending?.op.kind === 'look' && !this.pending.cancelled) this.finishOp();
  }

  /** It ends by itself. */
  endProcess(exitCode = 1): void {
    const run = this.#supervised?.runs.find((candidate) => candidate.kind === 'process');
    if (this.#supervised === undefined || run === undefined) return;
    this.#supervised.runs = this.#supervised.runs.filter((other) => other !== run);
    if (this.state.process?.runId === run.runId) {
      this.send({ type: 'run-exited', runId: run.runId, exitCode, signal: null, containerAlive: true, lastLines: this.lastLines });
    }
  }

  /** The kernel kills something in the container; `survives` tells whether its first process lives on. */
  oom(survives: boolean): void {
    if (this.#supervised?.running !== true) return;
    this.send({ type: 'oom', process: { pid: 4_711, name: 'python3' }, constraint: 'container' });
    this.send({ type: 'oom', process: null, constraint: 'container' });
    if (!survives) this.killContainer();
    this.#observeWanted = true;
  }

  /** A mount's daemon ends, and its mount with it. */
  endMountRun(exitCode: number): void {
    const run = this.#supervised?.runs.find(({ kind }) => kind === 'mount');
    if (run === undefined) return;
    this.loseMount();
    if (Object.values(this.state.mounts).some((mount) => mount.run?.runId === run.runId))
      this.send({ type: 'run-exited', runId: run.runId, exitCode, signal: null, containerAlive: true, lastLines: [] });
  }

  loseMount(): void {
    this.#supervised?.mounts.clear();
    if (this.#supervised !== undefined) this.#supervised.runs = this.#supervised.runs.filter((run) => run.kind !== 'mount');
  }

  stopEngine(): void {
    this.engineUp = false;
    this.#afterOutage = true;
    this.#observeWanted = true;
  }

  startEngine(containersSurvive: boolean): void {
    if (!containersSurvive && !this.engineUp) {
      const current = this.#supervised;
      if (current?.running === true) fall(current, 255);
    }
    this.engineUp = true;
    this.#observeWanted = true;
  }

  /** kill -9 of the agent and a new start; what was under way may or may not have come to its end. */
  crashAgent(opFinished: boolean, stateLost: boolean): void {
    const { pending } = this;
    this.pending = null;
    if (pending !== null && opFinished && !pending.cancelled && this.engineUp) this.#perform(pending.op, false);
    const saved = restore(JSON.parse(JSON.stringify(durable(this.state))), this.now, 60_000);
    this.state = stateLost ? initialState(this.now) : withOwnRuns(saved, { owner: ownerId, workload: this.spec.name });
    this.observe();
  }

  /** Lets the adapters report once: an observation if one is wanted, exits, then every probe that the state wants. */
  report(): void {
    if (this.#observeWanted) this.observe();
    const { process } = this.state;
    const alive = this.#supervised?.runs.some((run) => run.runId === process?.runId) === true;
    if (process !== null && this.state.adopted && this.state.container?.running === true && !alive) {
      this.send({
        type: 'run-exited',
        runId: process.runId,
        exitCode: null,
        signal: null,
        containerAlive: this.#supervised?.running === true,
        lastLines: [],
      });
    }
    for (const probe of wantedProbes(this.state, this.spec)) {
      if (probe.kind === 'mount') {
        const ok = this.#supervised?.mounts.has(probe.spec.name) === true;
        this.send({
          type: 'mount-check',
          mount: probe.spec.name,
          condition: ok ? 'ok' : 'disconnected',
          message: ok ? 'ok' : 'not connected',
        });
      } else {
        const ok = this.checksPass && this.#supervised?.running === true;
        this.send({ type: 'check', list: probe.kind, name: probe.spec.name, ok, message: ok ? 'ok' : 'refused' });
      }
    }
  }

  /** Moves time on, ticking when the supervisor asked for it. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (let guard = 0; guard < 1_000; guard += 1) {
      const at = wakeAt(this.state, { spec: this.spec });
      if (at === null || at > end) break;
      this.now = Math.max(this.now + 1, at);
      this.send({ type: 'tick' });
    }
    this.now = Math.max(this.now, end);
  }

  /** Everything works and time passes: returns whether the workload became ready and stayed in place. */
  settle(steps = 200): boolean {
    for (let step = 0; step < steps; step += 1) {
      this.finishOp();
      if (step % 10 === 9) this.#observeWanted = true;
      this.report();
      if (this.state.phase === 'ready' && this.pending === null && !this.#observeWanted) return true;
      this.advance(1_000);
    }
    return false;
  }
}
