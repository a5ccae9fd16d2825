/** Why something failed decides what is done about it: held or tried again, at which level, and who is asked first. */
import { describe, expect, test } from 'vitest';
import { failureOf, SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { WorkloadSpec } from '../config/spec.ts';
import { dependencyAskMs } from './dependency.ts';
import { lookAfterMs } from './hold.ts';
import { durable, restore } from './state.ts';
import { workloadStatus } from './status.ts';

const mismatch = 'RuntimeError: Version mismatch: The cluster was started with: Ray 2.9.3, Python 3.10.12';
const depending = workloadFixture({ dependsOn: [{ kind: 'tcp', address: 'head:6379', timeoutMs: 1_000 }] });

function ready(spec: WorkloadSpec = workloadFixture()): SimulatedWorld {
  const world = new SimulatedWorld(spec);
  world.observe();
  expect(world.settle()).toBe(true);
  world.ops.length = 0;
  world.events.length = 0;
  return world;
}

const kinds = (world: SimulatedWorld): string[] =>
  world.events.map((event) => event.kind).filter((kind) => kind !== 'workload.phase-changed');
const opKinds = (world: SimulatedWorld): string[] => world.ops.map((op) => op.kind);
const counted = (world: SimulatedWorld): number => world.events.filter(({ data }) => data['countsAsFailure'] === true).length;
const ofKind = (world: SimulatedWorld, kind: string) => world.events.filter((event) => event.kind === kind);

/** Goes on until the process runs, and then ends it with these words. */
function diesSaying(world: SimulatedWorld, line: string): void {
  for (let i = 0; i < 400 && world.state.process === null; i += 1) {
    world.finishOp();
    if (world.state.process === null) world.advance(1_000);
  }
  world.lastLines = ['Starting', line, 'bye'];
  world.killProcess(1);
  world.lastLines = [];
}

describe('what is useless to repeat', () => {
  test('is held at once, told once with code, level, cause and advice, and tried again ever more slowly', () => {
    const world = ready();
    diesSaying(world, mismatch);
    expect(world.state.phase).toBe('held');
    expect(kinds(world)).toEqual(['process.exited', 'workload.held']);
    expect(ofKind(world, 'workload.held')[0]).toMatchObject({
      message: expect.stringContaining(mismatch) as string,
      data: {
        code: 'version-mismatch',
        level: 'process',
        recoverable: false,
        exitCode: 1,
        advice: expect.stringContaining('same image') as string,
      },
    });
    const pauses = Array.from({ length: 6 }, () => {
      const from = world.now;
      const until = world.state.held?.retryAt ?? 0;
      world.advance(until - from);
      diesSaying(world, mismatch.replace('2.9.3', '2.9.4'));
      return until - from;
    });
    expect(pauses).toEqual([60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
    expect(ofKind(world, 'workload.held')).toHaveLength(1);
    expect(counted(world)).toBe(0);
    expect(lookAfterMs(3_600_000, 0)).toBe(3_600_000);
  });

  test('is tried at once when what it was made from is different now', () => {
    const world = ready(workloadFixture({}, { envFile: ['/etc/secrets.env'] }));
    diesSaying(world, mismatch);
    world.ops.length = 0;
    world.send({ type: 'inputs-changed', what: ['/etc/secrets.env'], container: true });
    expect(world.pending?.op.kind).toBe('prepare');
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toContain('create');
    expect(ofKind(world, 'restart.scheduled')[0]).toMatchObject({ data: { code: 'inputs-changed', countsAsFailure: false } });
  });

  test('inputs that change while nothing is held concern nobody', () => {
    const world = ready();
    const { state } = world;
    world.send({ type: 'inputs-changed', what: ['/etc/secrets.env'], container: true });
    expect(world.state).toEqual(state);
  });

  test('a full disk is not churned on', () => {
    const world = ready();
    diesSaying(world, 'OSError: [Errno 28] No space left on device');
    expect(world.state).toMatchObject({ phase: 'held', held: { failure: { code: 'disk-full' } } });
  });
});

describe('what is worth one more try', () => {
  test('a taken address: purged and started once more, then held; a stable run makes it worth a try again', () => {
    const world = ready();
    diesSaying(world, "bind on address ('0.0.0.0', 6379): address already in use");
    expect(world.state.phase).not.toBe('held');
    world.finishOp();
    expect(world.pending?.op).toMatchObject({ kind: 'process', remedy: 'address-in-use' });
    diesSaying(world, "bind on address ('0.0.0.0', 6379): address already in use");
    expect(world.state).toMatchObject({ phase: 'held', reason: expect.stringContaining('tried once more already') as string });
    expect(ofKind(world, 'workload.held')[0]?.data).toMatchObject({ code: 'address-in-use', retries: 1 });
    world.send({ type: 'resume' });
    expect(world.settle()).toBe(true);
    expect(world.state.remedy).toBeNull();
    world.advance(700_000);
    diesSaying(world, 'Address already in use');
    expect(world.state.phase).not.toBe('held');
  });

  test('a shell that was there before: the container has lost it, and a new one is tried once before it is the image', () => {
    const world = ready();
    const noShell = failureOf('exec-failed', false);
    const startFails = (): void => {
      world.killProcess(1);
      for (let i = 0; i < 20 && world.pending?.op.kind !== 'process'; i += 1) {
        world.finishOp();
        world.advance(1_000);
      }
      world.finishOp(noShell);
      world.report();
    };
    startFails();
    expect(world.state.phase).not.toBe('held');
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(expect.arrayContaining(['retire', 'create']) as string[]);
    startFails();
    expect(world.state).toMatchObject({ phase: 'held', held: { failure: { code: 'exec-failed' } } });
  });

  test('rejected credentials: the secret is read anew, which takes a new container when it comes from an env file', () => {
    const world = ready(workloadFixture({}, { envFile: ['/etc/secrets.env'] }));
    diesSaying(world, 'HTTP Error 401: Unauthorized');
    world.ops.length = 0;
    diesSaying(world, 'HTTP Error 401: Unauthorized');
    expect(opKinds(world)).toContain('create');
    expect(world.state).toMatchObject({ phase: 'held', held: { failure: { code: 'auth-failed' } } });
  });

  test('the holder of the port is named', () => {
    const world = ready();
    world.send({
      type: 'run-exited',
      runId: world.state.process?.runId ?? '',
      exitCode: 1,
      signal: null,
      containerAlive: true,
      lastLines: ['listen tcp :8265: bind: address already in use'],
      portHolder: 'python3 (pid 4711)',
    });
    expect(ofKind(world, 'process.exited')[0]).toMatchObject({
      message: expect.stringContaining('port 8265 is held by python3 (pid 4711)') as string,
      data: { code: 'address-in-use', holder: 'python3 (pid 4711)' },
    });
  });
});

describe('up, with memory', () => {
  const steps = (world: SimulatedWorld): string[] =>
    ofKind(world, 'restart.escalated').map(
      ({ data }) => `${String(data['from'])} > ${String(data['to'])} after ${String(data['failures'])}`,
    );

  test('process, the same container started again, a new one, a person; each explained, verify deciding what is redone', () => {
    const world = ready();
    const id = world.state.container?.id;
    const until = (count: number): void => {
      for (let i = 0; i < 60 && steps(world).length < count; i += 1) diesSaying(world, 'boom');
    };
    until(1);
    world.ops.length = 0;
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['prepare', 'halt', 'start', 'mount', 'setup', 'setup', 'process']);
    expect(world.ops.flatMap((op) => (op.kind === 'setup' ? [op.verifyFirst] : []))).toEqual([true, true]);
    expect(world.state.container?.id).toBe(id);
    until(2);
    expect(world.settle()).toBe(true);
    expect(world.state.generation).toBe(2);
    until(3);
    world.settle();
    expect(world.state.generation).toBe(3);
    for (let i = 0; i < 40 && !steps(world).some((step) => step.includes('person')); i += 1) diesSaying(world, 'boom');
    expect([...new Set(steps(world))]).toEqual([
      'process > container-start after 3',
      'container-start > container-recreate after 3',
      'container-recreate > container-recreate after 3',
      'container-recreate > person after 6',
    ]);
    const exhausted = ofKind(world, 'restart.budget-exhausted').map(({ severity, data }) => `${severity} ${String(data['level'])}`);
    expect(exhausted).toContain('critical container');
    expect(ofKind(world, 'restart.escalated')[0]?.data).toMatchObject({ code: 'process-exited', level: 'container' });
  });

  test('a stable run forgets how far it went', () => {
    const world = ready();
    for (let i = 0; i < 3; i += 1) diesSaying(world, 'boom');
    expect(world.settle()).toBe(true);
    expect(world.state.rung).toBe('container-start');
    world.advance(700_000);
    world.report();
    expect(world.state.rung).toBe('process');
  });

  test('on_death: start: one container that dies three times in a row is not started a third time', () => {
    const world = ready(workloadFixture({}, { onDeath: 'start' }));
    const generations = Array.from({ length: 3 }, () => {
      world.killContainer();
      expect(world.settle()).toBe(true);
      return world.state.generation;
    });
    expect(generations).toEqual([1, 1, 2]);
    expect(steps(world)).toEqual(['container-start > container-recreate after 3']);
  });

  test('killed between its own stop and start of the container, the agent goes on and blames nobody', () => {
    const world = ready();
    for (let i = 0; i < 3; i += 1) diesSaying(world, 'boom');
    for (let i = 0; i < 20 && world.pending?.op.kind !== 'start'; i += 1) {
      world.finishOp();
      if (world.pending === null) world.advance(1_000);
    }
    world.crashAgent(true, false);
    expect(world.settle()).toBe(true);
    expect(world.state.foreignRestarts).toBe(0);
    expect(world.state.generation).toBe(1);
  });
});

describe('a dependency', () => {
  test('that is down explains the death of the process: nothing counted, one event, however often it is asked', () => {
    const world = ready(depending);
    world.dependencyUp = false;
    world.killProcess();
    for (let i = 0; i < 60; i += 1) {
      world.finishOp();
      world.advance(1_000);
    }
    expect(world.state).toMatchObject({ phase: 'waiting', waitingFor: 'dependency-down', restarts: { process: 0, container: 0, host: 0 } });
    expect(kinds(world)).toEqual(['process.exited', 'check.failed']);
    expect(world.state.history.process.failures).toBe(0);
    expect(workloadStatus(world.state, world.spec, null, null).waitingFor).toBe('dependency-down');
    world.dependencyUp = true;
    const back = world.now;
    while (world.state.attempt?.prepared !== true) {
      world.finishOp();
      if (world.pending === null) world.advance(50);
    }
    expect(world.now - back).toBeLessThanOrEqual(1_000);
    expect(world.settle()).toBe(true);
    expect(kinds(world).slice(2)).toEqual(['check.recovered', 'process.started', 'workload.ready']);
  });

  test('that is lost during setup explains a step that fails of it', () => {
    const world = new SimulatedWorld(depending);
    world.observe();
    while (world.pending?.op.kind !== 'setup') world.finishOp();
    world.dependencyUp = false;
    world.finishOp(failureOf('setup-failed'));
    world.observe();
    expect(world.pending?.op.kind).toBe('prepare');
    world.finishOp();
    expect(world.state).toMatchObject({ phase: 'waiting', restarts: { process: 0, container: 0, host: 0 } });
    expect(counted(world)).toBe(0);
    world.dependencyUp = true;
    expect(world.settle()).toBe(true);
    expect(world.state.restarts).toEqual({ process: 0, container: 0, host: 0 });
  });

  test('that answers excuses nothing: the failure counts, and what was resolved for the question serves the attempt', () => {
    const world = ready(depending);
    world.killProcess();
    expect(counted(world)).toBe(0);
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['look', 'prepare', 'process']);
    expect(world.state.restarts.process).toBe(1);
    expect(ofKind(world, 'restart.scheduled')[0]?.data).toMatchObject({ delayMs: 0, attempt: 1, attempts: 10 });
  });

  test('with a delay before the next attempt, all is resolved anew', () => {
    const world = ready(depending);
    for (let i = 0; i < 2; i += 1) {
      world.killProcess();
      world.settle();
    }
    expect(opKinds(world)).toEqual(['look', 'prepare', 'process', 'look', 'prepare', 'prepare', 'process']);
  });

  test('that is down excuses a failing live check, and what runs is left alone', () => {
    const world = ready(depending);
    world.dependencyUp = false;
    world.checksPass = false;
    for (let i = 0; i < 20; i += 1) {
      world.report();
      world.finishOp();
    }
    expect(world.state.process).not.toBeNull();
    expect(world.state.phase).toBe('degraded');
    expect(counted(world)).toBe(0);
    expect(ofKind(world, 'check.failed').filter(({ data }) => data['code'] === 'dependency-down')).toHaveLength(1);
    world.dependencyUp = true;
    for (let i = 0; i < 4; i += 1) {
      world.report();
      world.finishOp();
    }
    expect(world.state.restarts.process).toBe(1);
  });

  test('is asked by a whole fleet no more than 1,000 times a second; a small one asks it within the second', () => {
    for (const size of [1, 8, 500, 1_000, 10_000, 100_000]) expect((size * 1_000) / dependencyAskMs(size)).toBeLessThanOrEqual(1_563);
    for (const size of [1_000, 10_000, 100_000]) expect((size * 1_000) / dependencyAskMs(size)).toBeLessThanOrEqual(1_000);
    expect(dependencyAskMs(8) * 1.25).toBeLessThan(1_000);
    const world = new SimulatedWorld(depending);
    world.dependencyUp = false;
    world.send({ type: 'fleet', size: 10_000 });
    world.observe();
    world.finishOp();
    expect((world.state.backOff?.until ?? 0) - world.now).toBe(10_000);
  });
});

describe('an end that is wanted', () => {
  const hour = 3_600_000;
  const limited = workloadFixture({ process: { ...workloadFixture().process!, maxRuntimeMs: hour } });

  test('max_runtime: stopped in order, not started again, until somebody says so', () => {
    const world = ready(limited);
    world.advance(hour);
    expect(world.pending?.op).toMatchObject({ kind: 'stop-runs', graceful: true });
    world.finishOp();
    world.advance(hour);
    world.report();
    expect(world.pending).toBeNull();
    expect(world.state).toMatchObject({ phase: 'stopped', reason: expect.stringContaining('max_runtime') as string, process: null });
    expect(counted(world)).toBe(0);
    world.killContainer();
    world.report();
    expect(world.pending).toBeNull();
    expect(world.state.phase).toBe('stopped');
    world.send({ type: 'resume' });
    expect(world.settle()).toBe(true);
    expect(world.state.phase).toBe('ready');
  });

  test('its time goes on over a new start of the agent, and begins anew with a new process', () => {
    const world = ready(limited);
    world.advance(hour - 60_000);
    world.crashAgent(false, false);
    world.settle();
    world.advance(61_000);
    expect(world.pending?.op.kind).toBe('stop-runs');
    world.finishOp();
    world.send({ type: 'restart', level: 'process', reason: 'once more' });
    expect(world.settle()).toBe(true);
    world.advance(hour - 60_000);
    expect(world.state.phase).toBe('ready');
  });
});

describe('what is counted', () => {
  test('recoveries that were tried and that succeeded, across a new start of the agent', () => {
    const world = ready();
    expect(world.state.recoveries).toEqual({ attempted: 1, succeeded: 1 });
    world.killProcess();
    world.finishOp();
    world.crashAgent(false, false);
    expect(world.settle()).toBe(true);
    expect(world.state.recoveries).toEqual({ attempted: 2, succeeded: 2 });
    world.killProcess();
    world.advance(1_000);
    world.finishOp();
    world.finishOp(failureOf('process-exited'));
    world.observe();
    expect(world.settle()).toBe(true);
    expect(world.state.recoveries).toEqual({ attempted: 4, succeeded: 3 });
  });

  test('restarts by hand are seen and not counted; those by somebody else have a count of their own', () => {
    const world = ready();
    world.send({ type: 'restart', level: 'process', reason: 'new keys' });
    world.settle();
    expect(world.state.restarts).toEqual({ process: 0, container: 0, host: 0 });
    world.restartedByOthers();
    expect(world.settle()).toBe(true);
    expect(world.state).toMatchObject({ foreignRestarts: 1, restarts: { process: 0, container: 0, host: 0 } });
  });

  test('a mount whose daemon ends while nobody looks is placed again before anything is started', () => {
    const world = ready();
    world.killProcess();
    world.endMountRun(1);
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toContain('mount');
    expect(world.state.restarts.process).toBe(1);
  });
});

describe('a memory that is older than what is there', () => {
  /** The agent was killed, and what it has done since `old` was never written down. */
  function withOldMemory(fault: (world: SimulatedWorld) => void): SimulatedWorld {
    const world = ready();
    const old = durable(world.state);
    world.killContainer();
    expect(world.settle()).toBe(true);
    fault(world);
    world.state = restore(old, world.now, 60_000);
    world.ops.length = 0;
    world.events.length = 0;
    world.observe();
    expect(world.settle()).toBe(true);
    return world;
  }

  test('the newer container runs: it is adopted by its labels, and nothing is restarted', () => {
    const world = withOldMemory(() => {});
    expect(world.state.generation).toBe(2);
    expect(opKinds(world)).not.toContain('process');
    expect(opKinds(world)).not.toContain('create');
  });

  test('the newer container is dead, and has the name: it is set aside as any other', () => {
    const world = withOldMemory(({ current }) => {
      if (current !== undefined) Object.assign(current, { running: false, exitCode: 137, runs: [] });
    });
    expect(opKinds(world).filter((kind) => kind === 'create')).toEqual(['create']);
    expect(world.state.generation).toBe(3);
    expect(counted(world)).toBe(1);
  });
});
