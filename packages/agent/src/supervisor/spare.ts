/**
 * The machine of the prepared spare. Pure, and beside the supervisor of the workload, never in its way: it begins something only while the
 * workload is ready and left alone, counts its own failures by its own history, and what it does not finish is thrown away.
 *
 *   remove what must go ▸ inputs ▸ create ▸ start ▸ mounts and setup in order ▸ ready (offered), compared and probed from then on
 *
 * The workload's supervisor takes an offered spare by renaming it; the next word about it says that it is ours no more.
 */
import type { EventKind, Severity } from '@relight/shared/event';
import { isoTime } from '@relight/shared/api';
import { formatDurationMs } from '@relight/shared/units';
import type { WorkloadSpec } from '../config/spec.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import { placement } from './advance.ts';
import type { Failure, RunRef } from './op.ts';
import { decideRestart, noRestarts } from './restart-policy.ts';
import { formatRunId } from './run-id.ts';
import {
  isSpare,
  type SpareEffect,
  type SpareEvent,
  type SpareInputs,
  type SpareOp,
  type SpareState,
  type SpareValue,
} from './spare-state.ts';

/** How often a spare that waits is compared with what it would be made from now. */
export const compareMs = 60_000;

export interface SpareContext {
  readonly now: number;
  /** Uniform in [0, 1). */
  readonly random: number;
  readonly spec: WorkloadSpec;
  readonly ownerId: string;
}

export interface SpareTransition {
  readonly state: SpareState;
  readonly effects: readonly SpareEffect[];
}

export function spareTransition(state: SpareState, event: SpareEvent, context: SpareContext): SpareTransition {
  const work = new SpareWork(state, context);
  if (event.type === 'main') work.set({ main: event.main });
  else if (event.type === 'observed') onObserved(work, event.containers, event.afterOutage);
  else if (event.type === 'op-done') onOpDone(work, event);
  else if (event.type === 'mount-check') onMountCheck(work, event);
  compareWithMain(work);
  advance(work);
  return { state: work.state, effects: work.effects };
}

/** When the next `tick` is due even if nothing happens. */
export function spareWakeAt({ op, main, backOff, prepared, comparedAt, condemned }: SpareState): number | null {
  if (op !== null || main?.quiet !== true) return null;
  if (backOff !== null) return backOff.until;
  return prepared && condemned === null ? comparedAt + compareMs : null;
}

