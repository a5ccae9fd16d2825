/** The state under change during one transition, and the effects gathered on the way. Lives no longer than the transition. */
import type { EventKind, Severity } from '@relight/shared/event';
import type { Phase } from '@relight/shared/phase';
import type { WorkloadSpec } from '../config/spec.ts';
import { specFor } from './adopted.ts';
import type { Context, Effect } from './event.ts';
import type { Op, RunRef } from './op.ts';
import { formatRunId } from './run-id.ts';
import type { WorkloadState } from './state.ts';

export class Work {
  state: WorkloadState;
  readonly effects: Effect[] = [];
  readonly context: Context;

  constructor(state: WorkloadState, context: Context) {
    this.state = state;
    this.context = context;
  }

  get now(): number {
    return this.context.now;
  }

  get spec(): WorkloadSpec {
    return specFor(this.context.spec, this.state);
  }

  /** The state stays the same object when nothing of it is another: whoever is told of changes need not compare. */
  set(patch: Partial<WorkloadState>): void {
    const { state } = this;
    if (Object.entries(patch).some(([field, value]) => state[field as keyof WorkloadState] !== value)) this.state = { ...state, ...patch };
  }

  effect(effect: Effect): void {
    this.effects.push(effect);
  }

  emit(kind: EventKind, severity: Severity, message: string, data: Record<string, unknown> = {}): void {
    this.effect({ kind: 'emit', event: { kind, severity, message, data, generation: this.state.generation } });
  }

  /** A change of phase is an event; a change of the reason alone is not. */
  enter(phase: Phase, reason: string, stage: string | null = null): void {
    const { state } = this;
    if (state.phase !== phase) {
      this.emit('workload.phase-changed', 'info', `${phase}: ${reason}`, { from: state.phase, to: phase, stage });
      this.set({ phase, phaseSince: this.now });
    }
    this.set({ reason });
  }

  /** Allots the next run; what is recorded here before it begins can be found again after a crash. */
  newRun(kind: RunRef['kind'], name: string): RunRef {
    const n = this.state.nextRun;
    this.set({ nextRun: n + 1 });
    const runId = formatRunId({ owner: this.context.ownerId, workload: this.spec.name, generation: this.state.generation, n, kind, name });
    return { runId, kind, name };
  }

  run(op: Op): void {
    const id = this.state.opCount + 1;
    this.set({ opCount: id, op: { id, op, startedAt: this.now, cancelled: false } });
    this.effect({ kind: 'run', opId: id, op });
  }

  cancelOp(): void {
    const { op } = this.state;
    if (op === null || op.cancelled) return;
    this.set({ op: { ...op, cancelled: true } });
    this.effect({ kind: 'cancel', opId: op.id });
  }
}
