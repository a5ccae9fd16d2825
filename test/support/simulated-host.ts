/**
 * A host in memory, for tests of the supervisor: one engine, the containers of one workload, and what is alive in them. It holds the
 * truth and carries operations out on it. It decides nothing and nothing is random.
 */
import { blankFacts } from '@relight/agent/engine/blank-facts';
import type { ContainerFacts } from '@relight/agent/engine/engine';
import type { WorkloadSpec } from '@relight/agent/config/spec';
import type { Failure, LostMount, Op, OpValue, RunHandle, RunRef } from '@relight/agent/supervisor/op';
import { spareLabel, type SpareOffer } from '@relight/agent/supervisor/spare-state';

export interface SimulatedContainer {
  readonly id: string;
  readonly generation: number;
  readonly createdAt: number;
  name: string;
  running: boolean;
  startedAt: number | null;
  exitCode: number | null;
  /** It was made as a spare. */
  readonly spare?: true;
  runs: RunHandle[];
  mounts: Set<string>;
}

export class SimulatedHost {
  now = 1_000_000;
  /** A test that gives another one tells of it as the loop does: `spec-changed`. */
  spec: WorkloadSpec;
  containers: SimulatedContainer[] = [];
  engineUp = true;
  dependencyUp = true;
  prepareBrings: OpValue = { kind: 'prepare' };
  /** Every start is followed by an exit with code 3. */
  diesAtStart = false;
  /** A container that is not ours has our name. */
  protected stranger = false;
  protected strangerId = 'stranger';
  #ids = 0;
  #pids = 100;

  constructor(spec: WorkloadSpec) {
    this.spec = spec;
  }

  get current(): SimulatedContainer | undefined {
    return this.containers.find((container) => container.name === this.spec.container.name);
  }

  processes(): readonly RunHandle[] {
    return this.containers.flatMap((container) => (container.running ? container.runs.filter((run) => run.kind === 'process') : []));
  }

  /** Ours, as the engine tells of them. */
  protected facts(): ContainerFacts[] {
    return this.containers.map((container) => this.#factsOf(container));
  }

  protected strangerFacts(): ContainerFacts {
    const container = { id: this.strangerId, generation: 0, createdAt: 0, name: this.spec.container.name, running: true, startedAt: 0 };
    return { ...this.#factsOf({ ...container, exitCode: null, runs: [], mounts: new Set() }), labels: {} };
  }

  #factsOf(container: SimulatedContainer): ContainerFacts {
    const { id, name, generation, createdAt, running, startedAt, exitCode } = container;
    return {
      ...blankFacts,
      id,
      name,
      image: this.spec.container.image,
      imageId: 'sha256:1',
      labels: {
        'relight.agent': 'owner',
        'relight.workload': this.spec.name,
        'relight.generation': String(generation),
        ...(container.spare === true ? { [spareLabel]: 'true' } : {}),
      },
      status: running ? 'running' : startedAt === null ? 'created' : 'exited',
      pid: running ? 50 + generation : 0,
      createdAt,
      startedAt,
      finishedAt: running || startedAt === null ? null : this.now,
      exitCode,
    };
  }

  /** The watcher of a run tells of its end before the operation that caused it comes to its own. */
  protected onStopped(_run: RunHandle): void {}

  /** Carries it out. `containerId`: the container that is supervised. */
  perform(op: Op, containerId: string | null): OpValue | Failure {
    if (!this.engineUp && op.kind !== 'prepare' && op.kind !== 'refresh') return failureOf('engine-unreachable');
    const inside = this.containers.find((container) => container.id === containerId);
    switch (op.kind) {
      case 'prepare':
        return this.dependencyUp ? this.prepareBrings : failureOf('dependency-down');
      case 'refresh':
        return this.dependencyUp ? { kind: 'refresh' } : failureOf('dependency-down');
      case 'pull':
        return { kind: 'pull' };
      case 'adopt':
        return inside?.running === true ? { kind: 'adopt', runs: inside.runs } : failureOf('engine-error');
      case 'look':
        return { kind: 'look', lost: this.#lostOf(op.mounts, inside) };
      case 'stop-runs':
        if (inside !== undefined) this.#stopRuns(inside, op.runs);
        return { kind: 'stop-runs' };
      case 'retire':
        for (const container of this.containers) if (container.id === op.containerId) this.#retire(container, op.asName);
        return { kind: 'retire' };
      case 'rename':
        if (this.current !== undefined || this.stranger) return failureOf('name-conflict', false);
        for (const container of this.containers) if (container.id === op.containerId) container.name = this.spec.container.name;
        return { kind: 'rename' };
      case 'create':
        return this.#create(op.generation);
      case 'take-spare':
        return this.#takeSpare(op.offer);
      case 'start': {
        const container = this.containers.find((candidate) => candidate.id === op.containerId);
        if (container === undefined) return failureOf('engine-error');
        this.now += 1;
        container.startedAt = this.now;
        container.running = !this.diesAtStart;
        container.exitCode = this.diesAtStart ? 3 : null;
        if (this.diesAtStart) return failureOf('container-exited');
        return { kind: 'start', pid: 50 + container.generation, startedAt: this.now };
      }
      case 'halt': {
        const container = this.containers.find((candidate) => candidate.id === op.containerId);
        if (container === undefined) return failureOf('engine-error');
        fall(container, 137);
        return { kind: 'halt' };
      }
      case 'mount':
      case 'setup':
      case 'process':
        return inside?.running === true ? this.#inside(op, inside) : failureOf('engine-error');
    }
  }

  #lostOf(mounts: readonly string[], container: SimulatedContainer | undefined): LostMount[] {
    if (container?.running !== true) return [];
    const lost = mounts.filter((mount) => !container.mounts.has(mount));
    return lost.map((mount) => ({ mount, condition: 'disconnected', message: 'not connected' }));
  }

  #stopRuns(container: SimulatedContainer, runs: readonly RunRef[]): void {
    const stopped = container.runs.filter((run) => runs.some((ref) => ref.runId === run.runId));
    container.runs = container.runs.filter((run) => !stopped.includes(run));
    for (const run of stopped) this.onStopped(run);
  }

