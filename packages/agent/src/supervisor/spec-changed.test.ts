import { describe, expect, test } from 'vitest';
import { failureOf, SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { Context } from './event.ts';
import { initialState, type WorkloadState } from './state.ts';
import { transition } from './transition.ts';

const spec = workloadFixture();
const context: Context = { now: 10_000, random: 0.5, spec, ownerId: 'o' };
const check = { ok: false, failures: 3, message: 'refused' };
const up = { engine: { up: true, reason: '', since: 0 }, adopted: true } as const;
const unchanged = { type: 'spec-changed', impact: 'none', fields: ['live'] } as const;

const ready: WorkloadState = {
  ...initialState(0),
  ...up,
  phase: 'degraded',
  readyAt: 1,
  container: { id: 'c', running: true, frozen: false, pid: 7, renamedTo: null, nameHolder: null, startedAt: 1 },
  mounts: { bucket: { run: null } },
  setup: ['keys', 'caches'],
  process: { runId: 'r', pid: 8, startTime: 1 } as unknown as WorkloadState['process'],
};

test('what a check has said that is asked no more keeps nothing degraded; what is asked still does', () => {
  const gone = transition({ ...ready, live: { 'not there any more': check } }, unchanged, context);
  expect(gone.state).toMatchObject({ phase: 'ready', live: {} });
  expect(gone.effects.filter(({ kind }) => kind === 'run')).toEqual([]);
  const kept = transition({ ...ready, live: { health: check } }, unchanged, context);
  expect(kept.state).toMatchObject({ phase: 'degraded', live: { health: check } });
});

test('what is held is tried at once, although nothing of it has to be restarted', () => {
  const failure = { code: 'image-not-found', message: 'no such image', recoverable: false, advice: '', data: {} } as const;
  const held = { failure, retryAt: 99_000, looks: 4 };
  const state = { ...initialState(0), ...up, phase: 'held', held } as const;
  expect(transition(state, { type: 'tick' }, context).effects).toEqual([]);
  const tried = transition(state, unchanged, context);
  expect(tried.effects).toContainEqual(expect.objectContaining({ kind: 'run', op: { kind: 'prepare' } }));
  expect(tried.state.restarts).toEqual({ process: 0, container: 0, host: 0 });
});

describe('an image that was missing and could not be pulled', () => {
  const local = workloadFixture({}, { image: 'trainer:1', pullPolicy: 'never' });
  const away = workloadFixture({}, { image: 'registry.example/trainer:2', pullPolicy: 'missing' });
  const restored = { type: 'spec-changed', impact: 'container', fields: ['container.image', 'container.pull_policy'] } as const;

  /** Its pull is under way. */
  function pulling(): SimulatedWorld {
    const world = new SimulatedWorld(away);
    world.observe();
    world.finishOp();
    world.finishOp(failureOf('image-not-found', false));
    expect(world.pending?.op.kind).toBe('pull');
    return world;
  }

  test('is not asked for any more once the configuration names another one', () => {
    const world = pulling();
    world.finishOp(failureOf('image-pull-failed'));
    const { length } = world.ops;
    world.spec = local;
    world.send(restored);
    expect(world.settle()).toBe(true);
    expect(world.ops.slice(length).map(({ kind }) => kind)).not.toContain('pull');
    expect(world.state.needsPull).toBe(false);
  });

  test('nor while it is pulled: that is given up', () => {
    const world = pulling();
    world.spec = local;
    world.send(restored);
    expect(world.pending?.cancelled).toBe(true);
    expect(world.settle()).toBe(true);
    expect(world.ops.filter(({ kind }) => kind === 'pull')).toHaveLength(1);
  });

  const forbidden = { type: 'spec-changed', impact: 'none', fields: ['container.pull_policy'] } as const;
  const never = workloadFixture({}, { image: 'registry.example/trainer:2', pullPolicy: 'never' });

  test('nor where it may not be pulled any more: the pull is given up, and it is held with the reason', () => {
    const world = pulling();
    world.spec = never;
    world.send(forbidden);
    expect(world.pending).toMatchObject({ op: { kind: 'pull' }, cancelled: true });
    world.finishOp();
    isHeld(world);
  });

  test('nor, at once, where the next try is waited for', () => {
    const world = pulling();
    refuse(world);
    for (let failures = 0; failures < 2; failures += 1) {
      for (let step = 0; step < 20 && world.pending?.op.kind !== 'pull'; step += 1) {
        world.finishOp();
        if (world.pending === null) world.advance(120_000);
      }
      refuse(world);
    }
    expect(world.state.backOff).not.toBeNull();
    world.spec = never;
    world.send(forbidden);
    isHeld(world);
  });

  function refuse(world: SimulatedWorld): void {
    expect(world.pending?.op.kind).toBe('pull');
    world.finishOp(failureOf('image-pull-failed'));
  }

  function isHeld(world: SimulatedWorld): void {
    if (world.pending?.op.kind === 'prepare') world.finishOp();
    expect(world.pending?.op.kind).toBe('create');
    world.finishOp(failureOf('image-not-found', false));
    expect(world.state.phase).toBe('held');
  }

  test('what an earlier life of the agent has written down pulls nothing where the policy says never', () => {
    const world = new SimulatedWorld(local);
    world.state = { ...world.state, needsPull: true };
    world.observe();
    expect(world.settle()).toBe(true);
    expect(world.ops.map(({ kind }) => kind)).not.toContain('pull');
  });
});
