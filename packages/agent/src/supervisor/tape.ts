/**
 * What a replay tells of the outside, apart from the decisions that met it: how long each operation took and how it ended, how
 * long each process and each container lived and what it died of, what each check said while it was asked. what-if.ts plays
 * it against another policy. Pure.
 *
 * Failures are kept by the life they ended ("the third process lived 4 s"), because when a life begins is the policy's choice. What nobody
 * here decides (engine, dependencies, gate, people) keeps its time.
 */
import type { EventKind } from '@relight/shared/event';
import type { ContainerFacts } from '../engine/engine.ts';
import type { SupervisorEvent } from './event.ts';
import type { Op, OpResult } from './op.ts';
import type { ReplayedStep } from './replay.ts';
import type { WorkloadState } from './state.ts';

export interface Ending {
  readonly ms: number;
  readonly result: OpResult;
}

export type Exit = Extract<SupervisorEvent, { type: 'run-exited' }>;
export type Look = Extract<SupervisorEvent, { type: 'check' | 'mount-check' }>;

export interface Timed<T> {
  /** From the beginning of the life that it belongs to, or of the record. */
  readonly ms: number;
  readonly what: T;
}

export interface Period {
  readonly said: readonly Timed<Look>[];
  /** When every readiness check had passed; null when that did not come. */
  readonly passedMs: number | null;
}

export interface Tape {
  /** By `opKey`, in order. */
  readonly ops: ReadonlyMap<string, readonly Ending[]>;
  /** One entry a process, from its start; null: it did not end by itself. */
  readonly processes: readonly (Timed<Exit> | null)[];
  /** One entry a container, from its start; null: it did not die by itself. `what` null: it was removed. */
  readonly containers: readonly (Timed<ContainerFacts | null> | null)[];
  /** One entry a time of verifying, and one a time of being ready: what the checks said, from its beginning. */
  readonly verifying: readonly Period[];
  readonly ready: readonly Period[];
  /** From the beginning of the record. */
  readonly outside: readonly Timed<SupervisorEvent>[];
  /** When `prepare` or `refresh` failed: from the failed one's beginning to the next that succeeded. */
  readonly unprepared: readonly { readonly from: number; readonly to: number; readonly result: OpResult }[];
}

export const opKey = (op: Op): string =>
  op.kind === 'mount' ? `mount ${op.mount}` : op.kind === 'setup' ? `setup ${op.run.name}` : op.kind;

const outsideTypes: ReadonlySet<SupervisorEvent['type']> = new Set([
  'engine-lost',
  'container-silent',
  'image-changed',
  'pause',
  'resume',
  'restart',
  'spec-changed',
  'gate',
  'drain',
  'drain-over',
  'accelerator',
  'oom',
  'fleet',
  'inputs-changed',
  'spare',
]);

export function tapeOf(steps: readonly ReplayedStep[]): Tape {
  const recorder = new TapeRecorder(steps[0]?.input.now ?? 0, steps[0]?.before);
  for (const step of steps) recorder.take(step);
  return recorder.tape();
}

class TapeRecorder {
  readonly #start: number;
  readonly #ops = new Map<string, Ending[]>();
  readonly #processes: (Timed<Exit> | null)[] = [];
  readonly #containers: (Timed<ContainerFacts | null> | null)[] = [];
  readonly #verifying: { said: Timed<Look>[]; passedMs: number | null }[] = [];
  readonly #ready: { said: Timed<Look>[]; passedMs: number | null }[] = [];
  readonly #outside: Timed<SupervisorEvent>[] = [];
  readonly #unprepared: { from: number; to: number; result: OpResult }[] = [];
  #processSince: number;
  #containerSince: number;

  constructor(start: number, first: WorkloadState | undefined) {
    this.#start = start;
    this.#processSince = start;
    this.#containerSince = start;
    // What is there already lives from the beginning of the record, as far as the tape can tell.
    if (first === undefined) return;
    if (first.process !== null) this.#processes.push(null);
    if (first.container?.running === true) this.#containers.push(null);
    if (first.verifyingSince !== null) this.#verifying.push({ said: [], passedMs: null });
    if (first.readyAt !== null) this.#ready.push({ said: [], passedMs: null });
  }

