/** What the engine's word about our containers means. List + inspect decides; events only led here. */
import type { ContainerFacts } from '../engine/engine.ts';
import { isForeign, undo } from '../engine/foreign-restarts.ts';
import { countUnanswered } from './checks.ts';
import { doubtContainer } from './escalation.ts';
import { fail, failureWith as failure, restartUncounted } from './failure.ts';
import { describeHolder } from './holder.ts';
import { afterOom, takeOom } from './host-word.ts';
import { clearInside } from './inside.ts';
import type { Failure, OpKind } from './op.ts';
import { failed } from './operations.ts';
import { isSpare } from './spare-state.ts';
import { forgetStale } from './stale-memory.ts';
import type { KnownContainer, WorkloadState } from './state.ts';
import type { Work } from './work.ts';

/** A workload that never becomes ready must not fill the disk with its dead. */
const othersMax = 4;

/** While one of these is under way the container changes by our own hand. */
export const ownHand: ReadonlySet<OpKind> = new Set(['retire', 'rename', 'create', 'take-spare', 'start', 'halt']);

/**
 * How long the engine may go on calling a container running whose first process is gone before the process level acts alone.
 * It says so when the kernel has freed the memory of all processes: tens of seconds for hundreds of GB.
 */
const suspectedDeathMsMax = 30_000;
/** Its event comes at once; it is asked as well, for events get lost, but not without a pause: it is busy enough then. */
const suspectedDeathAskMs = 250;

/** What a container fell with, so that its death is nobody's failure. */
type FellWith = 'host-rebooted' | 'engine-restarted' | null;

export function onObserved(work: Work, containers: readonly ContainerFacts[], afterOutage: boolean, afterBoot = false): void {
  const fellWith: FellWith = afterBoot ? 'host-rebooted' : afterOutage ? 'engine-restarted' : null;
  const { engine, op } = work.state;
  if (!engine.up) {
    work.set({ engine: { up: true, reason: 'answers', since: work.now } });
    // Nobody could look while it was away: the readiness checks get their whole window again.
    if (work.state.verifyingSince !== null) work.set({ verifyingSince: work.now });
  }
  if (op !== null && ownHand.has(op.op.kind)) return;

  // A spare in waiting has a supervisor of its own; without one it is only in the way.
  const all = containers.filter((facts) => isOurs(facts, work));
  const ours = work.spec.spare === null ? all : all.filter((facts) => !isSpare(facts));
  const workers = ours.filter((facts) => !isSpare(facts));
  if (!work.state.adopted) {
    noteNumbers(work, all);
    forgetStale(work, workers, generationOf);
  }
  if (work.state.container === null) adoptFound(work, workers);
  const presentId = work.state.container?.id;
  const present = ours.find((facts) => facts.id === presentId);
  const disowned = present === undefined ? containers.find((facts) => facts.id === presentId && !isOurs(facts, work)) : undefined;
  const nameHolder = disowned ?? containers.find((facts) => facts.name === work.spec.container.name && facts.id !== presentId);
  if (disowned !== undefined) anotherOwners(work, disowned);
  else if (presentId !== undefined) compare(work, present, fellWith);
  if (present !== undefined) noteName(work, present, nameHolder);
  const { held } = work.state;
  if (held?.failure.code === 'name-conflict' && heldByOther(held.failure, nameHolder)) work.set({ held: { ...held, retryAt: work.now } });
  const { pendingFailure } = work.state;
  if (pendingFailure !== null) {
    work.set({ pendingFailure: null });
    if (work.state.container?.running === true) failed(work, pendingFailure.op, pendingFailure.failure);
  }
  countUnanswered(work);
  afterOom(work);
  sweep(work, ours);
}

/** The engine answers, but not about this container: as good as no engine, for this workload alone. */
export function onContainerSilent(work: Work, { reason }: { readonly reason: string }): void {
  const { op } = work.state;
  // What our own hand does keeps the engine busy with it; the end of that tells.
  if (op === null || !ownHand.has(op.op.kind)) onEngineLost(work, reason);
}

/** Silence says nothing about the container: whatever is under way goes on or fails by itself. */
export function onEngineLost(work: Work, reason: string): void {
  const { engine, phase, pause } = work.state;
  if (!engine.up && engine.reason === reason && (pause !== null || phase === 'unknown')) return;
  work.set({ engine: { up: false, reason, since: engine.up ? work.now : engine.since }, pendingFailure: null, unanswered: [] });
  if (pause === null) work.enter('unknown', reason);
}

function known(facts: ContainerFacts): KnownContainer {
  const running = facts.status === 'running' || facts.status === 'paused';
  return {
    id: facts.id,
    running,
    frozen: facts.status === 'paused',
    pid: running ? facts.pid : 0,
    renamedTo: null,
    nameHolder: null,
    startedAt: facts.startedAt,
  };
}

