/** The state of a spare under change during one transition, what is said on the way, and how it fails. */
import { isoTime } from '@relight/shared/api';
import type { EventKind, Severity } from '@relight/shared/event';
import { formatDurationMs } from '@relight/shared/units';
import type { WorkloadSpec } from '../config/spec.ts';
import type { Failure, RunRef } from './op.ts';
import { decideRestart } from './restart-policy.ts';
import { formatRunId } from './run-id.ts';
import type { SpareEffect, SpareOp, SpareState } from './spare-state.ts';

export interface SpareContext {
  readonly now: number;
  /** Uniform in [0, 1). */
  readonly random: number;
  readonly spec: WorkloadSpec;
  readonly ownerId: string;
}

export class SpareWork {
  state: SpareState;
  readonly effects: SpareEffect[] = [];
  readonly context: SpareContext;

  constructor(state: SpareState, context: SpareContext) {
    this.state = state;
    this.context = context;
  }

  set(patch: Partial<SpareState>): void {
    this.state = { ...this.state, ...patch };
  }

  enter(phase: SpareState['phase'], reason: string): void {
    if (this.state.phase !== phase) this.set({ phase, since: this.context.now });
    if (this.state.reason !== reason) this.set({ reason });
  }

  say(severity: Severity, message: string, data: Record<string, unknown>): void {
    const kind: EventKind = 'host.notice';
    this.effects.push({
      kind: 'emit',
      event: { kind, severity, message, data, generation: this.state.container?.generation ?? this.state.generation },
    });
  }

  run(op: SpareOp): void {
    const id = this.state.opCount + 1;
    this.set({ opCount: id, op: { id, op, startedAt: this.context.now } });
    this.effects.push({ kind: 'run', opId: id, op });
  }

  newRun(kind: RunRef['kind'], name: string): RunRef {
    const { nextRun: n, container } = this.state;
    this.set({ nextRun: n + 1 });
    const { ownerId: owner, spec } = this.context;
    return { runId: formatRunId({ owner, workload: spec.name, generation: container?.generation ?? 0, n, kind, name }), kind, name };
  }
}

export const nothing = {
  container: null,
  inputs: null,
  mounts: {},
  setup: [],
  prepared: false,
  condemned: null,
  fresh: null,
  mountFailures: {},
} as const;

/** Not a failure: it is made anew at once. */
export function discard(work: SpareWork, reason: string): void {
  work.set({ condemned: reason, prepared: false });
  work.say('info', `the prepared spare is thrown away: ${reason}`, { spare: 'discarded' });
}

/** Counted by the spare's own history, under the container's policy. */
export function failed(work: SpareWork, failure: Pick<Failure, 'code' | 'message'>): void {
  const { spec, now, random } = work.context;
  const wasReady = work.state.phase === 'ready';
  const decision = decideRestart(spec.restart.container, work.state.history, now, wasReady, random);
  work.set({ history: decision.history });
  wait(work, failure, decision.delayMs);
}

export function wait(
  work: SpareWork,
  { code, message }: Pick<Failure, 'code' | 'message'>,
  delayMs = work.context.spec.restart.container.maxMs,
): void {
  const until = work.context.now + delayMs;
  work.set({ backOff: delayMs === 0 ? null : { until, reason: message }, fresh: null });
  work.enter('back-off', message);
  const told = `${code} ${message}`;
  if (work.state.told === told) return;
  work.set({ told });
  const when = delayMs === 0 ? 'at once' : `in ${formatDurationMs(delayMs)}`;
  work.say('warning', `the prepared spare: ${message}; again ${when}`, { spare: 'failed', code, delayMs, nextAttemptAt: isoTime(until) });
}
