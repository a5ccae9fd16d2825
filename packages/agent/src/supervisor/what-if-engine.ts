/** The engine of a simulation (what-if.ts): which containers there are, as an inspect would tell it. Every operation works on it. Pure. */
import type { WorkloadSpec } from '../config/spec.ts';
import { blankFacts } from '../engine/blank-facts.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import type { Op, OpValue } from './op.ts';
import type { WorkloadState } from './state.ts';

export interface WhatIfEngineOptions {
  readonly spec: WorkloadSpec;
  readonly ownerId: string;
  /** The container that is there when it begins. */
  readonly state: WorkloadState;
  /** A container of the record, for what nobody asks about. */
  readonly model: ContainerFacts | null;
  readonly now: () => number;
}

export class WhatIfEngine {
  containers: readonly ContainerFacts[];
  readonly #options: WhatIfEngineOptions;

  constructor(options: WhatIfEngineOptions) {
    this.#options = options;
    this.containers = this.#present(options.state);
  }

  /** What the success of an operation brings, with the engine's side of it. `recorded`: what the same one brought then. */
  succeed(op: Op, recorded: OpValue): OpValue {
    if (op.kind === 'create') {
      const id = `simulated-${op.generation}`;
      this.containers = [...this.containers, this.#facts(id, op.generation)];
      return { kind: 'create', containerId: id, warnings: [] };
    }
    if (op.kind === 'start') {
      this.#change(op.containerId, { status: 'running', pid: 1, startedAt: this.#options.now(), finishedAt: null, exitCode: null });
      return { kind: 'start', pid: 1, startedAt: this.#options.now() };
    }
    if (op.kind === 'retire')
      this.#change(op.containerId, { name: op.asName, status: 'exited', pid: 0, startedAt: this.#options.now(), exitCode: 0 });
    if (op.kind === 'take-spare') {
      const { containerId, generation, startedAt } = op.offer;
      this.containers = [...this.containers, { ...this.#facts(containerId, generation), status: 'running', pid: 1, startedAt }];
      return { kind: 'take-spare', pid: 1 };
    }
    if (op.kind === 'halt') this.#change(op.containerId, { status: 'exited', pid: 0, finishedAt: this.#options.now(), exitCode: 0 });
    if (op.kind === 'adopt') return recorded.kind === 'adopt' ? recorded : { kind: 'adopt', runs: [] };
    if (op.kind === 'look') return recorded.kind === 'look' ? recorded : { kind: 'look', lost: [] };
    if (op.kind === 'setup') return { kind: 'setup', skipped: false, failedOptional: null };
    if (op.kind === 'mount' || op.kind === 'process') return { kind: op.kind, run: { ...op.run, pid: 1, startTicks: 1 } };
    return { kind: op.kind };
  }

  remove(id: string): void {
    this.containers = this.containers.filter((facts) => facts.id !== id);
  }

  /** As `how` tells. */
  die(id: string, { status, exitCode, oomKilled, error }: ContainerFacts): void {
    this.#change(id, { status, exitCode, oomKilled, error, pid: 0, finishedAt: this.#options.now() });
  }

  #present({ container, generation }: WorkloadState): readonly ContainerFacts[] {
    if (container === null) return [];
    const facts = this.#facts(container.id, generation);
    const { running, frozen, pid, startedAt } = container;
    const status = running ? (frozen ? 'paused' : 'running') : startedAt === null ? 'created' : 'exited';
    return [{ ...facts, name: container.renamedTo ?? facts.name, status, pid, startedAt }];
  }

  #facts(id: string, generation: number): ContainerFacts {
    const labels = {
      'relight.agent': this.#options.ownerId,
      'relight.workload': this.#options.spec.name,
      'relight.generation': String(generation),
    };
    const { name, image } = this.#options.spec.container;
    const fresh = { status: 'created', pid: 0, createdAt: this.#options.now(), startedAt: null, finishedAt: null, exitCode: null } as const;
    return {
      // Where the record has not one look at a container of ours, nothing more is known.
      ...(this.#options.model ?? blankFacts),
      ...fresh,
      id,
      name,
      image,
      labels,
      oomKilled: false,
      error: '',
    };
  }

  #change(id: string, patch: Partial<ContainerFacts>): void {
    this.containers = this.containers.map((facts) => (facts.id === id ? { ...facts, ...patch } : facts));
  }
}
