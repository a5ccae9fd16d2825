import { describe, expect, test } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import type { WorkloadSpec } from '../config/spec.ts';
import type { Op } from './op.ts';

const depending = workloadFixture({ dependsOn: [{ kind: 'tcp', address: '${HEAD}:6379', timeoutMs: 1_000 }] });
const minute = 60_000;

/** On its way, with `kind` under way. */
function reach(kind: Op['kind'], spec: WorkloadSpec = depending): SimulatedWorld {
  const world = new SimulatedWorld(spec);
  world.observe();
  while (world.pending?.op.kind !== kind) world.finishOp();
  return world;
}

const opKinds = (world: SimulatedWorld): string[] => world.ops.map((op) => op.kind);
const kinds = (world: SimulatedWorld): string[] =>
  world.events.map((event) => event.kind).filter((kind) => kind !== 'workload.phase-changed');

/** Every step of the setup takes this long. */
function setUp(world: SimulatedWorld, ms: number): void {
  while (world.pending?.op.kind === 'setup') {
    world.advance(ms);
    world.finishOp();
  }
}

describe('after a long setup', () => {
  test('variables and dependencies are asked once more before the process starts, and no third time', () => {
    const world = reach('setup');
    setUp(world, 5 * minute);
    expect(world.pending?.op).toEqual({ kind: 'refresh', mount: null });
    expect(world.state).toMatchObject({ phase: 'starting' });
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['prepare', 'create', 'start', 'mount', 'setup', 'setup', 'refresh', 'process']);
    expect(world.state.restarts).toEqual({ process: 0, container: 0, host: 0 });
    const stages = world.events.find(({ kind }) => kind === 'workload.ready')?.data['stages'];
    expect(stages).toContainEqual({ stage: 'variables and dependencies, before the process starts', kind: 'refresh', ms: 0 });
  });

  test('a moment after they were asked they are not asked again; a slow one is given ten times its own time', () => {
    const quick = reach('setup');
    setUp(quick, 4_900);
    expect(quick.pending?.op.kind).toBe('process');
    const slow = new SimulatedWorld(depending);
    slow.observe();
    slow.advance(4_000);
    while (slow.pending?.op.kind !== 'setup') slow.finishOp();
    setUp(slow, 17_900);
    expect(slow.pending?.op.kind).toBe('process');
  });

  test('a mount that names a variable is asked for as well, one that names none is not', () => {
    const [plain] = depending.mounts;
    for (const [run, expected] of [
      ['mount.head $HEAD:/data /mnt', 'refresh'],
      ['bindfs /data /mnt', 'mount'],
    ] as const) {
      const world = reach('create', { ...depending, mounts: [{ ...plain!, type: 'command', run: { text: run } }] });
      world.advance(10 * minute);
      world.finishOp();
      world.finishOp();
      expect(world.pending?.op.kind).toBe(expected);
      expect(world.settle()).toBe(true);
    }
  });

  test('where nothing can have changed, nothing is asked', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.prepareBrings = { kind: 'prepare', fixed: true };
    world.observe();
    while (world.pending?.op.kind !== 'setup') world.finishOp();
    setUp(world, 10 * minute);
    expect(world.pending?.op.kind).toBe('process');
  });
});

describe('a head that went down during the setup', () => {
  test('is waited for right there, told once, without cost and for longer than the start may take; nothing is done again', () => {
    const world = reach('setup');
    world.dependencyUp = false;
    setUp(world, 5 * minute);
    const { container } = world.state;
    for (let i = 0; i < 3_600; i += 1) {
      world.finishOp();
      expect(world.state.phase).toBe('waiting');
      world.advance(1_000);
    }
    expect(kinds(world)).toEqual(['container.created', 'mount.mounted', 'check.failed']);
    expect(world.state).toMatchObject({ waitingFor: 'dependency-down', restarts: { process: 0, container: 0, host: 0 } });
    world.dependencyUp = true;
    const back = world.now;
    while (world.state.process === null && world.now - back < 10_000) {
      world.finishOp();
      if (world.pending === null) world.advance(50);
    }
    expect(world.now - back).toBeLessThanOrEqual(1_000);
    expect(world.settle()).toBe(true);
    expect(world.state.container).toEqual(container);
    expect(opKinds(world).filter((kind) => kind !== 'refresh')).toEqual([
      'prepare',
      'create',
      'start',
      'mount',
      'setup',
      'setup',
      'process',
    ]);
    expect(kinds(world).slice(3)).toEqual(['check.recovered', 'process.started', 'workload.ready']);
    const ready = world.events.find(({ kind }) => kind === 'workload.ready');
    expect(ready?.data['timeToReadyMs']).toBeLessThan(11 * minute);
  });

  test('is asked for although the gate has closed meanwhile: what is in the container already goes on', () => {
    const world = reach('setup');
    world.dependencyUp = false;
    setUp(world, 5 * minute);
    world.finishOp();
    world.send({ type: 'gate', open: false, reason: 'apt is busy' });
    world.dependencyUp = true;
    world.advance(1_000);
    expect(world.pending?.op.kind).toBe('refresh');
    expect(world.settle()).toBe(true);
  });

  test('and a container that dies while it is waited for is made anew when it is back', () => {
    const world = reach('setup');
    world.dependencyUp = false;
    setUp(world, 5 * minute);
    world.finishOp();
    world.killContainer();
    world.report();
    for (let i = 0; i < 10; i += 1) {
      world.finishOp();
      world.advance(1_000);
    }
    expect(world.state.restarts.process).toBe(0);
    expect(world.state.phase).toBe('waiting');
    world.dependencyUp = true;
    expect(world.settle()).toBe(true);
    expect(world.state.generation).toBe(2);
  });

  test('an agent that is killed while it waits asks again and does nothing twice', () => {
    const world = reach('setup');
    world.dependencyUp = false;
    setUp(world, 5 * minute);
    world.finishOp();
    world.ops.length = 0;
    world.crashAgent(false, false);
    world.dependencyUp = true;
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['adopt', 'prepare', 'process']);
  });
});
