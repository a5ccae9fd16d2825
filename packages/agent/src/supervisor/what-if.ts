/**
 * The same failures under another policy: the supervisor itself, against a tape of what the outside did (tape.ts). Pure.
 *
 * It is an estimate, and says what it assumes. A process that is started lives as long as the recorded one of the same number, an operation
 * takes what the same one took then, and behind the end of the tape everything works.
 */
import type { WorkloadSpec } from '../config/spec.ts';
import { wantedProbes } from './desired-probes.ts';
import { type Decision, decisionsOf } from './decisions.ts';
import type { Effect, SupervisorEvent } from './event.ts';
import type { Op, OpResult, RunRef } from './op.ts';
import type { ReplayedStep } from './replay.ts';
import type { WorkloadState } from './state.ts';
import { type Look, opKey, type Tape, tapeOf, type Timed } from './tape.ts';
import { transition, wakeAt } from './transition.ts';
import { WhatIfEngine } from './what-if-engine.ts';

export interface WhatIf {
  readonly decisions: readonly Decision[];
  /** First time of being ready behind the last failure; null: not within `horizonMs`. */
  readonly readyAfterMs: number | null;
  readonly phase: string;
  readonly reason: string;
}

/** A policy that never gets there is told so, not waited for. */
export const horizonMs = 24 * 3_600_000;
const stepsMax = 20_000;

/** @param steps not empty, without a gap */
export function whatIf(steps: readonly ReplayedStep[], spec: WorkloadSpec): WhatIf {
  return new Simulation(steps, spec).run();
}

interface Due {
  readonly at: number;
  readonly order: number;
  readonly act: () => void;
}

class Simulation {
  readonly #tape: Tape;
  readonly #spec: WorkloadSpec;
  readonly #ownerId: string;
  readonly #start: number;
  readonly #events: Decision[] = [];
  readonly #used = new Map<string, number>();
  #state: WorkloadState;
  #now: number;
  #due: Due[] = [];
  #order = 0;
  readonly #engine: WhatIfEngine;
  #processes = 0;
  #lives = 0;
  #verifying = 0;
  #ready = 0;

