/**
 * The supervisor of one workload: `transition(state, event, context) → {state, effects}`. Pure. An event corrects what is
 * known; what is to be done follows from that (advance.ts), one operation at a time.
 */
import { isoTimeOrNull } from '@relight/shared/api';
import { formatDurationMs } from '@relight/shared/units';
import { advance, waitsBeforeAttempt } from './advance.ts';
import { onCheck, onMountCheck } from './checks.ts';
import type { Context, SupervisorEvent, Transition } from './event.ts';
import { classify, portOf } from './classify.ts';
import { fail, failureWith, leaveReady, restartUncounted } from './failure.ts';
import { blocked, onAccelerator, onDrain, onDrainOver, onGate, onOom, takeOom } from './host-word.ts';
import { askOfDeath, askOfDeathAt, onContainerSilent, onEngineLost, onObserved } from './observe.ts';
import { mountEnded, processFailed } from './lost-mount.ts';
import { onOpDone } from './operations.ts';
import { noRestarts } from './restart-policy.ts';
import { adviseStaging } from './staging.ts';
import { onSpare } from './take-spare.ts';
import type { ActiveLevel, WorkloadState } from './state.ts';
import type { WorkloadSpec } from '../config/spec.ts';
import { Work } from './work.ts';

type Handlers = { readonly [T in SupervisorEvent['type']]: (work: Work, event: Extract<SupervisorEvent, { type: T }>) => void };

const handlers: Handlers = {
  tick: () => {},
  observed: (work, event) => onObserved(work, event.containers, event.afterOutage, event.afterBoot),
  'engine-lost': (work, { reason }) => onEngineLost(work, `the engine does not answer: ${reason}`),
  'container-silent': onContainerSilent,
  oom: onOom,
  gate: onGate,
  drain: onDrain,
  'drain-over': onDrainOver,
  accelerator: onAccelerator,
  fleet: (work, { size }) => work.set({ fleetSize: Math.max(1, size) }),
  'inputs-changed': onInputsChanged,
  'image-changed': onImageChanged,
  spare: onSpare,
  'op-done': (work, event) => onOpDone(work, event.opId, event.result),
  'run-exited': onRunExited,
  check: onCheck,
  'mount-check': (work, event) => onMountCheck(work, event.mount, event.condition, event.message),
  pause: onPause,
  resume: (work) => resume(work, 'resumed by hand'),
  restart: onRestart,
  'spec-changed': onSpecChanged,
};

export function transition(state: WorkloadState, event: SupervisorEvent, context: Context): Transition {
  const work = new Work(state, context);
  forgetOldFailures(work);
  (handlers[event.type] as (work: Work, event: SupervisorEvent) => void)(work, event);
  const { pause, drain } = work.state;
  if (drain !== null && drain.until !== null && work.now >= drain.until) onDrainOver(work);
  if (pause !== null && pause.until !== null && work.now >= pause.until) resume(work, 'the pause is over');
  askOfDeath(work);
  startDeadline(work);
  maxRuntime(work);
  advance(work);
  return { state: work.state, effects: work.effects };
}

/** When the next `tick` is due even if nothing happens; null: only an event can change anything. */
export function wakeAt(state: WorkloadState, context: Pick<Context, 'spec'>): number | null {
  const { backOff, held, pause, drain, healthySince, history, verifyingSince } = state;
  const { process, container } = context.spec.restart;
  const idle = state.op === null && pause === null && state.engine.up && state.container?.frozen !== true;
  const mayBegin = idle && (blocked(state) === null || !waitsBeforeAttempt(state));
  const due = [
    pause?.until ?? null,
    drain?.until ?? null,
    mayBegin ? (backOff?.until ?? null) : null,
    mayBegin && state.phase === 'held' ? (held?.retryAt ?? null) : null,
    idle && verifyingSince !== null ? verifyingSince + context.spec.readyWindowMs : null,
    onTheWay(state) ? (state.attempt?.startedAt ?? 0) + context.spec.startDeadlineMs : null,
    askOfDeathAt(state),
    pause === null && drain === null ? runtimeOver(state, context.spec) : null,
    healthySince === null || history.process.failures === 0 ? null : healthySince + process.resetAfterMs,
    healthySince === null || history.container.failures === 0 ? null : healthySince + container.resetAfterMs,
  ].filter((at) => at !== null);
  return due.length === 0 ? null : Math.min(...due);
}

/** Healthy long enough: earlier failures say nothing any more about the next one. */
function forgetOldFailures(work: Work): void {
  const { healthySince, history } = work.state;
  if (healthySince === null) return;
  const healthyMs = work.now - healthySince;
  const { process, container } = work.spec.restart;
  if (history.process !== noRestarts && healthyMs >= process.resetAfterMs) {
    work.set({ history: { ...work.state.history, process: noRestarts } });
  }
  if (history.container !== noRestarts && healthyMs >= container.resetAfterMs) {
    work.set({ history: { ...work.state.history, container: noRestarts } });
  }
  if (healthyMs < Math.max(process.resetAfterMs, container.resetAfterMs)) return;
  if (work.state.rung !== 'process') work.set({ rung: 'process' });
  if (Object.keys(work.state.tries).length > 0) work.set({ tries: {} });
}