function noteName(work: Work, facts: ContainerFacts, holder: ContainerFacts | undefined): void {
  const { container } = work.state;
  if (container?.id !== facts.id) return;
  const renamedTo = facts.name === work.spec.container.name ? null : facts.name;
  if (renamedTo !== null && renamedTo !== container.renamedTo && container.running && !work.state.replace) {
    work.emit('host.notice', 'warning', `somebody renamed the container to ${renamedTo}`, { containerId: facts.id, name: renamedTo });
  }
  const nameHolder = holder === undefined ? null : describeHolder(holder, work.context.ownerId);
  if (renamedTo !== container.renamedTo || nameHolder !== container.nameHolder)
    work.set({ container: { ...container, renamedTo, nameHolder } });
}

/** The name is free, or somebody else has it now: trying tells whose it is. */
function heldByOther({ data }: Failure, holder: ContainerFacts | undefined): boolean {
  return holder === undefined || (typeof data['holderId'] === 'string' && data['holderId'] !== holder.id);
}

function isOurs(facts: ContainerFacts, work: Work): boolean {
  return facts.labels['relight.agent'] === work.context.ownerId && facts.labels['relight.workload'] === work.spec.name;
}

/** With nothing remembered, the labels tell which container is the present one: the newest that runs, else the one with the name. */
function adoptFound(work: Work, ours: readonly ContainerFacts[]): void {
  // A container to be adopted has come at last.
  const awaited = work.state.held?.failure.code === 'cannot-adopt';
  if (work.state.adopted && !awaited) return;
  const newestFirst = ours.toSorted((a, b) => generationOf(b) - generationOf(a) || b.createdAt - a.createdAt);
  const found =
    newestFirst.find((facts) => facts.status === 'running') ?? newestFirst.find((facts) => facts.name === work.spec.container.name);
  if (found === undefined) return;
  if (awaited) work.set({ adopted: false, held: null });
  work.set({
    generation: Math.max(work.state.generation, generationOf(found)),
    container: known(found),
  });
  if (found.status !== 'running' && found.startedAt !== null) died(work, found, null);
}

/** Where nothing is remembered, the labels of the dead and of spares tell which numbers are used. */
function noteNumbers(work: Work, all: readonly ContainerFacts[]): void {
  const { spareGeneration } = work.state;
  const highest = Math.max(spareGeneration, ...all.map(generationOf));
  if (highest > spareGeneration) work.set({ spareGeneration: highest });
}

function generationOf(facts: ContainerFacts): number {
  const value = Number(facts.labels['relight.generation']);
  return Number.isSafeInteger(value) ? value : 0;
}

function compare(work: Work, facts: ContainerFacts | undefined, fellWith: FellWith): void {
  const before = work.state.container;
  if (before === null) return;
  // `removing` is what the engine says from the beginning of a forced removal, before it kills.
  if (facts === undefined || facts.status === 'removing' || facts.status === 'dead') {
    gone(work, fellWith);
    return;
  }
  if (facts.status === 'running' || facts.status === 'paused') {
    if (before.running && before.startedAt === facts.startedAt) {
      stillRunning(work, facts);
      return;
    }
    const ownStart = !before.running && before.startedAt === null;
    work.set({ container: known(facts) });
    if (!ownStart) startedByOthers(work, facts);
    return;
  }
  if (before.running) died(work, facts, fellWith);
}

function stillRunning(work: Work, facts: ContainerFacts): void {
  const { suspectedDeath, container } = work.state;
  if (container?.frozen !== (facts.status === 'paused')) work.set({ container: known(facts) });
  if (suspectedDeath === null) return;
  // An engine that was away needs a moment to hear of what died meanwhile: counted from its first word.
  const since = suspectedDeath.since ?? work.now;
  if (work.now - since < suspectedDeathMsMax) {
    work.set({ suspectedDeath: { ...suspectedDeath, since, askAt: work.now + suspectedDeathAskMs } });
    return;
  }
  work.set({ suspectedDeath: null });
  fail(work, failure('process-exited', suspectedDeath.message));
}

/** When the engine is asked again whether it is dead; null: not at all. One that is away says so by itself when it is back. */
export const askOfDeathAt = ({ suspectedDeath, engine }: WorkloadState): number | null =>
  engine.up ? (suspectedDeath?.askAt ?? null) : null;

export function askOfDeath(work: Work): void {
  const { suspectedDeath } = work.state;
  const at = askOfDeathAt(work.state);
  if (suspectedDeath === null || at === null || work.now < at) return;
  work.set({ suspectedDeath: { ...suspectedDeath, askAt: null } });
  work.effect({ kind: 'observe' });
}

function startedByOthers(work: Work, facts: ContainerFacts): void {
  work.cancelOp();
  clearInside(work);
  const who = isForeign(facts) ? `the engine's restart policy ${facts.restartPolicy}` : 'somebody else';
  fail(work, failure('container-restarted', `${who} started the container again`, foreignPolicy(facts)), 'container');
}