  constructor(steps: readonly ReplayedStep[], spec: WorkloadSpec) {
    const [first] = steps;
    if (first === undefined) throw new RangeError('a simulation needs a record');
    this.#tape = tapeOf(steps);
    this.#spec = spec;
    this.#ownerId = first.snapshot.ownerId;
    this.#start = first.input.now;
    this.#now = this.#start;
    this.#state = first.before;
    const seen = steps.flatMap(({ input }) => (input.event.type === 'observed' ? [input.event.containers] : []));
    const model = seen.flat().find(({ labels }) => labels['relight.workload'] === spec.name) ?? null;
    this.#engine = new WhatIfEngine({ spec, ownerId: this.#ownerId, state: this.#state, model, now: () => this.#now });
    for (const { ms, what } of this.#tape.outside) this.#after(ms, () => this.#outside(what));
    // The operation that was under way ends as it ended.
    const { op } = this.#state;
    if (op !== null) this.#begin(op.id, op.op);
    if (this.#state.process !== null) this.#processLives(this.#state.process);
    if (this.#state.container?.running === true) this.#containerLives(this.#state.container.id);
    if (this.#state.verifyingSince !== null) this.#playVerifying();
    if (this.#state.readyAt !== null) this.#playReady();
  }

  run(): WhatIf {
    let lastFailure = 0;
    let readyAfterMs: number | null = this.#state.readyAt === null ? null : 0;
    this.#send({ type: 'tick' });
    for (let step = 0; step < stepsMax; step += 1) {
      const tick = wakeAt(this.#state, { spec: this.#spec });
      const due = this.#nextDue();
      const idle = due === undefined && this.#state.op === null && (this.#state.readyAt !== null || tick === null);
      if (idle || (due?.at ?? tick ?? 0) > this.#start + horizonMs) break;
      if (due !== undefined && (tick === null || due.at <= tick)) {
        this.#due = this.#due.filter((other) => other !== due);
        this.#now = Math.max(this.#now, due.at);
        due.act();
      } else {
        this.#now = Math.max(this.#now + 1, tick ?? 0);
        this.#send({ type: 'tick' });
      }
      if (this.#state.readyAt === null) {
        lastFailure = this.#now;
        readyAfterMs = null;
      } else readyAfterMs ??= this.#now - this.#start;
    }
    return {
      decisions: decisionsOf(this.#events),
      readyAfterMs: this.#state.readyAt === null || lastFailure > this.#now ? null : readyAfterMs,
      phase: this.#state.phase,
      reason: this.#state.reason,
    };
  }

  #nextDue(): Due | undefined {
    return this.#due.toSorted((a, b) => a.at - b.at || a.order - b.order)[0];
  }

  #after(ms: number, act: () => void): void {
    this.#at(this.#now + ms, act);
  }

  #at(at: number, act: () => void): void {
    this.#order += 1;
    this.#due.push({ at: Math.max(this.#now, at), order: this.#order, act });
  }

  #send(event: SupervisorEvent): void {
    const before = this.#state;
    const context = { now: this.#now, random: 0.5, spec: this.#spec, ownerId: this.#ownerId };
    const { state, effects } = transition(before, event, context);
    this.#state = state;
    for (const effect of effects) this.#carryOut(effect);
    if (before.verifyingSince === null && state.verifyingSince !== null) this.#playVerifying();
    if (before.readyAt === null && state.readyAt !== null) this.#playReady();
  }

  #carryOut(effect: Effect): void {
    if (effect.kind === 'run') this.#begin(effect.opId, effect.op);
    else if (effect.kind === 'emit') this.#events.push({ ms: this.#now - this.#start, event: effect.event });
    else if (effect.kind === 'observe') this.#after(1, () => this.#observe(false));
    else if (effect.kind === 'cancel') this.#after(0, () => this.#opDone(effect.opId, cancelled));
  }

  #outside(event: SupervisorEvent): void {
    if (event.type !== 'observed') {
      this.#send(event);
      return;
    }
    const [fallen] = event.containers;
    if (fallen !== undefined && this.#state.container !== null) this.#engine.die(this.#state.container.id, fallen);
    this.#observe(event.afterOutage);
  }

  #observe(afterOutage: boolean): void {
    this.#send({ type: 'observed', containers: this.#engine.containers, afterOutage });
  }

  #begin(opId: number, op: Op): void {
    const { ms, result } = this.#ending(op);
    this.#after(ms, () => this.#opDone(opId, result.ok ? { ok: true, value: this.#engine.succeed(op, result.value) } : result));
  }

  #opDone(opId: number, result: OpResult): void {
    if (this.#state.op?.id !== opId) return;
    const { op } = this.#state.op;
    this.#send({ type: 'op-done', opId, result });
    if (!result.ok) return;
    if (op.kind === 'process' && this.#state.process !== null) this.#processLives(this.#state.process);
    if (op.kind === 'start') this.#containerLives(op.containerId);
    if (op.kind === 'take-spare') this.#containerLives(op.offer.containerId);
  }

  /** As the same operation ended then; behind the last one, it works and takes what it took on average. */
  #ending(op: Op): { readonly ms: number; readonly result: OpResult } {
    const key = opKey(op);
    const endings = this.#tape.ops.get(key) ?? [];
    const works: OpResult = { ok: true, value: { kind: 'pull' } };
    const typical = { ms: mean(endings.filter(({ result }) => result.ok).map(({ ms }) => ms)), result: works };
    if (op.kind === 'prepare' || op.kind === 'refresh') {
      const ms = this.#now - this.#start;
      const down = this.#tape.unprepared.find(({ from, to }) => ms >= from && ms < to && to !== Number.POSITIVE_INFINITY);
      return down === undefined ? typical : { ms: typical.ms, result: down.result };
    }
    const used = this.#used.get(key) ?? 0;
    this.#used.set(key, used + 1);
    return endings[used] ?? typical;
  }

  #processLives({ runId }: RunRef): void {
    const life = this.#tape.processes[this.#processes];
    this.#processes += 1;
    if (life === null || life === undefined) return;
    this.#after(life.ms, () => {
      if (this.#state.process?.runId === runId) this.#send({ ...life.what, runId });
    });
  }