  #retire(container: SimulatedContainer, name: string): void {
    container.running = false;
    container.startedAt ??= this.now;
    container.runs = [];
    container.mounts.clear();
    container.name = name;
  }

  #takeSpare(offer: SpareOffer): OpValue | Failure {
    const spare = this.containers.find((container) => container.id === offer.containerId);
    if (spare?.running !== true || spare.startedAt !== offer.startedAt) return failureOf('spare-unusable');
    if (this.stranger || (this.current !== undefined && this.current !== spare)) return failureOf('name-conflict', false);
    spare.name = this.spec.container.name;
    return { kind: 'take-spare', pid: 50 + spare.generation };
  }

  #create(generation: number): OpValue | Failure {
    const { current } = this;
    if (this.stranger) return { ...failureOf('name-conflict', false), data: { holderId: this.strangerId } };
    if (current !== undefined) {
      return current.generation === generation
        ? { kind: 'create', containerId: current.id, warnings: [] }
        : failureOf('name-conflict', false);
    }
    this.#ids += 1;
    this.containers.push({
      id: `c${this.#ids}`,
      generation,
      createdAt: this.now,
      name: this.spec.container.name,
      running: false,
      startedAt: null,
      exitCode: null,
      runs: [],
      mounts: new Set(),
    });
    return { kind: 'create', containerId: `c${this.#ids}`, warnings: [] };
  }

  #inside(op: Extract<Op, { kind: 'mount' | 'setup' | 'process' }>, container: SimulatedContainer): OpValue {
    if (op.kind === 'setup') return { kind: 'setup', skipped: false, failedOptional: null };
    if (op.kind === 'process') {
      const left = container.runs.filter((run) => run.kind === 'process' && !op.leftovers.some((ref) => ref.runId === run.runId));
      if (left.length > 0) throw new Error(`a second process beside ${left.map((run) => run.runId).join(', ')}`);
      container.runs = container.runs.filter((run) => run.kind !== 'process');
    } else {
      if (container.mounts.has(op.mount)) return { kind: 'mount', run: null };
      container.mounts.add(op.mount);
    }
    const run = this.#handle(op.run);
    container.runs.push(run);
    return op.kind === 'process' ? { kind: 'process', run } : { kind: 'mount', run };
  }

  #handle(run: RunRef): RunHandle {
    this.#pids += 1;
    return { ...run, pid: this.#pids, startTicks: this.#pids };
  }
}

/** The container ends, with everything in it. */
export function fall(container: SimulatedContainer, exitCode: number): void {
  container.running = false;
  container.exitCode = exitCode;
  container.runs = [];
  container.mounts.clear();
}

export function failureOf(code: Failure['code'], recoverable = true): Failure {
  return { code, message: code, recoverable, advice: 'advice', data: {} };
}