  take(step: ReplayedStep): void {
    const { input, before, after } = step;
    const { event, now } = input;
    if (event.type === 'op-done') this.#opDone(event, step);
    else if (event.type === 'run-exited') this.#runExited(event, step);
    else if (event.type === 'observed') this.#observed(event, step);
    else if (event.type === 'check' || event.type === 'mount-check') this.#looked(event, now, before);
    if (outsideTypes.has(event.type)) this.#outside.push({ ms: now - this.#start, what: event });
    if (before.verifyingSince === null && after.verifyingSince !== null) this.#verifying.push({ said: [], passedMs: null });
    if (before.readyAt === null && after.readyAt !== null) this.#becameReady(now, before.verifyingSince);
  }

  #opDone({ opId, result }: Extract<SupervisorEvent, { type: 'op-done' }>, { input, before }: ReplayedStep): void {
    const { op } = before;
    if (op?.id !== opId || op.cancelled) return;
    const key = opKey(op.op);
    const endings = this.#ops.get(key) ?? [];
    this.#ops.set(key, [...endings, { ms: Math.max(0, input.now - op.startedAt), result }]);
    if (op.op.kind === 'prepare' || op.op.kind === 'refresh') this.#prepared(op.startedAt - this.#start, result);
    if (!result.ok) return;
    if (op.op.kind === 'process') {
      this.#processes.push(null);
      this.#processSince = input.now;
    } else if (op.op.kind === 'start' || op.op.kind === 'take-spare') {
      this.#containers.push(null);
      this.#containerSince = input.now;
    }
  }

  #prepared(from: number, result: OpResult): void {
    const open = this.#unprepared.at(-1);
    if (open?.to === Number.POSITIVE_INFINITY) open.to = from;
    if (!result.ok) this.#unprepared.push({ from, to: Number.POSITIVE_INFINITY, result });
  }

  #becameReady(now: number, verifyingSince: number | null): void {
    const verifying = this.#verifying.at(-1);
    // Without a check it is ready in the same step.
    if (verifying !== undefined) verifying.passedMs = verifyingSince === null ? 0 : now - verifyingSince;
    this.#ready.push({ said: [], passedMs: null });
  }

  #runExited(event: Exit, step: ReplayedStep): void {
    // With its container, the container's end tells of both; one that we have stopped did not end by itself.
    if (!event.containerAlive || !emits(step, 'process.exited') || this.#processes.at(-1) !== null) return;
    this.#processes[this.#processes.length - 1] = { ms: step.input.now - this.#processSince, what: event };
  }

  #observed({ containers, afterOutage }: Extract<SupervisorEvent, { type: 'observed' }>, step: ReplayedStep): void {
    const { input, before } = step;
    const dead = emits(step, 'container.died') || emits(step, 'container.removed');
    const facts = dead ? (containers.find(({ id }) => id === before.container?.id) ?? null) : null;
    if (!before.engine.up) {
      const what: SupervisorEvent = { type: 'observed', containers: afterOutage && facts !== null ? [facts] : [], afterOutage };
      this.#outside.push({ ms: input.now - this.#start, what });
      if (afterOutage) return;
    }
    if (!dead || this.#containers.at(-1) !== null) return;
    this.#containers[this.#containers.length - 1] = { ms: input.now - this.#containerSince, what: facts };
  }

  #looked(event: Look, now: number, { verifyingSince, readyAt }: WorkloadState): void {
    const since = readyAt ?? verifyingSince;
    const period = readyAt === null ? this.#verifying.at(-1) : this.#ready.at(-1);
    if (since !== null && period !== undefined) period.said.push({ ms: Math.max(0, now - since), what: event });
  }

  tape(): Tape {
    return {
      ops: this.#ops,
      processes: this.#processes,
      containers: this.#containers,
      verifying: this.#verifying,
      ready: this.#ready,
      outside: this.#outside,
      unprepared: this.#unprepared,
    };
  }
}

const emits = ({ effects }: ReplayedStep, kind: EventKind): boolean =>
  effects.some((effect) => effect.kind === 'emit' && effect.event.kind === kind);
