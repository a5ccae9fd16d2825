import { expect, test } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import { automaticGpuCheck } from '../config/automatic-checks.ts';

function ready(): SimulatedWorld {
  const world = new SimulatedWorld(workloadFixture({ live: [automaticGpuCheck] }));
  world.observe();
  expect(world.settle()).toBe(true);
  return world;
}
const lost = { type: 'check', list: 'live', name: 'gpu', ok: false, message: 'lost', code: 'gpu-lost' } as const;
const atWork = { ...lost, message: 'lost; train.py still runs', reportOnly: true } as const;

test('a GPU that is lost gets a new container, under its own name', () => {
  const world = ready();
  world.send(lost);
  expect(world.state.phase).toBe('degraded');
  world.send(lost);
  expect(world.settle()).toBe(true);
  expect(world.state).toMatchObject({ generation: 2, restarts: { process: 0, container: 1 } });
  const data = world.events.filter(({ kind }) => kind === 'check.failed' || kind === 'restart.scheduled').map((event) => event.data);
  expect(data).toMatchObject([
    { check: 'gpu', code: 'gpu-lost' },
    { code: 'gpu-lost', level: 'container', countsAsFailure: true },
  ]);
});

test('what is only told is told once, counts nothing, and changes nothing however often', () => {
  const world = ready();
  for (let i = 0; i < 10; i += 1) world.send(atWork);
  expect(world.pending).toBeNull();
  expect(world.state).toMatchObject({ phase: 'degraded', reason: expect.stringContaining('train.py still runs') as string, generation: 1 });
  expect(world.events.filter(({ kind }) => kind === 'check.failed')).toHaveLength(1);
  // The process has ended: only now is it counted, from the first.
  world.send(lost);
  expect(world.pending).toBeNull();
  world.send(lost);
  expect(world.settle()).toBe(true);
  expect(world.state.generation).toBe(2);
});

test('it recovers by itself', () => {
  const world = ready();
  world.send(atWork);
  world.send({ type: 'check', list: 'live', name: 'gpu', ok: true, message: '8 GPUs' });
  expect(world.state.phase).toBe('ready');
  expect(world.events.map(({ kind }) => kind)).toContain('check.recovered');
});
