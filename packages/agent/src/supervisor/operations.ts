/** What became of the operation in flight: facts are taken over, failures judged. */
import { nextNumber, numberOf } from './claimed-runs.ts';
import { dependenciesBack, excused, notExcused, suspectDependency, waitFor } from './dependency.ts';
import { fail, levelOf } from './failure.ts';
import { prepared, refreshed } from './freshness.ts';
import { clearInside, noContainer } from './inside.ts';
import { onLooked } from './lost-mount.ts';
import type { Failure, Op, OpResult, OpValue, RunHandle, RunRef } from './op.ts';
import { parseRunOf } from './run-id.ts';
import { stageOf } from './advance.ts';
import type { KnownContainer } from './state.ts';
import { spareRefused, spareTaken } from './take-spare.ts';
import type { Work } from './work.ts';

export function onOpDone(work: Work, opId: number, result: OpResult): void {
  const current = work.state.op;
  if (current === null || current.id !== opId) return;
  work.set({ op: null });
  const ms = work.now - current.startedAt;
  if (result.ok) {
    if (current.op.kind === 'prepare' || current.op.kind === 'refresh') dependenciesBack(work);
    if (result.value.kind === 'prepare' && work.state.suspect?.ask === 'dependencies') {
      // What has been found out for the question serves an attempt that begins now, and no later one.
      if (notExcused(work)) prepared(work, result.value, current.startedAt);
      return;
    }
    if (result.value.kind === 'look') {
      // Cut off, it is done again if anybody still wants to know.
      if (!current.cancelled) onLooked(work, result.value.lost);
      return;
    }
    succeeded(work, current.op, result.value, ms);
    return;
  }
  // Started or not, nobody knows: whatever lives of it goes before the next start.
  if (current.op.kind === 'setup' || current.op.kind === 'process') work.set({ leftovers: [...work.state.leftovers, current.op.run] });
  if (current.op.kind === 'mount') work.set({ lostMounts: [...work.state.lostMounts, current.op.run] });
  if (current.cancelled) return;
  if (insideOps.has(current.op.kind) && !saysNothing.has(result.failure.code) && work.state.container?.running === true) {
    work.set({ pendingFailure: { op: current.op, failure: result.failure } });
    work.effect({ kind: 'observe' });
    return;
  }
  failed(work, current.op, result.failure);
}

const insideOps: ReadonlySet<Op['kind']> = new Set(['adopt', 'mount', 'setup', 'process', 'stop-runs']);
/** Not the container's fault, whatever its state. */
const saysNothing: ReadonlySet<Failure['code']> = new Set(['engine-unreachable', 'engine-timeout', 'dependency-down', 'variable-failed']);

const exitCodes: ReadonlySet<Failure['code']> = new Set(['container-exited', 'container-oom']);

/** Judges a failure of `op`. */
export function failed(work: Work, op: Op, failure: Failure): void {
  if (op.kind === 'look') {
    onLooked(work, []);
    return;
  }
  if (failure.code === 'engine-unreachable' || failure.code === 'engine-timeout') {
    work.set({ engine: { up: false, reason: failure.message, since: work.now } });
    work.enter('unknown', failure.message);
    work.effect({ kind: 'observe' });
    return;
  }
  // Nothing has begun; the gate has said why, and says when it opens.
  if (failure.code === 'gate-closed') return;
  if (failure.code === 'dependency-down' || failure.code === 'variable-failed') {
    if (work.state.suspect === null) waitFor(work, failure);
    else excused(work, failure);
    return;
  }
  const { container } = work.state;
  if (op.kind === 'rename') {
    // The next look at the engine tells whether there is anything left to do.
    if (container !== null) work.set({ container: { ...container, nameHolder: failure.message } });
    return;
  }
  if (op.kind === 'start' && container !== null && exitCodes.has(failure.code)) {
    // It ran, if only for a moment: its death is judged as any other.
    work.set({ container: { ...container, running: true }, pendingFailure: { op, failure } });
    work.effect({ kind: 'observe' });
    return;
  }
  if (op.kind === 'take-spare') {
    spareRefused(work, op, failure.message);
    return;
  }
  if (
    op.kind === 'create' &&
    failure.code === 'image-not-found' &&
    work.spec.container.pullPolicy !== 'never' &&
    work.state.attempt?.pulled === false
  ) {
    work.set({ needsPull: true });
    return;
  }
  // What our own hand could not do, somebody else's may have undone.
  if (!insideOps.has(op.kind)) work.effect({ kind: 'observe' });
  if (op.kind === 'stop-runs' || op.kind === 'retire' || op.kind === 'halt') work.set({ replace: work.state.container !== null });
  const level = levelOf(failure.code);
  // What is done inside may need what the workload depends on: a head that is lost in the middle of it is the cause.
  if ((op.kind === 'setup' || op.kind === 'process') && suspectDependency(work, failure, level, 'none')) return;
  fail(work, failure, level);
}

