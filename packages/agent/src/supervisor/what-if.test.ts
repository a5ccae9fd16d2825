import { describe, expect, test } from 'vitest';
import { restartPolicy, workloadFixture } from '../../../../test/support/specs.ts';
import { failureOf, SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import type { WorkloadSpec } from '../config/spec.ts';
import type { JournalSnapshot } from './journal.ts';
import type { ReplayedStep } from './replay.ts';
import { type Decision, recordedDecisions } from './decisions.ts';
import { whatIf } from './what-if.ts';

/** A world that is ready, and every step from now on. */
function recording(spec: WorkloadSpec = workloadFixture()): { readonly world: SimulatedWorld; readonly steps: ReplayedStep[] } {
  const world = new SimulatedWorld(spec);
  world.observe();
  expect(world.settle()).toBe(true);
  const steps: ReplayedStep[] = [];
  world.onStep = ({ at, now, random, event, before, after, effects }) => {
    const snapshot: JournalSnapshot = { kind: 'snapshot', at, why: 'start', version: '1', ownerId: 'owner', spec, state: before };
    steps.push({ input: { kind: 'input', at, now, random, event, digest: '' }, snapshot, before, after, effects, exact: true });
  };
  return { world, steps };
}

/** The process dies `rounds` times, each time as soon as it was started and a second has gone by. */
function processLoop(world: SimulatedWorld, rounds: number): void {
  for (let i = 0; i < rounds; i += 1) {
    for (let guard = 0; guard < 200 && (world.processes().length === 0 || world.pending !== null); guard += 1) {
      world.finishOp();
      world.advance(500);
    }
    world.advance(1_000);
    world.killProcess(7);
  }
  expect(world.settle()).toBe(true);
}

const told = (decisions: readonly Decision[]): readonly string[] =>
  decisions.map(({ event: { kind, data } }) =>
    kind === 'restart.scheduled' ? `${String(data['level'])} ${String(data['code'])} ${String(data['delayMs'])}` : kind,
  );

describe('what if', () => {
  test('under the policy that was in force: the decisions that were taken', () => {
    const { world, steps } = recording();
    processLoop(world, 5);
    const expected = told(recordedDecisions(steps));
    expect(expected.filter((line) => line.startsWith('process'))).not.toEqual([]);
    expect(expected).toContain('restart.escalated');
    expect(told(whatIf(steps, world.spec).decisions)).toEqual(expected);
  });

  test('a container that dies again and again, likewise', () => {
    const { world, steps } = recording();
    for (let i = 0; i < 4; i += 1) {
      world.killContainer();
      world.report();
      for (let guard = 0; guard < 200 && world.current?.running !== true; guard += 1) {
        world.finishOp();
        world.advance(500);
      }
      world.advance(1_000);
    }
    expect(world.settle()).toBe(true);
    const expected = told(recordedDecisions(steps));
    expect(expected.filter((line) => line.startsWith('container container-exited')).length).toBeGreaterThanOrEqual(3);
    expect(told(whatIf(steps, world.spec).decisions)).toEqual(expected);
  });

  test('other delays and another threshold of escalation', () => {
    const { world, steps } = recording();
    processLoop(world, 5);
    const process = { ...restartPolicy, initialMs: 200, factor: 3, maxMs: 1_000, escalateAfter: null };
    const { decisions, readyAfterMs } = whatIf(steps, workloadFixture({ restart: { ...world.spec.restart, process } }));
    expect(told(decisions)).toEqual([
      'process process-exited 0',
      'process process-exited 200',
      'process process-exited 600',
      'process process-exited 1000',
      'process process-exited 1000',
      'workload.ready',
    ]);
    const recordedReady = recordedDecisions(steps).at(-1);
    expect(recordedReady?.event.kind).toBe('workload.ready');
    expect(readyAfterMs).toBeLessThan(recordedReady?.ms ?? 0);
  });

  test('a live check with a higher threshold goes on failing until that is reached', () => {
    const { world, steps } = recording();
    world.checksPass = false;
    for (let i = 0; i < 3; i += 1) {
      world.report();
      world.advance(1_000);
    }
    world.checksPass = true;
    expect(world.settle()).toBe(true);
    expect(told(recordedDecisions(steps))).toEqual(['process live-failed 0', 'workload.ready']);
    const live = world.spec.live.map((check) => ({ ...check, failures: 6 }));
    const { decisions } = whatIf(steps, workloadFixture({ live }));
    expect(told(decisions)).toEqual(['process live-failed 0', 'workload.ready']);
    expect(decisions[0]?.event.message).toContain('failed 6 times');
    expect(decisions[0]?.ms).toBeGreaterThan(recordedDecisions(steps)[0]?.ms ?? 0);
  });

  test('a dependency that was down is down for as long as it was', () => {
    const { world, steps } = recording();
    world.dependencyUp = false;
    world.killProcess();
    for (let i = 0; i < 20; i += 1) {
      world.finishOp();
      world.advance(1_000);
    }
    world.dependencyUp = true;
    expect(world.settle()).toBe(true);
    const recorded = recordedDecisions(steps).at(-1)?.ms ?? 0;
    expect(whatIf(steps, world.spec).readyAfterMs).toBeGreaterThan(recorded - 3_000);
  });

  test('what is held is looked at again in the time of the new policy', () => {
    const { world, steps } = recording();
    world.killContainer();
    world.report();
    for (let i = 0; i < 2; i += 1) world.finishOp();
    world.finishOp(failureOf('create-rejected', false));
    expect(world.state.phase).toBe('held');
    expect(world.settle()).toBe(true);
    const container = { ...world.spec.restart.container, maxMs: 10_000 };
    const { decisions, readyAfterMs } = whatIf(steps, workloadFixture({ restart: { ...world.spec.restart, container } }));
    expect(told(decisions)).toEqual(['container container-exited 0', 'workload.held', 'workload.ready']);
    expect(recordedDecisions(steps).at(-1)?.ms).toBeGreaterThan(60_000);
    expect(readyAfterMs).toBeLessThan(20_000);
  });
});
