/** A host on which nothing happens: what comes in all day must cost next to nothing, for every change is written and told. */
import { expect, test } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import type { LiveCheckSpec, WorkloadSpec } from '../config/spec.ts';
import type { SupervisorEvent } from './event.ts';
import { mayBeginSomething } from './may-begin.ts';

const check: LiveCheckSpec = {
  name: 'port',
  probe: { kind: 'tcp', address: '127.0.0.1:80', from: 'host' },
  intervalMs: 10_000,
  timeoutMs: 5_000,
  failures: 3,
  restarts: 'process',
};
const passes = { type: 'check', list: 'live', name: 'port', ok: true, message: 'connected' } as const satisfies SupervisorEvent;

function ready(spec: Partial<WorkloadSpec>): SimulatedWorld {
  const world = new SimulatedWorld(workloadFixture(spec));
  world.observe();
  expect(world.settle()).toBe(true);
  return world;
}

test('checks that say what they said, and looks that see what they saw, leave the very same state', () => {
  const world = ready({ live: [check] });
  world.send(passes);
  const { state } = world;
  expect(state.live['port']).toEqual({ ok: true, failures: 0, message: 'connected' });
  world.send(passes);
  world.observe();
  world.send({ type: 'tick' });
  world.send(passes);
  expect(world.state).toBe(state);
});

test('another word of a check is another state', () => {
  const world = ready({ live: [check] });
  world.send(passes);
  const before = world.state;
  world.send({ ...passes, message: 'connected at last' });
  expect(world.state).not.toBe(before);
  expect(world.state.live['port']?.message).toBe('connected at last');
  for (const failures of [1, 2]) {
    world.send({ ...passes, ok: false, message: 'refused' });
    expect(world.state.live['port']).toEqual({ ok: false, failures, message: 'refused' });
  }
});

test('the gate is asked about what may begin something: not about a ready workload whose container is as it was', () => {
  const world = ready({ live: [check] });
  let seen: readonly ContainerFacts[] = [];
  world.onObserved = (containers) => {
    seen = containers;
  };
  world.observe();
  const { state } = world;
  const look = (change: Partial<ContainerFacts>): SupervisorEvent => {
    const containers = seen.map((facts) => ({ ...facts, ...change }));
    return { type: 'observed', containers, afterOutage: false };
  };
  expect(mayBeginSomething(look({}), state)).toBe(false);
  expect(mayBeginSomething(look({ status: 'exited' }), state)).toBe(true);
  expect(mayBeginSomething(look({ startedAt: 1 }), state)).toBe(true);
  expect(mayBeginSomething(look({ id: 'another' }), state)).toBe(true);
  expect(mayBeginSomething({ type: 'observed', containers: [], afterOutage: false }, state)).toBe(true);
  expect(mayBeginSomething(look({}), { ...state, readyAt: null })).toBe(true);
  expect(mayBeginSomething(passes, state)).toBe(false);
  expect(mayBeginSomething({ ...passes, ok: false }, state)).toBe(true);
  expect(mayBeginSomething({ type: 'tick' }, state)).toBe(true);
});