/** When the process has run for as long as it may; null: no end is set. */
function runtimeOver({ process, processStartedAt, finished, stop }: WorkloadState, spec: WorkloadSpec): number | null {
  const max = spec.process?.maxRuntimeMs ?? null;
  if (max === null || process === null || processStartedAt === null || finished !== null || stop === 'now') return null;
  return processStartedAt + max;
}

/** Its time is over: stopped in order, and nothing is started until somebody says so. */
function maxRuntime(work: Work): void {
  const over = runtimeOver(work.state, work.spec);
  const { pause, drain } = work.state;
  if (over === null || work.now < over || pause !== null || drain !== null) return;
  const reason = `it has run for max_runtime (${formatDurationMs(work.spec.process?.maxRuntimeMs ?? 0)})`;
  work.cancelOp();
  leaveReady(work);
  work.set({ finished: { at: work.now, reason }, stop: 'now', attempt: null, backOff: null, held: null, downSince: null });
}

function onTheWay(state: WorkloadState): boolean {
  const { attempt, readyAt, pause, engine, backOff, op } = state;
  if (attempt?.prepared !== true || attempt.missingSince !== null) return false;
  return readyAt === null && pause === null && engine.up && backOff === null && op?.cancelled !== true;
}

/** The whole way took too long, wherever it stands: a new container, counted. */
function startDeadline(work: Work): void {
  const { attempt } = work.state;
  if (attempt === null || !onTheWay(work.state) || work.now - attempt.startedAt < work.spec.startDeadlineMs) return;
  work.cancelOp();
  const message = `not ready before the start deadline; it was ${work.state.phase}: ${work.state.reason}`;
  fail(work, failureWith('start-deadline', message));
}

/** What held it may be different now: tried at once. */
function onInputsChanged(work: Work, { what, container }: Extract<SupervisorEvent, { type: 'inputs-changed' }>): void {
  if (work.state.held === null || work.state.op !== null) return;
  if (container && work.state.container !== null) work.set({ replace: true });
  const cause = `${what.join(', ')} changed, it is worth another try`;
  restartUncounted(work, cause, 'inputs-changed', container ? 'container' : 'process');
}

function onImageChanged(work: Work): void {
  const { held, backOff } = work.state;
  if (held?.failure.code.startsWith('image-') === true) work.set({ held: { ...held, retryAt: work.now }, needsPull: false });
  else if (backOff !== null && work.state.needsPull) work.set({ backOff: { ...backOff, until: work.now }, needsPull: false });
}

function onRunExited(work: Work, event: Extract<SupervisorEvent, { type: 'run-exited' }>): void {
  const { process, mounts, stop } = work.state;
  const mount = Object.entries(mounts).find(([, placed]) => placed.run?.runId === event.runId);
  if (mount !== undefined && event.containerAlive) {
    const looked = work.state.readyAt !== null || work.state.verifyingSince !== null;
    // Daemonising programs end at once and leave the mount: only a look decides. On the way to ready nobody looks; placing it
    // again does, and finds what is there.
    if (looked || event.exitCode === 0) work.effect({ kind: 'probe-mount', mount: mount[0] });
    else if (work.state.op?.op.kind !== 'mount') mountEnded(work, mount[0], event);
    return;
  }
  if (process?.runId !== event.runId || stoppedByUs(work, event.runId)) return;
  const withContainer = !event.containerAlive && event.exitCode === null;
  const oom = withContainer || event.exitCode === 0 ? null : takeOom(work);
  const known = oom === null ? adviseStaging(classify('process', event.lastLines, event.exitCode), work.spec.mounts) : null;
  const exit =
    event.exitCode === null
      ? 'process was killed'
      : `process exited with code ${event.exitCode}${event.signal === null ? '' : ` (${event.signal})`}`;
  const why = oom ?? (known === null ? null : `${known.cause}${heldBy(known.cause, event.portHolder)}`);
  const message = why === null ? exit : `${exit}: ${why}`;
  const code = oom === null ? (known?.code ?? 'process-exited') : 'process-oom';
  const lastLine = known === null ? event.lastLines.at(-1)?.trim().slice(0, 200) : undefined;
  const port = known?.code === 'address-in-use' ? portOf(known.cause) : null;
  const facts = {
    ...(port === null ? {} : { port }),
    exitCode: event.exitCode,
    signal: event.signal,
    ...(lastLine === undefined ? {} : { lastLine }),
    ...(event.portHolder === undefined ? {} : { holder: event.portHolder }),
  };
  work.emit('process.exited', 'error', message, {
    code,
    level: known?.level ?? 'process',
    runId: process.runId,
    pid: process.pid,
    ...facts,
  });
  work.set({ process: null, processStartedAt: null, leftovers: [...work.state.leftovers, process], stop: 'no' });
  if (withContainer) {
    work.set({ suspectedDeath: { since: null, askAt: null, message } });
    work.effect({ kind: 'observe' });
    return;
  }
  // It was to be stopped anyway, for what has been judged already: a lost mount, a check.
  if (stop !== 'no') return;
  work.cancelOp();
  const failure = { ...failureWith(code, message, facts), ...(known === null ? {} : { advice: known.advice }) };
  processFailed(work, failure, known?.level === 'container' ? 'container' : 'process');
}

