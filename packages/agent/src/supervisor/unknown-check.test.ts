import fc from 'fast-check';
import { expect, test } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import type { LiveCheckSpec } from '../config/spec.ts';

const check: LiveCheckSpec = {
  name: 'node',
  probe: { kind: 'ray-node', dashboard: 'http://h:8265', nodeIp: null },
  intervalMs: 10_000,
  timeoutMs: 5_000,
  failures: 3,
  restarts: 'process',
};

function ready(): SimulatedWorld {
  const world = new SimulatedWorld(workloadFixture({ live: [check] }));
  world.observe();
  expect(world.settle()).toBe(true);
  return world;
}
const answer = { type: 'check', list: 'live', name: 'node' } as const;
const answers = {
  passed: { ...answer, ok: true, message: 'ALIVE' },
  failed: { ...answer, ok: false, message: 'DEAD' },
  unknown: { ...answer, ok: false, message: 'the head does not tell', unknown: true },
} as const;

test('a head that cannot be asked is no reason, however long', () => {
  const world = ready();
  for (let i = 0; i < 100; i += 1) world.send(answers.unknown);
  expect(world.state).toMatchObject({ phase: 'ready', op: null });
  expect(world.events.map(({ kind }) => kind)).not.toContain('check.failed');
});

test('silence in between neither counts nor clears: the process is started again after the third word to the contrary', () => {
  const acts = (list: readonly (keyof typeof answers)[]): boolean => {
    const world = ready();
    for (const name of list) {
      world.send(answers[name]);
      if (world.pending !== null) return true;
    }
    return false;
  };
  fc.assert(
    fc.property(fc.array(fc.constantFrom<keyof typeof answers>('passed', 'failed', 'unknown'), { maxLength: 12 }), (list) => {
      const heard = list.filter((name) => name !== 'unknown').join(' ');
      expect(acts(list)).toBe(heard.includes('failed failed failed'));
    }),
    { numRuns: 50 },
  );
});

test('only the process is started again', () => {
  const world = ready();
  for (let i = 0; i < 3; i += 1) world.send(answers.failed);
  expect(world.settle()).toBe(true);
  expect(world.state).toMatchObject({ generation: 1, restarts: { process: 1, container: 0 } });
});
