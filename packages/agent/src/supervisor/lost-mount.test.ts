/** A process and its mount end together: which of them is told first is chance, what is done about it must not be. */
import { expect, test } from 'vitest';
import { SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { WorkloadSpec } from '../config/spec.ts';

function ready(spec: WorkloadSpec = workloadFixture()): SimulatedWorld {
  const world = new SimulatedWorld(spec);
  world.observe();
  expect(world.settle()).toBe(true);
  world.ops.length = 0;
  world.events.length = 0;
  return world;
}

const opKinds = (world: SimulatedWorld): string[] => world.ops.map((op) => op.kind);
const facts = (world: SimulatedWorld): string[] =>
  world.events.map(({ kind }) => kind).filter((kind) => /^(?:mount|process|restart|workload\.(?:held|ready))/.test(kind));
const scheduled = (world: SimulatedWorld) => world.events.filter(({ kind }) => kind === 'restart.scheduled').map(({ data }) => data);
const depending = workloadFixture({ dependsOn: [{ kind: 'tcp', address: 'head:6379', timeoutMs: 1_000 }] });

test('the process is told first: its mounts are looked at before its end is judged', () => {
  const world = ready();
  world.loseMount();
  world.endProcess(3);
  expect(world.pending?.op).toEqual({ kind: 'look', containerPid: world.state.container?.pid, mounts: ['bucket'] });
  expect(facts(world)).toEqual(['process.exited']);
  expect(world.settle()).toBe(true);
  expect(opKinds(world)).toEqual(['look', 'prepare', 'stop-runs', 'mount', 'process']);
  expect(facts(world)).toEqual(['process.exited', 'mount.lost', 'restart.scheduled', 'mount.mounted', 'process.started', 'workload.ready']);
  expect(scheduled(world)).toMatchObject([{ code: 'mount-lost', mount: 'bucket', delayMs: 0, countsAsFailure: true }]);
  expect(world.state.restarts).toEqual({ process: 1, container: 0, host: 0 });
});

test('its program is told while the look is under way: as good as the look', () => {
  const world = ready();
  world.endProcess(3);
  world.endMountRun(137);
  expect(scheduled(world)).toMatchObject([{ code: 'mount-lost', mount: 'bucket', delayMs: 0 }]);
  expect(world.settle()).toBe(true);
  expect(opKinds(world)).toEqual(['look', 'prepare', 'stop-runs', 'mount', 'process']);
  expect(world.state.restarts.process).toBe(1);
});

test('the mount is told first: the end of a process that was to be stopped for it is no failure of its own', () => {
  const world = ready();
  world.loseMount();
  world.report();
  world.endProcess(3);
  expect(world.settle()).toBe(true);
  expect(opKinds(world)).toEqual(['prepare', 'stop-runs', 'mount', 'process']);
  expect(facts(world)).toEqual(['mount.lost', 'restart.scheduled', 'process.exited', 'mount.mounted', 'process.started', 'workload.ready']);
  expect(world.state.restarts.process).toBe(1);
});

test('again and again, each time it has worked: at once, and the container is not suspected', () => {
  const world = ready();
  const id = world.state.container?.id;
  for (let i = 0; i < 6; i += 1) {
    world.advance(60_000);
    world.loseMount();
    world.killProcess(3);
    expect(world.settle()).toBe(true);
  }
  expect(scheduled(world).map(({ delayMs }) => delayMs)).toEqual([0, 0, 0, 0, 0, 0]);
  expect(world.state.container?.id).toBe(id);
  expect(world.state.restarts).toEqual({ process: 6, container: 0, host: 0 });
});

test('what is useless to repeat is worth another try when its mount was gone', () => {
  const world = ready();
  world.lastLines = ['RuntimeError: Version mismatch: The cluster was started with: Ray 2.9.3, Python 3.10.12'];
  world.loseMount();
  world.killProcess(1);
  world.lastLines = [];
  expect(world.settle()).toBe(true);
  expect(facts(world)).not.toContain('workload.held');
});

test('the mounts answer: what it depends on is asked next, and then it counts', () => {
  const world = ready(depending);
  world.dependencyUp = false;
  world.killProcess(1);
  expect(scheduled(world)).toEqual([]);
  world.finishOp();
  expect(world.state).toMatchObject({ phase: 'waiting', restarts: { process: 0 } });
  world.dependencyUp = true;
  expect(world.settle()).toBe(true);
  world.killProcess(1);
  expect(world.settle()).toBe(true);
  expect(world.state.restarts.process).toBe(1);
});

test('the container dies while its mounts are looked at: its death is what is judged', () => {
  const world = ready();
  world.endProcess(3);
  world.killContainer();
  world.observe();
  expect(world.settle()).toBe(true);
  expect(facts(world)).not.toContain('mount.lost');
  expect(world.state.restarts).toEqual({ process: 0, container: 1, host: 0 });
});

test('paused while its mounts are looked at: they are looked at again when the pause is over', () => {
  const world = ready();
  world.loseMount();
  world.endProcess(3);
  world.send({ type: 'pause', reason: 'maintenance', until: null });
  world.finishOp();
  expect(facts(world)).toEqual(['process.exited']);
  world.send({ type: 'resume' });
  expect(world.settle()).toBe(true);
  expect(opKinds(world)).toEqual(['look', 'look', 'prepare', 'stop-runs', 'mount', 'process']);
});

test('the look fails: the process is judged by itself', () => {
  const world = ready();
  world.endProcess(3);
  world.finishOp({ code: 'internal', message: 'out of processes', recoverable: true, advice: '', data: {} });
  expect(scheduled(world)).toMatchObject([{ code: 'process-exited', exitCode: 3 }]);
  expect(world.settle()).toBe(true);
});