function heldBy(cause: string, holder: string | undefined): string {
  return holder === undefined ? '' : ` (port ${portOf(cause) ?? ''} is held by ${holder})`;
}

/** Its end is what the operation under way is for; the operation's own end says so. */
function stoppedByUs(work: Work, runId: string): boolean {
  const op = work.state.op?.op;
  return op?.kind === 'retire' || (op?.kind === 'stop-runs' && op.runs.some((run) => run.runId === runId));
}

function onPause(work: Work, event: { readonly reason: string; readonly until: number | null }): void {
  const before = work.state.pause;
  if (before === null || before.until !== event.until || before.reason !== event.reason)
    work.emit('workload.paused', 'info', `paused: ${event.reason}`, { until: isoTimeOrNull(event.until) });
  work.set({ pause: { since: work.now, until: event.until, reason: event.reason } });
  work.cancelOp();
  work.enter('paused', event.reason);
}

/** Ends a pause; and whoever says so wants to see it tried now, not when a wait is over. */
function resume(work: Work, why: string): void {
  const { pause, held, attempt } = work.state;
  work.set({
    pause: null,
    backOff: null,
    held: held === null ? null : { ...held, retryAt: work.now, looks: 0 },
    tries: {},
    finished: null,
  });
  if (pause === null) return;
  work.emit('workload.resumed', 'info', why);
  work.effect({ kind: 'observe' });
  if (attempt !== null) work.set({ attempt: { ...attempt, startedAt: work.now, prepared: false } });
}

function onRestart(work: Work, event: Extract<SupervisorEvent, { type: 'restart' }>): void {
  const level = demand(work, event.level);
  restartUncounted(work, event.reason, 'operator', level);
}

function onSpecChanged(work: Work, event: Extract<SupervisorEvent, { type: 'spec-changed' }>): void {
  forgetChecks(work);
  if (event.fields.some((field) => imageFields.has(field))) forgetMissingImage(work);
  if (event.impact === 'none') {
    tryWithNew(work);
    return;
  }
  // Of a process that an adopted container does not have yet: the next container begins with it.
  if (event.impact === 'process' && work.spec.process === null && work.context.spec.process !== null) return;
  const level = demand(work, event.impact);
  restartUncounted(work, `the configuration changed: ${event.fields.join(', ')}`, 'spec-changed', level);
}

const imageFields: ReadonlySet<string> = new Set(['container.image', 'container.pull_policy']);

/** Another image is wanted, or in another way: whether it is missing, and may be pulled, the next create tells. */
function forgetMissingImage(work: Work): void {
  const { op, needsPull, backOff } = work.state;
  if (op?.op.kind === 'pull') work.cancelOp();
  if (needsPull) work.set({ needsPull: false, backOff: backOff === null ? null : { ...backOff, until: work.now } });
}

/** What a check has said that is not asked any more keeps nothing degraded. */
function forgetChecks(work: Work): void {
  const { ready, live } = work.state;
  const { spec } = work.context;
  const asked = <T>(known: Readonly<Record<string, T>>, checks: readonly { readonly name: string }[]): Readonly<Record<string, T>> =>
    Object.fromEntries(Object.entries(known).filter(([name]) => checks.some((check) => check.name === name)));
  work.set({ ready: asked(ready, spec.ready), live: asked(live, spec.live) });
}

/** Nothing is restarted; but what was held, or waits for what it depends on, may be mended by it: that is tried now. */
function tryWithNew(work: Work): void {
  const { held, backOff } = work.state;
  if (held !== null) work.set({ held: { ...held, retryAt: work.now, looks: 0 } });
  if (backOff?.waiting === true) work.set({ backOff: { ...backOff, until: work.now } });
}

/** Without a process of ours, the container is what there is to restart. */
function demand(work: Work, wanted: ActiveLevel): ActiveLevel {
  const level = work.spec.process === null ? 'container' : wanted;
  work.cancelOp();
  if (level === 'container') work.set({ replace: work.state.container !== null });
  else if (work.state.process !== null) work.set({ stop: 'now' });
  return level;
}
