import { expect, test } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import { withAutomaticChecks } from '../config/automatic-checks.ts';

function ready(): SimulatedWorld {
  const volumes = [{ type: 'bind' as const, source: '/mnt/hostfuse', target: '/data2', readOnly: false }];
  const world = new SimulatedWorld(withAutomaticChecks(workloadFixture({ live: [] }, { volumes })));
  world.observe();
  expect(world.settle()).toBe(true);
  return world;
}
const report = { type: 'check', list: 'live', name: 'volumes', ok: false, code: 'volume-lost' } as const;
const hostDead = { ...report, message: '/data2: dead, on the host as well', reportOnly: true } as const;
const left = { ...report, message: '/data2: dead; mounted again on the host', certain: true } as const;
const silent = { ...report, message: '/data2: no answer; mounted again on the host' } as const;

test('dead on the host as well: told once, nothing restarted; a new container as soon as the host has it back', () => {
  const world = ready();
  for (let i = 0; i < 10; i += 1) world.send(hostDead);
  expect(world.pending).toBeNull();
  expect(world.state).toMatchObject({ phase: 'degraded', generation: 1, reason: expect.stringContaining('on the host as well') as string });
  world.send(left);
  expect(world.settle()).toBe(true);
  expect(world.state).toMatchObject({ phase: 'ready', generation: 2, restarts: { process: 0, container: 1 } });
  const data = world.events.filter(({ kind }) => kind === 'check.failed' || kind === 'restart.scheduled').map((event) => event.data);
  expect(data).toMatchObject([
    { check: 'volumes', code: 'volume-lost' },
    { code: 'volume-lost', level: 'container', countsAsFailure: true },
  ]);
});

test('left behind for certain: the first answer is enough', () => {
  const world = ready();
  world.send(left);
  expect(world.settle()).toBe(true);
  expect(world.state.generation).toBe(2);
});

test('silent: only when it stays so', () => {
  const world = ready();
  world.send(silent);
  expect(world.pending).toBeNull();
  world.send(silent);
  expect(world.settle()).toBe(true);
  expect(world.state).toMatchObject({ generation: 2, restarts: { process: 0, container: 1 } });
});
