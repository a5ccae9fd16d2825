/**
 * The way to ready. From what is in place follows the one next operation; nothing is remembered of "where we were", so every
 * loss on the way is mended by the same path.
 *
 *   stop ▸ prepare ▸ retire ▸ pull ▸ create ▸ start ▸ mounts and setup in order ▸ process ▸ verify ▸ ready
 *
 * Where the way was long, what `prepare` has found out is asked again before what uses it (freshness.ts).
 * A prepared spare (spare.ts) stands for everything from pull to setup.
 */
import type { Phase } from '@relight/shared/phase';
import { formatDurationMs } from '@relight/shared/units';
import type { SetupItem, WorkloadSpec } from '../config/spec.ts';
import { dependenciesBack, suspectDependency } from './dependency.ts';
import { beginAttempt, fail, failureWith } from './failure.ts';
import type { Op } from './op.ts';
import { mustRefresh } from './freshness.ts';
import { blocked } from './host-word.ts';
import { retiredName } from './retired-name.ts';
import type { WorkloadState } from './state.ts';
import { nextGeneration, spareToTake } from './take-spare.ts';
import type { Work } from './work.ts';

export function advance(work: Work): void {
  const { state } = work;
  if (state.op !== null || !state.engine.up) return;
  if (state.pause !== null) {
    work.enter('paused', state.pause.reason);
    return;
  }
  if (!state.adopted) {
    if (state.container?.running === true) {
      work.run({ kind: 'adopt', containerId: state.container.id });
      return;
    }
    work.set({ adopted: true });
  }
  if (state.suspectedDeath !== null || state.pendingFailure !== null) return;
  const { container, process, leftovers } = work.state;
  if (container?.running === true && process !== null && state.stop === 'now' && state.drain === null) {
    // Before the back-off, not after it: a broken process does no good while it waits.
    const op: Op = { kind: 'stop-runs', runs: [process, ...leftovers], graceful: true };
    work.enter('starting', work.state.attempt?.cause ?? state.reason, stageOf(op, work.spec));
    work.run(op);
    return;
  }
  if (state.finished !== null) {
    work.enter('stopped', state.finished.reason);
    return;
  }
  if (state.suspect !== null) {
    ask(work, state.suspect);
    return;
  }
  if (container?.frozen === true) {
    work.enter('degraded', 'the container is paused (docker pause)');
    return;
  }
  if (state.held !== null && work.now < state.held.retryAt) {
    work.enter('held', `${state.held.failure.message}. ${state.held.failure.advice}`);
    return;
  }
  if (state.backOff !== null && work.now < state.backOff.until) {
    work.enter(state.backOff.waiting ? 'waiting' : 'back-off', state.backOff.reason);
    return;
  }
  if (isMisnamed(state) && state.container?.nameHolder === null) {
    // Whatever it is doing goes on meanwhile.
    work.run({ kind: 'rename', containerId: state.container.id });
    return;
  }
  const why = blocked(state);
  if (why !== null && waitsBeforeAttempt(state)) {
    if (isComplete(state, work.spec)) verify(work);
    else work.enter('waiting', why);
    return;
  }
  const op = nextOp(work);
  if (op === null) verify(work);
  else begin(work, op);
}

/** The gate holds back what has not begun. A machine that goes away is not worth the rest of an attempt either. */
export const waitsBeforeAttempt = ({ attempt, drain }: WorkloadState): boolean => drain !== null || attempt?.prepared !== true;

/** Somebody renamed it: whoever looks for it by its name does not find it. */
const isMisnamed = ({ container, replace }: WorkloadState): boolean =>
  container?.running === true && !replace && container.renamedTo !== null;

/** Are its mounts there, and what it depends on? What still runs goes on meanwhile. */
function ask(work: Work, { failure, ask: whom }: NonNullable<WorkloadState['suspect']>): void {
  const { process, mounts, container } = work.state;
  const op: Op = whom === 'mounts' ? { kind: 'look', containerPid: container?.pid ?? 0, mounts: Object.keys(mounts) } : { kind: 'prepare' };
  if (process === null) work.enter('waiting', failure.message, stageOf(op, work.spec));
  work.run(op);
}

const isComplete = (state: WorkloadState, spec: WorkloadSpec): boolean =>
  state.container?.running === true && !state.replace && !state.again && inPlace(state, spec);

function begin(work: Work, op: Op): void {
  const { backOff } = work.state;
  beginAttempt(work, work.state.reason);
  work.set({ backOff: null });
  const [phase, stage] = describe(op, work.spec);
  // Asking a dependency once more may take its whole timeout; until it answers, it is what is waited for.
  if (backOff?.waiting === true) work.enter('waiting', backOff.reason, stage);
  else work.enter(phase, work.state.attempt?.cause ?? '', stage);
  work.run(op);
}

