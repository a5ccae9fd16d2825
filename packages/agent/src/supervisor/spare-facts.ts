/** What engine, probes, operations and the workload say about a spare, and what follows for what is known of it. */
import type { ContainerFacts } from '../engine/engine.ts';
import type { SpareEvent, SpareInputs, SpareOp, SpareValue } from './spare-state.ts';
import { isSpare } from './spare-state.ts';
import { discard, failed, nothing, type SpareWork, wait } from './spare-work.ts';

export function compareWithMain(work: SpareWork): void {
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

export function onObserved(work: SpareWork, containers: readonly ContainerFacts[], afterOutage: boolean): void {
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

export function onOpDone(work: SpareWork, { opId, result }: Extract<SpareEvent, { type: 'op-done' }>): void {
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

export function onMountCheck(work: SpareWork, { mount, condition, message }: Extract<SpareEvent, { type: 'mount-check' }>): void {
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
