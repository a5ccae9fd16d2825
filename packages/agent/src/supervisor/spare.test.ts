import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { steps as worldSteps } from '../../../../test/support/anything-happens.ts';
import { SimulatedSpare } from '../../../../test/support/simulated-spare.ts';
import { failureOf, SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { offerOf } from './spare-state.ts';
import { compareMs } from './spare.ts';

const spec = workloadFixture({ spare: 'prepared' });

function both(): SimulatedSpare {
  const spare = new SimulatedSpare(new SimulatedWorld(spec));
  spare.world.observe();
  expect(spare.settle()).toBe(true);
  spare.world.ops.length = 0;
  spare.world.events.length = 0;
  spare.ops.length = 0;
  spare.events.length = 0;
  return spare;
}

const kinds = (spare: SimulatedSpare): readonly string[] => spare.ops.map(({ kind }) => kind);
const mainKinds = (spare: SimulatedSpare): readonly string[] => spare.world.ops.map(({ kind }) => kind);
const told = (spare: SimulatedSpare): readonly unknown[] => spare.events.map(({ data }) => data['spare']);
const wait = (spare: SimulatedSpare, ms: number): void => {
  spare.world.advance(ms);
  spare.tick();
  spare.sync();
};

describe('a prepared spare', () => {
  test('is made, mounted and set up beside the workload, once that is ready', () => {
    const spare = new SimulatedSpare(new SimulatedWorld(spec));
    spare.world.observe();
    expect(spare.settle()).toBe(true);
    expect(kinds(spare)).toEqual(['inputs', 'create', 'start', 'mount', 'setup', 'setup']);
    expect(offerOf(spare.state)).toMatchObject({ generation: 2, setup: ['keys', 'caches'], mounts: { bucket: {} } });
    expect(told(spare)).toEqual(['ready']);
    expect(spare.world.processes()).toHaveLength(1);
  });

  test('takes over when the container dies: one start of the process, then the next spare', () => {
    const spare = both();
    const next = spare.state.container?.id;
    spare.world.killContainer();
    expect(spare.settle()).toBe(true);
    expect(mainKinds(spare)).toEqual(['prepare', 'retire', 'take-spare', 'process']);
    expect(spare.world.state).toMatchObject({ generation: 2, container: { id: next }, restarts: { container: 1 } });
    expect(spare.world.events.find(({ kind }) => kind === 'container.created')).toMatchObject({ generation: 2, data: { spare: true } });
    expect(spare.state.container).toMatchObject({ generation: 3 });
    expect(spare.world.containers.filter(({ running }) => running)).toHaveLength(2);
  });

  test('takes over when a restart is asked for, after the present process was stopped', () => {
    const spare = both();
    spare.world.send({ type: 'restart', level: 'container', reason: 'by hand' });
    expect(spare.settle()).toBe(true);
    expect(mainKinds(spare)).toEqual(['prepare', 'stop-runs', 'retire', 'take-spare', 'process']);
  });

  test('is not waited for: the workload goes its own way, and what was half made is thrown away', () => {
    const spare = both();
    spare.world.killContainer();
    for (let i = 0; i < 100 && spare.state.container?.startedAt === null; i += 1) spare.settle(1);
    spare.world.killContainer();
    spare.world.report();
    spare.sync();
    expect(spare.settle()).toBe(true);
    expect(spare.world.containers.filter(({ running }) => running)).toHaveLength(2);
  });

  test('outdated inputs: it is thrown away and made anew, without a failure', () => {
    const spare = both();
    spare.inputs += 1;
    wait(spare, compareMs + 1);
    expect(spare.settle()).toBe(true);
    expect(kinds(spare)).toEqual(['inputs', 'remove', 'inputs', 'create', 'start', 'mount', 'setup', 'setup']);
    expect(told(spare)).toEqual(['discarded', 'ready']);
    expect(spare.state.history.failures).toBe(0);
  });

  test('that could not take over is refused once, and a container is made without it', () => {
    const spare = both();
    spare.world.killContainer();
    spare.world.report();
    spare.sync();
    while (spare.world.pending?.op.kind !== 'take-spare') spare.world.finishOp();
    spare.world.finishOp(failureOf('spare-unusable'));
    spare.sync();
    expect(spare.world.pending?.op).toMatchObject({ kind: 'create', generation: 3 });
    expect(spare.settle()).toBe(true);
    expect(spare.world.state).toMatchObject({ generation: 3, restarts: { container: 1 } });
    expect(spare.state.container?.generation).toBe(4);
  });

  test('a mount that is lost: offered no more, made anew at once, then with growing waits; told once', () => {
    const spare = both();
    spare.loseMount();
    spare.report();
    expect(offerOf(spare.state)).toBeNull();
    spare.sync();
    expect(spare.world.state.spare).toBeNull();
    for (let i = 0; i < 4; i += 1) {
      while (spare.pending?.op.kind !== 'mount') {
        spare.finishOp();
        wait(spare, 60_000);
      }
      spare.finishOp(failureOf('mount-failed'));
    }
    expect(spare.state.phase).toBe('back-off');
    expect(told(spare)).toEqual(['failed', 'failed']);
    expect(spare.state.history.failures).toBe(5);
    expect(spare.settle()).toBe(true);
  });

  test('is adopted by the next agent, and made anew where nobody remembers it', () => {
    const spare = both();
    const before = spare.state.container;
    spare.crashAgent(false, false);
    expect(spare.settle()).toBe(true);
    expect(spare.state.container).toEqual(before);
    expect(kinds(spare)).toEqual(['inputs']);
    spare.crashAgent(false, true);
    expect(spare.settle()).toBe(true);
    expect(spare.state.container?.id).not.toBe(before?.id);
    expect(spare.world.containers).toHaveLength(2);
    expect(mainKinds(spare)).toEqual(['adopt', 'adopt']);
  });

  test('nothing is done for it while the workload is paused', () => {
    const spare = both();
    spare.world.send({ type: 'pause', reason: 'maintenance', until: null });
    spare.sync();
    spare.kill();
    spare.world.observe();
    wait(spare, 600_000);
    expect(spare.pending).toBeNull();
    spare.world.send({ type: 'resume' });
    expect(spare.settle()).toBe(true);
  });

  test('without the option, one that is left over goes', () => {
    const spare = both();
    const world = new SimulatedWorld(workloadFixture());
    world.containers = spare.world.containers;
    world.observe();
    expect(world.settle()).toBe(true);
    expect(world.containers.filter(({ running }) => running)).toHaveLength(1);
    expect(world.state.container?.id).toBe(spare.world.state.container?.id);
  });
});

const spareSteps: Record<string, (spare: SimulatedSpare) => void> = {
  spareOp: (spare) => spare.finishOp(),
  spareOps: (spare) => {
    for (let i = 0; i < 6; i += 1) {
      spare.finishOp();
      spare.sync();
    }
  },
  spareFails: (spare) => spare.finishOp(failureOf('setup-failed')),
  spareFailsForGood: (spare) => spare.finishOp(failureOf('create-rejected', false)),
  spareReport: (spare) => spare.report(),
  killSpare: (spare) => spare.kill(),
  removeSpare: (spare) => spare.remove(),
  loseSpareMount: (spare) => spare.loseMount(),
  inputsChange: (spare) => void (spare.inputs += 1),
};
const agentSteps: Record<string, (spare: SimulatedSpare) => void> = {
  crash: (spare) => spare.crashAgent(false, false),
  crashAfterOp: (spare) => spare.crashAgent(true, false),
  stateLost: (spare) => spare.crashAgent(true, true),
};
const all: Record<string, (spare: SimulatedSpare) => void> = {
  ...Object.fromEntries(Object.entries(worldSteps).map(([name, step]) => [name, (spare: SimulatedSpare) => step(spare.world)])),
  ...spareSteps,
  ...agentSteps,
};

/** Whatever happens, each step is followed by the words of both loops to each other. */
function happen(spare: SimulatedSpare, names: readonly string[]): void {
  for (const name of names) {
    all[name]!(spare);
    spare.sync();
    spare.tick();
    spare.sync();
    expect(spare.world.processes().length, `two processes after ${name}`).toBeLessThanOrEqual(1);
    expect(JSON.parse(JSON.stringify(spare.state))).toEqual(spare.state);
  }
}

const runs = { numRuns: Number(process.env['RELIGHT_PROPERTY_RUNS'] ?? 1_000) };

describe('whatever happens', () => {
  test('never two processes, nothing is left behind, and in the end both are ready', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...Object.keys(all)), { maxLength: 60 }), (names) => {
        const spare = new SimulatedSpare(new SimulatedWorld(spec));
        const { world } = spare;
        world.observe();
        spare.settle(20);
        happen(spare, names);
        world.startEngine(true);
        world.dependencyUp = true;
        world.checksPass = true;
        world.diesAtStart = false;
        world.removeStranger();
        world.send({ type: 'gate', open: true, reason: '' });
        world.send({ type: 'drain-over' });
        world.send({ type: 'resume' });
        world.observe();
        expect(
          spare.settle(4_000),
          `stuck in ${world.state.phase}: ${world.state.reason}; spare ${spare.state.phase}: ${spare.state.reason}`,
        ).toBe(true);
        world.observe();
        spare.sync();
        expect(world.processes()).toHaveLength(1);
        expect(world.containers.filter(({ running }) => running)).toHaveLength(2);
        expect(world.containers.length).toBeLessThanOrEqual(7);
        const generations = world.containers.map(({ generation }) => generation);
        expect([...new Set(generations)]).toEqual(generations);
      }),
      runs,
    );
  });

  test('no trouble of the spare costs the workload anything', () => {
    const troubles = [...Object.keys(spareSteps), 'observe', 'second', 'minutes', 'report', 'crash', 'crashAfterOp'];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...troubles), { maxLength: 60 }), (names) => {
        const spare = both();
        const { container, process, readyAt } = spare.world.state;
        happen(spare, names);
        spare.world.observe();
        spare.world.finishOp();
        spare.sync();
        expect(spare.world.state).toMatchObject({ container, process, readyAt, restarts: { process: 0, container: 0, host: 0 } });
        expect(mainKinds(spare).filter((kind) => kind !== 'adopt')).toEqual([]);
      }),
      runs,
    );
  });
});