/** Null: everything is in place. Allots run numbers, so it is called only when the operation is really begun. */
function nextOp(work: Work): Op | null {
  const { state, spec } = work;
  const { container } = state;
  const running = container?.running === true;
  if (isComplete(state, spec)) return null;
  if (state.attempt?.prepared !== true) return { kind: 'prepare' };
  if (container !== null && state.replace) return retire(work, container.id, running);
  if (container === null) {
    const spare = spareToTake(state);
    if (spare !== null) return { kind: 'take-spare', offer: spare };
    return wantsPull(state, spec) ? { kind: 'pull' } : { kind: 'create', generation: nextGeneration(state) };
  }
  if (running && state.again) return halt(work, container.id);
  if (!running) return startAgain(work, container.id);
  // What of them still runs would work against what comes next: a dead mount's daemon, a step cut off in the middle.
  const stale = [...state.lostMounts, ...state.leftovers.filter((run) => run.kind === 'setup')];
  if (stale.length > 0) return { kind: 'stop-runs', runs: stale, graceful: false };
  return nextInside(work);
}

/** Never under `never`, whatever was found missing before: a registry must not even hear the name. */
function wantsPull({ needsPull, attempt }: WorkloadState, { container: { pullPolicy } }: WorkloadSpec): boolean {
  return pullPolicy !== 'never' && (needsPull || (pullPolicy === 'always' && attempt?.pulled !== true));
}

function retire(work: Work, containerId: string, running: boolean): Op {
  const { state, spec } = work;
  if (running && state.process !== null) return { kind: 'stop-runs', runs: [state.process, ...state.leftovers], graceful: true };
  // With a process of ours, the container's own command only holds it open: no grace is owed to it.
  const graceful = running && spec.process === null;
  return { kind: 'retire', containerId, asName: retiredName(spec.container.name, state.generation), graceful };
}

function halt(work: Work, containerId: string): Op {
  const { process, leftovers } = work.state;
  return process === null ? { kind: 'halt', containerId } : { kind: 'stop-runs', runs: [process, ...leftovers], graceful: true };
}

function startAgain(work: Work, containerId: string): Op {
  const { container } = work.state;
  // Killed in the middle, the next agent must not take its own start for somebody else's.
  if (container !== null) work.set({ again: false, container: { ...container, startedAt: null } });
  return { kind: 'start', containerId };
}

function nextInside(work: Work): Op | null {
  const { state, spec } = work;
  for (const item of placement(spec)) {
    if (item.kind === 'mount' && state.mounts[item.mount] === undefined) {
      const mount = spec.mounts.find(({ name }) => name === item.mount) ?? null;
      if (mustRefresh(state, work.now, mount)) return { kind: 'refresh', mount: item.mount };
      return { kind: 'mount', mount: item.mount, run: work.newRun('mount', item.mount) };
    }
    if (item.kind === 'step' && !state.setup.includes(item.name)) {
      const verifyFirst = state.setupEarlier.includes(item.name) && item.verify !== null;
      return { kind: 'setup', index: spec.setup.indexOf(item), run: work.newRun('setup', item.name), verifyFirst };
    }
  }
  if (state.process !== null && state.stop === 'after-mounts') {
    return { kind: 'stop-runs', runs: [state.process, ...state.leftovers], graceful: true };
  }
  if (spec.process !== null && state.process === null) {
    if (mustRefresh(state, work.now, null)) return { kind: 'refresh', mount: null };
    return { kind: 'process', run: work.newRun('process', ''), leftovers: state.leftovers, remedy: state.remedy };
  }
  return null;
}

/** Mounts that no step names come first, in order; then the steps and the mounts between them. */
export function placement(spec: WorkloadSpec): readonly SetupItem[] {
  const named = new Set(spec.setup.flatMap((item) => (item.kind === 'mount' ? [item.mount] : [])));
  const first = spec.mounts.filter((mount) => !named.has(mount.name)).map((mount) => ({ kind: 'mount' as const, mount: mount.name }));
  return [...first, ...spec.setup];
}

function inPlace(state: WorkloadState, spec: WorkloadSpec): boolean {
  return (
    state.stop === 'no' &&
    placement(spec).every((item) => (item.kind === 'mount' ? state.mounts[item.mount] !== undefined : state.setup.includes(item.name))) &&
    (spec.process === null || state.process !== null)
  );
}