class SpareWork {
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

const nothing = {
  container: null,
  inputs: null,
  mounts: {},
  setup: [],
  prepared: false,
  condemned: null,
  fresh: null,
  mountFailures: {},
} as const;

function compareWithMain(work: SpareWork): void {
  const { container, condemned, main } = work.state;
  if (container === null || main === null) return;
  // It has taken over: whatever becomes of it now is the workload's business.
  if (main.containerId === container.id) {
    work.set(nothing);
    work.enter('waiting', 'the spare has taken over');
  } else if (condemned !== null) return;
  else if (main.refused?.containerId === container.id) discard(work, main.refused.reason);
  // Generations only grow: the workload has gone on without it.
  else if (container.generation <= main.generation) discard(work, 'a newer container has been made meanwhile');
}

/** Not a failure: it is made anew at once. */
function discard(work: SpareWork, reason: string): void {
  work.set({ condemned: reason, prepared: false });
  work.say('info', `the prepared spare is thrown away: ${reason}`, { spare: 'discarded' });
}

function onObserved(work: SpareWork, containers: readonly ContainerFacts[], afterOutage: boolean): void {
  const { state, context } = work;
  const named = containers.filter(
    (facts) =>
      isSpare(facts) && facts.labels['relight.agent'] === context.ownerId && facts.labels['relight.workload'] === context.spec.name,
  );
  // A create under way may have made one that nobody has told of yet.
  const creating = state.op?.op.kind === 'create';
  if (!creating) {
    const strays = named.filter(({ id }) => id !== state.container?.id).map(({ id }) => id);
    if (strays.join(' ') !== state.strays.join(' ')) work.set({ strays });
  }
  if (!state.seen) work.set({ seen: true });
  compare(work, containers, afterOutage);
}

function compare(work: SpareWork, containers: readonly ContainerFacts[], afterOutage: boolean): void {
  const { container, op, condemned } = work.state;
  // By its id: the workload may just be renaming it.
  if (container === null || op?.op.kind === 'start' || op?.op.kind === 'remove') return;
  const facts = containers.find(({ id }) => id === container.id);
  if (facts === undefined || facts.status === 'removing' || facts.status === 'dead') {
    work.set(nothing);
    if (condemned === null) failed(work, { code: 'container-removed', message: 'somebody removed it' });
    return;
  }
  if (container.startedAt === null || condemned !== null) return;
  if (facts.status === 'running' && facts.startedAt === container.startedAt) return;
  work.set({ condemned: 'it does not run as it did', prepared: false });
  if (!afterOutage) failed(work, { code: 'container-exited', message: `it is ${facts.status}, exit code ${facts.exitCode ?? 'unknown'}` });
}

function onOpDone(work: SpareWork, { opId, result }: Extract<SpareEvent, { type: 'op-done' }>): void {
  const current = work.state.op;
  if (current?.id !== opId) return;
  work.set({ op: null });
  if (result.ok) {
    succeeded(work, current.op, result.value);
    return;
  }
  const { failure } = result;
  const { prepared, container, condemned } = work.state;
  if (current.op.kind === 'inputs' && prepared) {
    // Not compared; what it was made from still holds as far as anybody knows.
    work.set({ comparedAt: work.context.now });
    return;
  }
  if (current.op.kind === 'remove' || current.op.kind === 'inputs') {
    wait(work, failure);
    return;
  }
  // It died meanwhile, and that was counted.
  if (condemned !== null) return;
  // Where it stopped nobody knows.
  if (container !== null) work.set({ condemned: failure.message, prepared: false });
  failed(work, failure);
}

function succeeded(work: SpareWork, op: SpareOp, value: SpareValue): void {
  const { container, mounts, setup } = work.state;
  if (value.kind === 'inputs') tookInputs(work, value.inputs);
  else if (value.kind === 'create' && op.kind === 'create') {
    work.set({
      ...nothing,
      container: { id: value.containerId, generation: op.generation, pid: 0, startedAt: null },
      inputs: work.state.fresh,
      nextRun: 1,
    });
  } else if (value.kind === 'start' && container !== null) {
    work.set({ container: { ...container, pid: value.pid, startedAt: value.startedAt } });
  } else if (value.kind === 'mount' && op.kind === 'mount') work.set({ mounts: { ...mounts, [op.mount]: { run: value.run } } });
  else if (value.kind === 'setup' && op.kind === 'setup') work.set({ setup: [...setup, op.run.name] });
  else if (value.kind === 'remove' && op.kind === 'remove') {
    work.set({ strays: work.state.strays.filter((id) => id !== op.containerId) });
    if (container?.id === op.containerId) work.set(nothing);
  }
}

function tookInputs(work: SpareWork, fresh: SpareInputs): void {
  const { container, inputs, condemned } = work.state;
  work.set({ fresh, comparedAt: work.context.now });
  if (container === null || inputs === null || condemned !== null) return;
  const changed = [
    fresh.image === inputs.image ? '' : 'the image',
    fresh.secrets === inputs.secrets ? '' : 'an env file',
    fresh.vars === inputs.vars ? '' : 'a variable',
  ].filter((what) => what !== '');
  if (changed.length > 0) discard(work, `${changed.join(' and ')} has changed`);
}

function onMountCheck(work: SpareWork, { mount, condition, message }: Extract<SpareEvent, { type: 'mount-check' }>): void {
  const { prepared, mountFailures, condemned } = work.state;
  const spec = work.context.spec.mounts.find(({ name }) => name === mount);
  if (!prepared || condemned !== null || spec === undefined) return;
  const failures = condition === 'ok' ? 0 : (mountFailures[mount] ?? 0) + 1;
  if (failures !== (mountFailures[mount] ?? 0)) work.set({ mountFailures: { ...mountFailures, [mount]: failures } });
  const certain = condition === 'disconnected' || condition === 'absent';
  if (failures === 0 || (!certain && failures < spec.check.failures)) return;
  const lost = `mount ${mount}: ${message}`;
  work.set({ condemned: lost, prepared: false });
  failed(work, { code: condition === 'hung' ? 'mount-hung' : 'mount-lost', message: lost });
}

/** Counted by the spare's own history, under the container's policy. */
function failed(work: SpareWork, failure: Pick<Failure, 'code' | 'message'>): void {
  const { spec, now, random } = work.context;
  const wasReady = work.state.phase === 'ready';
  const decision = decideRestart(spec.restart.container, work.state.history, now, wasReady, random);
  work.set({ history: decision.history });
  wait(work, failure, decision.delayMs);
}

function wait(
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

function advance(work: SpareWork): void {
  const { state, context } = work;
  const { main, op, seen } = state;
  if (op !== null || main === null || !seen) return;
  forgetOldFailures(work);
  if (!main.quiet) {
    if (!state.prepared && state.phase !== 'back-off') work.enter('waiting', main.reason);
    return;
  }
  if (state.backOff !== null && context.now < state.backOff.until) {
    work.enter('back-off', state.backOff.reason);
    return;
  }
  if (state.backOff !== null) work.set({ backOff: null });
  const next = nextOp(work);
  if (next === null) {
    ready(work);
    return;
  }
  if (next.kind !== 'inputs' || !state.prepared) work.enter('preparing', stageOf(next));
  work.run(next);
}

/** Null: all is in place. */
function nextOp(work: SpareWork): SpareOp | null {
  const { state, context } = work;
  const { container, condemned, strays, fresh, main } = state;
  const gone = condemned === null ? strays[0] : (container?.id ?? strays[0]);
  if (gone !== undefined) return { kind: 'remove', containerId: gone };
  if (container === null) {
    if (fresh === null) {
      work.set({ startedAt: context.now });
      return { kind: 'inputs' };
    }
    const generation = Math.max(state.generation, main?.highest ?? 0) + 1;
    // Before it begins: one that a crash leaves behind must not have the number of the next.
    work.set({ generation });
    return { kind: 'create', generation };
  }
  if (container.startedAt === null) return { kind: 'start', containerId: container.id };
  return nextInside(work) ?? (context.now >= state.comparedAt + compareMs ? { kind: 'inputs' } : null);
}

function nextInside(work: SpareWork): SpareOp | null {
  const { state } = work;
  const { spec } = work.context;
  for (const item of placement(spec)) {
    if (item.kind === 'mount' && state.mounts[item.mount] === undefined)
      return { kind: 'mount', mount: item.mount, run: work.newRun('mount', item.mount) };
    if (item.kind === 'step' && !state.setup.includes(item.name))
      return { kind: 'setup', index: spec.setup.indexOf(item), run: work.newRun('setup', item.name), verifyFirst: false };
  }
  return null;
}

function ready(work: SpareWork): void {
  const { state, context } = work;
  if (!state.prepared) {
    const durationMs = context.now - state.startedAt;
    work.set({ prepared: true, fresh: null, told: null, mountFailures: {} });
    work.say('info', `a spare is prepared, in ${formatDurationMs(durationMs)}`, {
      spare: 'ready',
      durationMs,
      containerId: state.container?.id,
    });
  }
  work.enter('ready', 'mounted and set up, its process not started');
}

function forgetOldFailures(work: SpareWork): void {
  const { phase, history, since } = work.state;
  const { spec, now } = work.context;
  if (phase === 'ready' && history !== noRestarts && now - since >= spec.restart.container.resetAfterMs) work.set({ history: noRestarts });
}

function stageOf(op: SpareOp): string {
  if (op.kind === 'mount') return `mount ${op.mount}`;
  if (op.kind === 'setup') return `setup ${op.run.name}`;
  return { inputs: 'variables and image', create: 'create the container', start: 'start the container', remove: 'remove the old one' }[
    op.kind
  ];
}