  #containerLives(id: string): void {
    const life = this.#tape.containers[this.#lives];
    this.#lives += 1;
    if (life === null || life === undefined) return;
    this.#after(life.ms, () => {
      if (this.#state.container?.id !== id || !this.#state.container.running) return;
      if (life.what === null) this.#engine.remove(id);
      else this.#engine.die(id, life.what);
      this.#observe(false);
    });
  }

  /** What the checks said in the verifying time of the same number; behind the tape they pass as they did the last time. */
  #playVerifying(): void {
    const period = this.#tape.verifying[this.#verifying] ?? this.#tape.verifying.findLast(({ passedMs }) => passedMs !== null);
    this.#verifying += 1;
    const since = this.#state.verifyingSince ?? this.#now;
    for (const { ms, what } of period?.said ?? []) this.#at(since + ms, () => this.#say(what, 'verifying', since));
    const passedMs = period === undefined ? 0 : period.passedMs;
    if (passedMs !== null) this.#at(since + passedMs, () => this.#pass(since));
  }

  /** Whatever is still asked has passed by then; what the new configuration asks beyond the old is taken to pass with the rest. */
  #pass(since: number): void {
    for (const probe of wantedProbes(this.#state, this.#spec)) {
      if (probe.kind === 'ready')
        this.#say({ type: 'check', list: 'ready', name: probe.spec.name, ok: true, message: 'assumed to pass' }, 'verifying', since);
    }
  }

  #playReady(): void {
    const said = this.#tape.ready[this.#ready]?.said ?? [];
    this.#ready += 1;
    const since = this.#state.readyAt ?? this.#now;
    for (const { ms, what } of said) this.#at(since + ms, () => this.#say(what, 'ready', since));
    const last = new Map(said.map((look) => [lookedAt(look), look]));
    for (const look of last.values()) if (!passes(look)) this.#goOn(look, since);
  }

  /** A failing check was cut short by what was decided then; under another threshold it goes on failing. */
  #goOn({ ms, what }: Timed<Look>, since: number): void {
    const { intervalMs } = this.#intervalOf(what);
    const again = (at: number): void =>
      this.#at(at, () => {
        if (this.#say(what, 'ready', since)) again(at + intervalMs);
      });
    again(since + ms + intervalMs);
  }

  #intervalOf(what: Look): { readonly intervalMs: number } {
    if (what.type === 'check') return this.#spec.live.find(({ name }) => name === what.name) ?? { intervalMs: 10_000 };
    return this.#spec.mounts.find(({ name }) => name === what.mount)?.check ?? { intervalMs: 10_000 };
  }

  /** Nothing, once the time that it belongs to is over. */
  #say(event: Look, list: 'verifying' | 'ready', since: number): boolean {
    const { verifyingSince, readyAt } = this.#state;
    if ((list === 'verifying' ? verifyingSince : readyAt) !== since) return false;
    this.#send(event);
    return true;
  }
}

const lookedAt = ({ what }: Timed<Look>): string => (what.type === 'check' ? `check ${what.name}` : `mount ${what.mount}`);
const passes = ({ what }: Timed<Look>): boolean => (what.type === 'check' ? what.ok : what.condition === 'ok');

const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : Math.round(values.reduce((sum, value) => sum + value, 0) / values.length);

const cancelled: OpResult = {
  ok: false,
  failure: { code: 'cancelled', message: 'overtaken by events', recoverable: true, advice: '', data: {} },
};
