/** Carries out the operations of one workload, one at a time, and says what came of each. Which one comes next is the supervisor's. */
import { RelightError, toRelightError } from '@relight/shared/errors';
import { namedSecrets } from './config/secret-names.ts';
import type { LoopOptions } from './loop-options.ts';
import { runOp } from './stages/run-op.ts';
import type { StageContext } from './stages/stage.ts';
import type { EmittedEvent } from './supervisor/event.ts';
import type { Op, OpResult } from './supervisor/op.ts';
import type { WorkloadState } from './supervisor/state.ts';

/** An operation that does not end after its cancellation is given up; what it may still do is found by observation. */
const cancelMsMax = 15_000;

export interface OperationsOptions {
  /** As they are now: a container may be adopted later. */
  readonly loop: () => LoopOptions;
  readonly state: () => WorkloadState;
  /** An attempt begins. */
  readonly onPrepare: () => void;
  readonly emit: (event: EmittedEvent) => void;
  readonly onDone: (opId: number, result: OpResult) => void;
}

export class WorkloadOperations {
  readonly #options: OperationsOptions;
  #current: { readonly id: number; readonly abort: AbortController } | null = null;
  #progress: string | null = null;
  #work: Promise<void> = Promise.resolve();
  #vars: Readonly<Record<string, string>> | null = null;
  #resolved: { readonly at: number; readonly tookMs: number } | null = null;

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  /** What the operation under way is doing. */
  get progress(): string | null {
    return this.#progress;
  }

  /** Of the last attempt; null: nobody has resolved them in this life of the agent. */
  get vars(): Readonly<Record<string, string>> | null {
    return this.#vars;
  }

  /** Resolved for checks: what an attempt has found out counts more. */
  learn(vars: Readonly<Record<string, string>>): void {
    this.#vars = { ...vars, ...this.#vars };
  }

  start(opId: number, op: Op): void {
    const abort = new AbortController();
    this.#current = { id: opId, abort };
    this.#progress = null;
    if (op.kind === 'prepare') this.#options.onPrepare();
    this.#work = this.#perform(op, abort.signal).then((result) => {
      if (this.#current?.id === opId) this.#current = null;
      this.#options.onDone(opId, result);
    });
  }

  /** The supervisor waits for none. */
  idle(): void {
    this.#progress = null;
  }

  cancel(opId: number): void {
    if (this.#current?.id === opId) this.#current.abort.abort(new RelightError('cancelled', 'overtaken by events'));
  }

  /** Resolves when nothing is under way any more; after `stop` that is a matter of seconds. */
  get ended(): Promise<void> {
    return this.#work;
  }

  stop(): void {
    this.#current?.abort.abort(new RelightError('cancelled', 'the agent stops'));
  }

  async #perform(op: Op, signal: AbortSignal): Promise<OpResult> {
    const { secrets, gate, logger } = this.#options.loop();
    try {
      if (op.kind === 'create') await secrets.load();
      if (op.kind === 'prepare') await gate.confirm();
      const work = runOp(op, this.#context(signal));
      return { ok: true, value: await Promise.race([work, this.#givenUp(signal)]) };
    } catch (thrown) {
      const error = signal.aborted ? toRelightError(signal.reason, 'cancelled') : toRelightError(thrown);
      if (error.code === 'internal') logger.error({ err: thrown, op }, 'an operation failed in an unforeseen way');
      const { code, message, recoverable, advice, data } = error;
      // A command's last lines are part of messages, and a command may print what it was given.
      return { ok: false, failure: secrets.data({ code, message, recoverable, advice, data }) };
    }
  }

  #givenUp(signal: AbortSignal): Promise<never> {
    const { clock } = this.#options.loop();
    return new Promise((_, reject) => {
      const giveUp = (): void => void clock.after(cancelMsMax, () => reject(signal.reason as Error));
      if (signal.aborted) giveUp();
      else signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  #context(signal: AbortSignal): StageContext {
    const loop = this.#options.loop();
    const { agent, spec, ownerId, engine, runs, mountProbes, clock, secrets, whyNotAdopted, accelerators, beforeRemoval, onChange } = loop;
    const { generation, container, waitingFor } = this.#options.state();
    return {
      engine,
      clock,
      spec,
      agent,
      ownerId,
      generation,
      containerId: container?.id ?? null,
      signal,
      vars: this.#vars ?? {},
      ...(this.#resolved !== null && waitingFor !== null ? { earlier: this.#resolved } : {}),
      setVars: (vars, tookMs) => {
        secrets.learn(namedSecrets(vars));
        this.#vars = vars;
        this.#resolved = { at: clock.monotonic(), tookMs };
      },
      runs,
      mountProbes,
      beforeRemoval,
      ...(whyNotAdopted === undefined ? {} : { whyNotAdopted }),
      ...(accelerators === undefined ? {} : { accelerators }),
      progress: (stage) => {
        this.#progress = secrets.text(stage);
        onChange();
      },
      emit: (event) => this.#options.emit({ ...event, generation: this.#options.state().generation }),
    };
  }
}