function describe(op: Op, spec: WorkloadSpec): readonly [Phase, string] {
  switch (op.kind) {
    case 'adopt':
      return ['verifying', 'adopt'];
    case 'prepare':
      return ['waiting', spec.dependsOn.length > 0 ? 'variables and dependencies' : 'variables'];
    case 'refresh':
      return op.mount === null
        ? ['starting', 'variables and dependencies, before the process starts']
        : ['mounting', `variables and dependencies, before mount ${op.mount}`];
    case 'look':
      return ['waiting', 'look at the mounts'];
    case 'pull':
      return ['pulling', `pull ${spec.container.image}`];
    case 'retire':
      return ['creating', 'set the old container aside'];
    case 'rename':
      return ['creating', 'give the container its name back'];
    case 'create':
      return ['creating', 'create the container'];
    case 'take-spare':
      return ['creating', 'take the prepared spare'];
    case 'start':
      return ['creating', 'start the container'];
    case 'halt':
      return ['creating', 'stop the container'];
    case 'mount':
      return ['mounting', `mount ${op.mount}`];
    case 'setup': {
      const steps = spec.setup.filter((item) => item.kind === 'step');
      const item = spec.setup[op.index];
      const position = item?.kind === 'step' ? steps.indexOf(item) + 1 : 0;
      return ['setting-up', `setup ${position}/${steps.length}: ${op.run.name}`];
    }
    case 'stop-runs':
      return ['starting', 'stop what is left of the last run'];
    case 'process':
      return ['starting', 'start the process'];
  }
}

export const stageOf = (op: Op, spec: WorkloadSpec): string => describe(op, spec)[1];

/** Everything is in place; the readiness checks have the word. */
function verify(work: Work): void {
  const { state, spec } = work;
  if (state.readyAt !== null) {
    stayReady(work);
    return;
  }
  beginAttempt(work, state.reason);
  const since = state.verifyingSince ?? work.now;
  if (state.verifyingSince === null) work.set({ verifyingSince: since, ready: {} });
  const failing = spec.ready.filter((check) => work.state.ready[check.name]?.ok !== true);
  if (failing.length === 0) {
    becomeReady(work, since);
    return;
  }
  if (work.now - since >= spec.readyWindowMs) {
    const first = failing[0]?.name ?? '';
    const why = work.state.ready[first]?.message ?? 'no answer yet';
    const message = `not ready within ${formatDurationMs(spec.readyWindowMs)}: ${first}: ${why}`;
    const failure = failureWith('ready-timeout', message, { check: first });
    const level = spec.process === null ? 'container' : 'process';
    if (!suspectDependency(work, failure, level, level === 'process' ? 'stop' : 'replace')) {
      work.set(level === 'container' ? { replace: true } : { stop: 'now' });
      fail(work, failure, level);
    }
    advance(work);
    return;
  }
  work.enter('verifying', `waiting for ${failing.map((check) => check.name).join(', ')}`, 'verify');
}

const readyReason = ({ ready }: WorkloadSpec): string =>
  ready.length === 0 ? 'everything is in place; no readiness check is configured' : 'every readiness check has passed';

function becomeReady(work: Work, verifyingSince: number): void {
  const { attempt, downSince } = work.state;
  const startedAt = attempt?.startedAt ?? verifyingSince;
  const stages = [...(attempt?.timeline ?? []), { stage: 'verify', kind: 'verify', ms: work.now - verifyingSince }];
  const timeToReadyMs = work.now - startedAt;
  const { attempted, succeeded } = work.state.recoveries;
  if (attempt?.counted === true) work.set({ recoveries: { attempted, succeeded: succeeded + 1 } });
  work.set({
    readyAt: work.now,
    healthySince: work.now,
    downSince: null,
    verifyingSince: null,
    attempt: null,
    held: null,
    live: {},
    mountChecks: {},
  });
  work.enter('ready', readyReason(work.spec));
  work.emit('workload.ready', 'info', `ready after ${formatDurationMs(timeToReadyMs)}`, {
    timeToReadyMs,
    downMs: downSince === null ? null : work.now - downSince,
    cause: attempt?.cause ?? null,
    stages,
  });
  work.effect({ kind: 'observe' });
}

function stayReady(work: Work): void {
  const { live, mountChecks, container } = work.state;
  const failing = [...Object.entries(live), ...Object.entries(mountChecks)].find(([, check]) => !check.ok);
  const unnamed = isMisnamed(work.state)
    ? `it is called ${container?.renamedTo}, and its own name is held by ${container?.nameHolder}`
    : null;
  if (failing !== undefined || unnamed !== null) {
    const [check, why] = failing === undefined ? ['name', unnamed ?? ''] : [failing[0], failing[1].message];
    if (work.state.phase !== 'degraded') work.emit('workload.degraded', 'warning', `${check}: ${why}`, { check });
    work.enter('degraded', `${check}: ${why}`);
    work.set({ healthySince: null });
    return;
  }
  dependenciesBack(work);
  if (work.state.healthySince === null) work.set({ healthySince: work.now });
  work.enter('ready', readyReason(work.spec));
}