function succeeded(work: Work, op: Op, value: Exclude<OpValue, { kind: 'look' }>, ms: number): void {
  const { attempt } = work.state;
  if (attempt !== null)
    work.set({ attempt: { ...attempt, timeline: [...attempt.timeline, { stage: stageOf(op, work.spec), kind: op.kind, ms }].slice(-50) } });
  // A container that died meanwhile took with it whatever was placed inside.
  const insideGone = work.state.container?.running !== true;
  switch (value.kind) {
    case 'adopt':
      if (!insideGone) adopt(work, value.runs);
      return;
    case 'prepare':
      prepared(work, value, work.now - ms);
      return;
    case 'refresh':
      refreshed(work, ms);
      return;
    case 'pull':
      work.set({ needsPull: false });
      if (value.fallback !== undefined)
        work.emit('host.notice', 'warning', `the image of this host is used: ${value.fallback}`, { code: 'image-pull-failed' });
      if (work.state.attempt !== null) work.set({ attempt: { ...work.state.attempt, pulled: true } });
      return;
    case 'stop-runs':
      if (op.kind === 'stop-runs') stopped(work, op.runs);
      return;
    case 'retire':
      work.set(noContainer);
      return;
    case 'halt':
      clearInside(work);
      if (work.state.container !== null) work.set({ container: { ...work.state.container, running: false, pid: 0 } });
      return;
    case 'rename':
      if (work.state.container !== null) work.set({ container: { ...work.state.container, renamedTo: null } });
      // What happened to it meanwhile was taken for our own doing.
      work.effect({ kind: 'observe' });
      return;
    case 'create':
      created(work, op, value.containerId, value.warnings);
      return;
    case 'take-spare':
      if (op.kind === 'take-spare') spareTaken(work, op, value.pid);
      return;
    case 'start':
      if (work.state.container !== null)
        work.set({ container: { ...work.state.container, running: true, pid: value.pid, startedAt: value.startedAt } });
      return;
    case 'mount':
      if (op.kind === 'mount' && !insideGone) mounted(work, op.mount, value.run, ms);
      return;
    case 'setup':
      if (op.kind === 'setup' && !insideGone) work.set({ setup: [...work.state.setup, op.run.name] });
      return;
    case 'process':
      if (insideGone) return;
      work.set({ process: value.run, processStartedAt: work.now, leftovers: [], remedy: null });
      work.emit(
        'process.started',
        'info',
        value.run.pid === 0 ? 'process started, and ended at once' : `process started, pid ${value.run.pid}`,
        {
          runId: value.run.runId,
          pid: value.run.pid,
          durationMs: ms,
          attempt: Math.max(1, work.state.history.process.failures + 1),
          attempts: work.spec.restart.process.budget.count,
        },
      );
  }
}

const notStarted = (id: string): KnownContainer => ({
  id,
  running: false,
  frozen: false,
  pid: 0,
  renamedTo: null,
  nameHolder: null,
  startedAt: null,
});

function created(work: Work, op: Op, containerId: string, warnings: readonly string[]): void {
  const generation = op.kind === 'create' ? op.generation : work.state.generation;
  work.set({ generation, replace: false, container: notStarted(containerId) });
  work.emit('container.created', 'info', `container of generation ${generation} created`, {
    containerId,
    image: work.spec.container.image,
    ...(warnings.length > 0 ? { warnings } : {}),
  });
}

function mounted(work: Work, mount: string, run: RunHandle | null, ms: number): void {
  const { [mount]: _stale, ...checks } = work.state.mountChecks;
  work.set({ mounts: { ...work.state.mounts, [mount]: { run } }, mountChecks: checks });
  const target = work.spec.mounts.find((spec) => spec.name === mount)?.target;
  work.emit('mount.mounted', 'info', `mount ${mount} at ${target} ${run === null ? 'was there already' : 'is there'}`, {
    mount,
    target,
    durationMs: ms,
  });
}

function stopped(work: Work, runs: readonly RunRef[]): void {
  const ids = new Set(runs.map((run) => run.runId));
  const { process, leftovers, lostMounts } = work.state;
  if (process !== null && ids.has(process.runId)) {
    work.emit('process.killed', 'info', 'process stopped', { runId: process.runId, pid: process.pid });
    work.set({ process: null, processStartedAt: null, stop: 'no' });
  }
  work.set({ leftovers: leftovers.filter((run) => !ids.has(run.runId)), lostMounts: lostMounts.filter((run) => !ids.has(run.runId)) });
}

/** An earlier life of the agent started this container. Live runs tell how far it came; remembered state says the rest. */
function adopt(work: Work, found: readonly RunHandle[]): void {
  const { state, spec } = work;
  const of = { owner: work.context.ownerId, workload: spec.name, generation: state.generation };
  const alive = found.filter(({ runId }) => parseRunOf(runId, of) !== undefined);
  const byAge = alive.toSorted((a, b) => numberOf(a) - numberOf(b));
  const own = byAge.findLast((run) => run.kind === 'process' && run.name === '');
  const mounts: Record<string, { run: RunHandle | null }> = { ...state.mounts };
  for (const run of byAge) if (run.kind === 'mount' && spec.mounts.some((mount) => mount.name === run.name)) mounts[run.name] = { run };
  const kept = new Set([own?.runId ?? state.process?.runId, ...Object.values(mounts).map((mount) => mount.run?.runId)]);
  const leftovers = byAge.filter(
    (run) => !kept.has(run.runId) && run.kind !== 'mount' && (run.kind === 'process' || !state.setup.includes(run.name)),
  );
  const forgotten = state.nextRun === 1;
  // A running process proves that all before it was done; without one, each step's verify decides.
  const steps = spec.setup.flatMap((item) => (item.kind === 'step' ? [item.name] : []));
  const setup = forgotten && own !== undefined ? steps : state.setup;
  if (forgotten && own !== undefined) for (const mount of spec.mounts) mounts[mount.name] ??= { run: null };
  work.set({
    adopted: true,
    mounts,
    setup,
    setupEarlier: forgotten ? steps : state.setupEarlier,
    process: own ?? state.process,
    // Without memory nobody knows since when; it has its whole time from now.
    processStartedAt: own === undefined ? state.processStartedAt : (state.processStartedAt ?? work.now),
    leftovers,
    nextRun: nextNumber(state.nextRun, byAge),
  });
  work.emit('container.adopted', 'info', `container of generation ${state.generation} adopted as it runs`, {
    containerId: state.container?.id,
    runs: alive.length,
    fromLabels: forgotten,
  });
}
