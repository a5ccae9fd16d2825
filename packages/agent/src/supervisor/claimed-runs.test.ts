import { expect, it } from 'vitest';
import { SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { RunHandle } from './op.ts';
import { parseRunId } from './run-id.ts';

function ready(): SimulatedWorld {
  const world = new SimulatedWorld(workloadFixture({}));
  world.observe();
  expect(world.settle()).toBe(true);
  return world;
}

const process = (world: SimulatedWorld): string => world.state.process?.runId ?? '';

/** Some process of the container has this value of RELIGHT_RUN; the agent finds it at its next start. */
function claimed(world: SimulatedWorld, runId: string, kind: RunHandle['kind'] = 'process', stateLost = false): void {
  world.containers.at(-1)?.runs.push({ runId, kind, name: parseRunId(runId)?.name ?? '', pid: 77, startTicks: 1 });
  world.crashAgent(true, stateLost);
  expect(world.settle()).toBe(true);
}

const afterAnother = (world: SimulatedWorld): number | undefined => {
  world.removeContainer();
  expect(world.settle()).toBe(true);
  return parseRunId(process(world))?.n;
};

it('what a container claims to be of another workload is nothing of ours: neither watched, nor stopped, nor counted', () => {
  const world = ready();
  const before = process(world);
  claimed(world, before.replace(/\/[^/]+\/(\d+)\/\d+\/process\/$/, '/another/$1/9/setup/x'), 'setup');
  expect(process(world)).toBe(before);
  world.killProcess();
  expect(world.settle()).toBe(true);
  expect(JSON.stringify(world.ops)).not.toContain('/another/');
});

it.each([999_999_999, 899_999_999])('a process that calls itself run %i costs the workload no later run', (n) => {
  const world = ready();
  claimed(world, process(world).replace(/\/\d+\/process\/$/, `/${n}/setup/x`), 'setup');
  expect(afterAnother(world)).toBeLessThan(10);
});

it('where the agent has no memory of its own it costs none either, over any number of its starts', () => {
  const world = ready();
  claimed(world, process(world).replace(/\/\d+\/process\/$/, '/899999999/setup/x'), 'setup', true);
  for (let start = 0; start < 5; start += 1) {
    world.crashAgent(true, false);
    expect(world.settle()).toBe(true);
  }
  expect(afterAnother(world)).toBeLessThan(10);
});

it('a number that is not far above is believed: memory may be older than what runs', () => {
  const world = ready();
  claimed(world, process(world).replace(/\/\d+\/process\/$/, '/5000/setup/x'), 'setup');
  expect(world.state.nextRun).toBeGreaterThan(5_000);
});

it('a state that an earlier agent has ruined is mended when it is read', () => {
  const world = ready();
  const [own, foreign] = [process(world), process(world).replace(/^[^/]+\/[^/]+/, 'owner/another')];
  const ref = (runId: string) => ({ runId, kind: 'process' as const, name: '' });
  const unreadable = ref(own.replace(/\/\d+\/process\/$/, '/1000000000/process/'));
  world.state = { ...world.state, nextRun: 1_000_000_001, lostMounts: [unreadable, ref(foreign), ref(own)], leftovers: [unreadable] };
  world.crashAgent(true, false);
  expect(world.state).toMatchObject({
    nextRun: (parseRunId(own)?.n ?? 0) + 1,
    process: { runId: own },
    lostMounts: [ref(own)],
    leftovers: [],
  });
  expect(world.settle()).toBe(true);
  expect(afterAnother(world)).toBeLessThan(10);
});
