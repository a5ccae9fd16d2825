/**
 * The prepared spare of a simulated host: the machine of the spare beside the supervisor, on the same engine. Every fault that can
 * befall it is a method; what befalls the workload itself is the world's.
 */
import type { ContainerFacts } from '@relight/agent/engine/engine';
import type { EmittedEvent } from '@relight/agent/supervisor/event';
import type { Failure } from '@relight/agent/supervisor/op';
import { spareTransition, spareWakeAt } from '@relight/agent/supervisor/spare';
import {
  durableSpare,
  initialSpare,
  offerOf,
  restoreSpare,
  spareName,
  type SpareEvent,
  type SpareOp,
  type SpareState,
  type SpareValue,
} from '@relight/agent/supervisor/spare-state';
import { wordForSpare } from '@relight/agent/supervisor/take-spare';
import { failureOf } from './simulated-host.ts';
import type { SimulatedWorld } from './simulated-world.ts';

export class SimulatedSpare {
  readonly world: SimulatedWorld;
  readonly events: EmittedEvent[] = [];
  readonly ops: SpareOp[] = [];
  state: SpareState;
  pending: { readonly opId: number; readonly op: SpareOp } | null = null;
  /** Changes with every change of an env file, a variable or the image. */
  inputs = 1;
  #queue: SpareEvent[] = [];
  #busy = false;
  #offered = '';
  #main = '';
  #ids = 0;
  #looks: { readonly containers: readonly ContainerFacts[]; readonly afterOutage: boolean }[] = [];

  constructor(world: SimulatedWorld) {
    this.world = world;
    this.state = initialSpare(world.now);
    world.onObserved = (containers, afterOutage) => void this.#looks.push({ containers, afterOutage });
  }

  /** The loops tell each other what the other needs to know. */
  sync(): void {
    for (let guard = 0; guard < 100; guard += 1) {
      const main = wordForSpare(this.world.state);
      const word = JSON.stringify(main);
      const offer = offerOf(this.state);
      const told = JSON.stringify([this.state.generation, offer]);
      const look = this.#looks.shift();
      if (word !== this.#main) {
        this.#main = word;
        this.feed({ type: 'main', main });
      } else if (look !== undefined) this.feed({ type: 'observed', ...look });
      else if (told !== this.#offered) {
        this.#offered = told;
        this.world.send({ type: 'spare', generation: this.state.generation, offer });
      } else return;
    }
    throw new Error('the loops do not come to rest');
  }

  feed(event: SpareEvent): void {
    this.#queue.push(event);
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const context = { now: this.world.now, random: 0.5, spec: this.world.spec, ownerId: 'owner' };
      const { state, effects } = spareTransition(this.state, next, context);
      this.state = state;
      for (const effect of effects) {
        if (effect.kind === 'emit') this.events.push(effect.event);
        else if (this.pending !== null)
          throw new Error(`two operations of the spare at once: ${this.pending.op.kind} and ${effect.op.kind}`);
        else {
          if (this.world.state.readyAt === null) throw new Error(`the spare begins ${effect.op.kind} while the workload is not ready`);
          this.pending = { opId: effect.opId, op: effect.op };
          this.ops.push(effect.op);
        }
      }
    }
    this.#busy = false;
  }

  finishOp(failWith?: Failure): void {
    const { pending } = this;
    if (pending === null) return;
    this.pending = null;
    const outcome = failWith ?? (this.world.engineUp ? this.#perform(pending.op) : failureOf('engine-unreachable'));
    const result = 'code' in outcome ? ({ ok: false, failure: outcome } as const) : ({ ok: true, value: outcome } as const);
    this.feed({ type: 'op-done', opId: pending.opId, result });
  }

  #perform(op: SpareOp): SpareValue | Failure {
    const { world } = this;
    const container = world.containers.find(({ id }) => id === this.state.container?.id);
    switch (op.kind) {
      case 'inputs':
        return { kind: 'inputs', inputs: { image: 'sha256:1', secrets: String(this.inputs), vars: '' } };
      case 'create': {
        const name = spareName(world.spec.container.name);
        world.containers = world.containers.filter((other) => other.name !== name);
        this.#ids += 1;
        const id = `spare${this.#ids}`;
        const bare = { running: false, startedAt: null, exitCode: null, runs: [], mounts: new Set<string>() };
        world.containers.push({ ...bare, id, generation: op.generation, createdAt: world.now, name, spare: true });
        return { kind: 'create', containerId: id };
      }
      case 'start':
        if (container === undefined) return failureOf('engine-error');
        world.now += 1;
        container.running = true;
        container.startedAt = world.now;
        return { kind: 'start', pid: 50 + container.generation, startedAt: world.now };
      case 'mount': {
        if (container?.running !== true) return failureOf('engine-error');
        const run = { ...op.run, pid: 900 + this.#ids, startTicks: 900 };
        container.mounts.add(op.mount);
        container.runs.push(run);
        return { kind: 'mount', run };
      }
      case 'setup':
        return container?.running === true ? { kind: 'setup' } : failureOf('engine-error');
      case 'remove':
        if (op.containerId === world.state.container?.id) throw new Error('removes the container of the workload');
        world.containers = world.containers.filter(({ id }) => id !== op.containerId);
        return { kind: 'remove' };
    }
  }

  /** The one in waiting. */
  get #present(): SimulatedWorld['containers'][number] | undefined {
    return this.world.containers.find(({ name }) => name === spareName(this.world.spec.container.name));
  }

  kill(): void {
    const spare = this.#present;
    if (spare?.running !== true) return;
    spare.running = false;
    spare.exitCode = 137;
    spare.runs = [];
    spare.mounts.clear();
  }

  remove(): void {
    this.world.containers = this.world.containers.filter((container) => container !== this.#present);
  }

  loseMount(): void {
    this.#present?.mounts.clear();
  }

  /** The probes of its mounts, once. */
  report(): void {
    const offer = offerOf(this.state);
    if (offer === null) return;
    for (const { name: mount } of this.world.spec.mounts) {
      const ok = this.#present?.mounts.has(mount) === true;
      this.feed({ type: 'mount-check', mount, condition: ok ? 'ok' : 'disconnected', message: ok ? 'ok' : 'not connected' });
    }
  }

  tick(): void {
    const at = spareWakeAt(this.state);
    if (at !== null && at <= this.world.now) this.feed({ type: 'tick' });
  }

  /** kill -9 of the agent, both machines of it. */
  crashAgent(opFinished: boolean, stateLost: boolean): void {
    const { pending } = this;
    this.pending = null;
    if (pending !== null && opFinished && this.world.engineUp) this.#perform(pending.op);
    this.state = stateLost
      ? initialSpare(this.world.now)
      : restoreSpare(JSON.parse(JSON.stringify(durableSpare(this.state))), this.world.now, null);
    this.#offered = '';
    this.#main = '';
    this.world.crashAgent(opFinished, stateLost);
  }

  /** Everything works and time passes: whether workload and spare became ready. */
  settle(steps = 400): boolean {
    for (let step = 0; step < steps; step += 1) {
      this.world.finishOp();
      this.sync();
      this.finishOp();
      this.sync();
      if (step % 10 === 9) this.world.observe();
      this.world.report();
      this.sync();
      this.report();
      this.sync();
      const { world, state } = this;
      if (
        world.state.phase === 'ready' &&
        world.state.readyAt !== null &&
        world.pending === null &&
        state.phase === 'ready' &&
        this.pending === null
      )
        return true;
      world.advance(1_000);
      this.tick();
      this.sync();
    }
    return false;
  }
}