/** What an incident says of an engine that restarts beside us. */
const foreignPolicy = (facts: ContainerFacts): { readonly restartPolicy?: string; readonly advice?: string } =>
  isForeign(facts) ? { restartPolicy: facts.restartPolicy, advice: undo(facts) } : {};

function died(work: Work, facts: ContainerFacts, fellWith: FellWith): void {
  const exit = describeExit(facts);
  const detectedAfterMs = facts.finishedAt === null ? null : Math.max(0, work.now - facts.finishedAt);
  const killed = takeOom(work) !== null && facts.exitCode === 137;
  const code = fellWith ?? (facts.oomKilled || killed ? 'container-oom' : 'container-exited');
  const message =
    fellWith === null
      ? `container ${exit}`
      : `the container fell with the ${fellWith === 'host-rebooted' ? 'machine' : 'engine'} (${exit})`;
  work.emit('container.died', fellWith === null ? 'error' : 'warning', message, {
    code,
    level: 'container',
    containerId: facts.id,
    exitCode: facts.exitCode,
    oomKilled: facts.oomKilled,
    finishedAt: facts.finishedAt,
    detectedAfterMs,
    error: facts.error,
    ...foreignPolicy(facts),
  });
  if (facts.oomKilled)
    work.emit('container.oom', 'error', 'the kernel killed it for want of memory', {
      code: 'container-oom',
      level: 'container',
      containerId: facts.id,
    });
  work.cancelOp();
  work.set({ container: known(facts) });
  clearInside(work);
  if (fellWith !== null) {
    if (work.spec.container.onDeath === 'recreate') work.set({ replace: true });
    restartUncounted(work, message, code, 'container');
    return;
  }
  const death = failure(code, message, { exitCode: facts.exitCode });
  doubtContainer(work, death);
  fail(work, death, 'container');
}

/**
 * It is there, and by its label another agent's: this one has got another id since (the machine's id has changed, or the state directory
 * came from another machine). Nobody has removed it, and it is not this agent's to touch.
 */
function anotherOwners(work: Work, facts: ContainerFacts): void {
  work.cancelOp();
  clearInside(work);
  work.set({ container: null, setupEarlier: [], replace: false, again: false });
  const conflict = failure(
    'name-conflict',
    `the name "${work.spec.container.name}" is held by ${describeHolder(facts, work.context.ownerId)}`,
    { holderId: facts.id },
  );
  const advice =
    'This agent made it under another id: the machine id of the host has changed, or the state directory came from another machine. It runs on, unwatched; remove it (docker rm -f), and a new one is made.';
  fail(work, { ...conflict, advice }, 'container');
}

function gone(work: Work, fellWith: FellWith): void {
  const { id, running } = work.state.container ?? { running: false };
  // The engine's directory of many cloud machines is on a disk that a reboot empties.
  const rebooted = fellWith === 'host-rebooted';
  const [code, message] = rebooted
    ? (['host-rebooted', 'the container is gone since the reboot'] as const)
    : (['container-removed', 'the container was removed by somebody else'] as const);
  work.emit('container.removed', rebooted ? 'warning' : 'error', message, { code, level: 'container', containerId: id });
  work.cancelOp();
  clearInside(work);
  work.set({ container: null, setupEarlier: [], replace: false, again: false });
  // One that did not run yet: the start that missed it has failed or will fail by itself.
  if (running && rebooted) restartUncounted(work, message, code, 'container');
  else if (running) fail(work, failure('container-removed', message), 'container');
}

function describeExit(facts: ContainerFacts): string {
  const code = facts.exitCode ?? 0;
  const signal = code === 137 ? ' (SIGKILL)' : code === 143 ? ' (SIGTERM)' : code === 139 ? ' (SIGSEGV)' : '';
  return `exited with code ${code}${signal}${facts.oomKilled ? ', out of memory' : ''}${facts.error === '' ? '' : `: ${facts.error}`}`;
}

/** One dead container is kept for whoever wants to look; older ones, and those that never ran, go once we are ready again. */
function sweep(work: Work, ours: readonly ContainerFacts[]): void {
  const others = ours.filter((facts) => facts.id !== work.state.container?.id).toSorted((a, b) => b.createdAt - a.createdAt);
  // Somebody started one that was set aside: it holds the devices and ports of the present one.
  const back = work.state.pause === null ? others.filter((facts) => facts.status === 'running').map((facts) => facts.id) : [];
  if (back.length > 0) work.effect({ kind: 'sweep', containerIds: back });
  if (work.state.op !== null || (work.state.readyAt === null && others.length < othersMax)) return;
  const kept = others.find((facts) => facts.startedAt !== null && facts.status !== 'running');
  const ids = others.filter((facts) => facts !== kept && !back.includes(facts.id)).map((facts) => facts.id);
  if (ids.length > 0) work.effect({ kind: 'sweep', containerIds: ids });
}
