import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { acceleratorFault, steps } from '../../../../test/support/anything-happens.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { failureOf, SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import type { WorkloadSpec } from '../config/spec.ts';
import { blankFacts } from '../engine/blank-facts.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import { afterReboot, initialState, type WorkloadState } from './state.ts';
import { transition, wakeAt } from './transition.ts';

function ready(spec: WorkloadSpec = workloadFixture()): SimulatedWorld {
  const world = new SimulatedWorld(spec);
  world.observe();
  expect(world.settle()).toBe(true);
  world.ops.length = 0;
  world.events.length = 0;
  return world;
}

const opKinds = (world: SimulatedWorld): string[] => world.ops.map((op) => op.kind);
const kinds = (world: SimulatedWorld): string[] =>
  world.events.map((event) => event.kind).filter((kind) => kind !== 'workload.phase-changed');

describe('the way to ready', () => {
  test('goes through every stage in order', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.observe();
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['prepare', 'create', 'start', 'mount', 'setup', 'setup', 'process']);
    expect(world.events.filter((event) => event.kind === 'workload.phase-changed').map((event) => event.data['to'])).toEqual([
      'creating',
      'mounting',
      'setting-up',
      'starting',
      'verifying',
      'ready',
    ]);
  });

  test('what is said of ready is what was asked: without a check nothing has passed', () => {
    expect(ready().state.reason).toBe('every readiness check has passed');
    const world = ready(workloadFixture({ ready: [] }));
    expect(world.state.phase).toBe('ready');
    expect(world.state.reason).toBe('everything is in place; no readiness check is configured');
  });

  test('an image that is missing is pulled', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.observe();
    world.finishOp();
    world.finishOp(failureOf('image-not-found', false));
    expect(world.pending?.op.kind).toBe('pull');
    expect(world.settle()).toBe(true);
    expect(world.state.restarts.container).toBe(0);
  });

  test('a mount between two steps is placed there', () => {
    const fixture = workloadFixture();
    const [keys, caches] = fixture.setup;
    const spec = workloadFixture({ setup: [keys!, { kind: 'mount', mount: 'bucket' }, caches!] });
    const world = new SimulatedWorld(spec);
    world.observe();
    world.settle();
    expect(opKinds(world)).toEqual(['prepare', 'create', 'start', 'setup', 'mount', 'setup', 'process']);
  });

  test('a dependency that is down holds without spending budget, and its return is used within a second', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.dependencyUp = false;
    world.observe();
    for (let i = 0; i < 100; i += 1) {
      world.finishOp();
      world.advance(1_000);
    }
    expect(world.state.phase).toBe('waiting');
    expect(world.state.restarts).toEqual({ process: 0, container: 0, host: 0 });
    expect(kinds(world)).toEqual(['check.failed']);
    expect(world.events[0]?.data).toMatchObject({ code: 'dependency-down', countsAsFailure: false });
    expect(opKinds(world)).not.toContain('create');
    world.dependencyUp = true;
    world.finishOp();
    world.advance(1_000);
    world.finishOp();
    expect(opKinds(world)).toContain('create');
  });

  test('a dependency that is asked again remains the reason of the waiting', () => {
    const world = ready();
    world.dependencyUp = false;
    world.killProcess();
    world.finishOp();
    const { reason } = world.state;
    expect(world.state.phase).toBe('waiting');
    world.advance(1_000);
    expect(world.pending?.op.kind).toBe('prepare');
    expect(world.state).toMatchObject({ phase: 'waiting', reason });
  });

  test('what is useless to retry is held, said once, and looked at again slowly or when an image appears', () => {
    const world = new SimulatedWorld(workloadFixture({}, { pullPolicy: 'never' }));
    world.observe();
    world.finishOp();
    world.finishOp(failureOf('image-not-found', false));
    expect(world.state.phase).toBe('held');
    for (let i = 0; i < 5; i += 1) {
      world.advance(60_000);
      world.finishOp();
      world.finishOp(failureOf('image-not-found', false));
    }
    expect(kinds(world)).toEqual(['workload.held']);
    world.send({ type: 'image-changed' });
    expect(world.settle()).toBe(true);
  });
});

describe('failures', () => {
  test('a killed process is started again in the same container, at once', () => {
    const world = ready();
    const { containerId, at } = { containerId: world.state.container?.id, at: world.now };
    world.killProcess(137);
    expect(world.pending?.op.kind).toBe('prepare');
    expect(world.now).toBe(at);
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['look', 'prepare', 'process']);
    expect(world.state.container?.id).toBe(containerId);
    expect(world.state.restarts).toEqual({ process: 1, container: 0, host: 0 });
  });

  test('a dead container is set aside and a new generation made; its process dying with it counts once', () => {
    const world = ready();
    world.killContainer();
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['prepare', 'retire', 'create', 'start', 'mount', 'setup', 'setup', 'process']);
    expect(world.state.generation).toBe(2);
    expect(world.state.restarts).toEqual({ process: 0, container: 1, host: 0 });
    expect(world.containers).toHaveLength(2);
  });

  test('on_death: start starts the same container and lets each verify decide', () => {
    const world = ready(workloadFixture({}, { onDeath: 'start' }));
    const id = world.state.container?.id;
    world.killContainer();
    expect(world.settle()).toBe(true);
    expect(world.state.container?.id).toBe(id);
    expect(world.ops.filter((op) => op.kind === 'setup').map((op) => op.verifyFirst)).toEqual([true, true]);
  });

  test('a lost mount is placed again before its dependents are stopped', () => {
    const world = ready();
    world.loseMount();
    world.report();
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['prepare', 'stop-runs', 'mount', 'stop-runs', 'process']);
    expect(kinds(world)).toContain('mount.lost');
  });

  test('a mount that is lost again and again is placed at once each time it has worked, in the same container', () => {
    const world = ready();
    const id = world.state.container?.id;
    const delays = Array.from({ length: 6 }, () => {
      world.advance(60_000);
      world.loseMount();
      world.report();
      const delay = world.events.findLast((event) => event.kind === 'restart.scheduled')?.data['delayMs'];
      expect(world.settle()).toBe(true);
      return delay;
    });
    expect(delays).toEqual([0, 0, 0, 0, 0, 0]);
    expect(world.state.container?.id).toBe(id);
    expect(world.state.restarts).toEqual({ process: 6, container: 0, host: 0 });
  });

  test('a mount that dies at once each time is slowed down', () => {
    const world = ready();
    const delays = Array.from({ length: 8 }, () => {
      world.loseMount();
      world.report();
      const delay = Number(world.events.findLast((event) => event.kind === 'restart.scheduled')?.data['delayMs']);
      world.settle();
      return delay;
    });
    expect(delays[0]).toBe(0);
    expect(delays.at(-1)).toBeGreaterThan(20_000);
  });

  test('an exit every time: back-off as configured, a new container after N, slow retries at the cap, one budget event each', () => {
    const world = ready();
    const delays: number[] = [];
    for (let i = 0; i < 30; i += 1) {
      world.killProcess();
      const scheduled = world.events.findLast((event) => event.kind === 'restart.scheduled');
      delays.push(Number(scheduled?.data['delayMs']));
      for (let step = 0; step < 200 && world.state.process === null; step += 1) {
        world.finishOp();
        if (world.state.process === null) world.advance(1_000);
      }
    }
    expect(delays.slice(0, 3)).toEqual([0, 1_000, 1_000]);
    expect(world.state.restarts.container).toBe(10);
    const escalated = world.events
      .filter((event) => event.kind === 'restart.escalated')
      .map(({ data }) => `${String(data['from'])} ${String(data['to'])}`);
    expect(escalated.slice(0, 2)).toEqual(['process container-start', 'container-start container-recreate']);
    expect(escalated.filter((step) => step.endsWith('person'))).toEqual(['container-recreate person']);
    expect(escalated).toHaveLength(11);
    expect(Math.max(...delays)).toBe(60_000);
    expect(world.settle()).toBe(true);
  });

  test('healthy for reset_after: the next failure acts at once again', () => {
    const world = ready();
    world.killProcess();
    world.settle();
    world.advance(600_000);
    world.events.length = 0;
    world.killProcess();
    expect(world.events.find((event) => event.kind === 'restart.scheduled')?.data).toMatchObject({ delayMs: 0, attempt: 1 });
  });

  test('a live check acts at its threshold, and degrades before', () => {
    const world = ready();
    world.checksPass = false;
    world.report();
    expect(world.state.phase).toBe('degraded');
    world.report();
    expect(world.state.process).not.toBeNull();
    world.report();
    expect(world.pending?.op.kind).toBe('stop-runs');
    world.checksPass = true;
    expect(world.settle()).toBe(true);
    expect(kinds(world).filter((kind) => kind === 'check.failed')).toHaveLength(1);
  });

  test('readiness that never comes restarts the process with the failing check as the reason', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.checksPass = false;
    world.observe();
    for (let i = 0; i < 10; i += 1) {
      world.finishOp();
      world.report();
    }
    expect(world.state.phase).toBe('verifying');
    world.advance(180_000);
    expect(world.events.find((event) => event.kind === 'restart.scheduled')?.message).toContain('not ready within 3 m 00 s: tcp: refused');
  });
});

describe('the engine', () => {
  test('unreachable is unknown, never died; nothing is done meanwhile', () => {
    const world = ready();
    world.stopEngine();
    world.report();
    world.advance(600_000);
    world.report();
    expect(world.state.phase).toBe('unknown');
    expect(kinds(world)).toEqual([]);
    world.startEngine(true);
    world.report();
    expect(world.state.phase).toBe('ready');
    expect(opKinds(world)).toEqual([]);
  });

  test('containers that fell with it come back without cost', () => {
    const world = ready();
    world.stopEngine();
    world.report();
    world.startEngine(false);
    expect(world.settle()).toBe(true);
    expect(world.state.restarts).toEqual({ process: 0, container: 0, host: 0 });
    expect(world.events.find((event) => event.kind === 'container.died')?.data['code']).toBe('engine-restarted');
    expect(world.events.filter((event) => event.data['countsAsFailure'] === true)).toEqual([]);
  });
});

describe('the host', () => {
  test('its closed gate holds back what has not begun, without cost; open, it goes on at once', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.send({ type: 'gate', open: false, reason: 'apt is busy' });
    world.observe();
    world.advance(600_000);
    expect(world.state).toMatchObject({ phase: 'waiting', reason: 'apt is busy', restarts: { process: 0, container: 0, host: 0 } });
    expect(world.ops).toEqual([]);
    world.send({ type: 'gate', open: true, reason: '' });
    expect(world.pending?.op.kind).toBe('prepare');
    expect(world.settle()).toBe(true);
  });

  test('a gate that closes while an attempt begins: nothing is counted, nothing waits longer than the gate', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.observe();
    expect(world.pending?.op.kind).toBe('prepare');
    world.send({ type: 'gate', open: false, reason: 'apt is busy' });
    world.finishOp(failureOf('gate-closed'));
    expect(world.state).toMatchObject({ op: null, phase: 'waiting', reason: 'apt is busy', backOff: null, held: null });
    expect(world.events.filter(({ data }) => data['countsAsFailure'] === true)).toEqual([]);
    world.send({ type: 'gate', open: true, reason: '' });
    expect(world.state.op?.op.kind).toBe('prepare');
  });

  test('what fell with the machine is brought back uncounted, and so is what the reboot has swept away', () => {
    for (const gone of [false, true]) {
      const world = ready();
      let seen: readonly ContainerFacts[] = [];
      world.onObserved = (containers) => void (seen = containers);
      world.observe();
      const containers = seen.map((facts) => ({ ...facts, status: 'exited' as const, pid: 0, exitCode: 255, finishedAt: world.now }));
      world.send({ type: 'observed', containers: gone ? [] : containers, afterOutage: true, afterBoot: true });
      expect(world.state.restarts).toEqual({ process: 0, container: 0, host: 0 });
      const said = world.events.find(({ kind }) => kind === (gone ? 'container.removed' : 'container.died'));
      expect(said).toMatchObject({ severity: 'warning', data: { code: 'host-rebooted' } });
      expect(world.events.findLast(({ kind }) => kind === 'restart.scheduled')).toMatchObject({
        data: { code: 'host-rebooted', countsAsFailure: false },
      });
      expect(world.state.op?.op.kind).toBe('prepare');
    }
    expect(afterReboot(initialState(0)).restarts).toEqual({ process: 0, container: 0, host: 1 });
  });

  test('a gate that closes leaves alone what runs, and an attempt that is inside the container already', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.observe();
    for (let i = 0; i < 4; i += 1) world.finishOp();
    world.send({ type: 'gate', open: false, reason: 'apt is busy' });
    expect(world.settle()).toBe(true);
    world.killProcess();
    expect(world.state).toMatchObject({ phase: 'waiting', reason: 'apt is busy' });
    expect(world.pending).toBeNull();
  });

  test('a machine about to go away: nothing is restarted and nothing counted; when it stays, all is put right at once', () => {
    const world = ready();
    world.send({ type: 'drain', reason: 'preempted by the cloud', until: world.now + 120_000 });
    expect(world.state.phase).toBe('ready');
    world.killProcess();
    world.advance(60_000);
    world.report();
    expect(world.pending).toBeNull();
    expect(world.state).toMatchObject({ phase: 'waiting', reason: 'preempted by the cloud' });
    expect(world.state.restarts).toEqual({ process: 0, container: 0, host: 0 });
    world.advance(60_000);
    expect(world.settle()).toBe(true);
    expect(kinds(world)).not.toContain('restart.scheduled');
  });

  test('out of memory, the container lives on: its process is started anew, told and counted once', () => {
    const world = ready();
    const id = world.state.container?.id;
    world.oom(true);
    world.report();
    expect(world.pending?.op.kind).toBe('stop-runs');
    expect(world.settle()).toBe(true);
    expect(world.state).toMatchObject({ container: { id }, restarts: { process: 1, container: 0, host: 0 } });
    expect(kinds(world).filter((kind) => kind === 'container.oom')).toHaveLength(1);
    const scheduled = world.events.find(({ kind }) => kind === 'restart.scheduled');
    expect(scheduled?.data).toMatchObject({ code: 'process-oom', level: 'process', countsAsFailure: true });
    expect(scheduled?.message).toContain('python3 (pid 4711)');
  });

  test('out of memory and the process itself is what was killed: one failure, with its cause', () => {
    const world = ready();
    world.send({ type: 'oom', process: { pid: 4_711, name: 'python3' }, constraint: 'host' });
    world.killProcess(137);
    expect(world.settle()).toBe(true);
    expect(world.state.restarts).toEqual({ process: 1, container: 0, host: 0 });
    expect(world.events.find(({ kind }) => kind === 'process.exited')?.data).toMatchObject({ code: 'process-oom' });
  });

  test('out of memory and the container dies of it: one failure of the container', () => {
    const world = ready();
    world.oom(false);
    expect(world.settle()).toBe(true);
    expect(world.state.restarts).toEqual({ process: 0, container: 1, host: 0 });
    expect(world.events.find(({ kind }) => kind === 'container.died')?.data).toMatchObject({ code: 'container-oom' });
  });

  test('a lost accelerator gets a new container, a faulty one of the host is held', () => {
    const world = ready();
    world.send(acceleratorFault('gpu-lost', 'container', true));
    world.send(acceleratorFault('gpu-lost', 'container', true));
    expect(world.settle()).toBe(true);
    expect(world.state).toMatchObject({ generation: 2, restarts: { process: 0, container: 1, host: 0 } });
    world.send(acceleratorFault('gpu-driver-mismatch', 'host', false));
    world.send(acceleratorFault('gpu-driver-mismatch', 'host', false));
    expect(world.state.phase).toBe('held');
    expect(kinds(world).filter((kind) => kind === 'workload.held')).toHaveLength(1);
    expect(world.current?.running).toBe(true);
  });
});

describe('somebody else', () => {
  test('renames the container: it gets its name back and goes on', () => {
    const world = ready();
    const { readyAt, container } = world.state;
    world.renameContainer();
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['rename']);
    expect(kinds(world)).toEqual(['host.notice']);
    expect(world.state).toMatchObject({ readyAt, container });
    expect(world.current?.id).toBe(container?.id);
  });

  test('takes its name: degraded until the name is free', () => {
    const world = ready();
    world.renameContainer();
    world.addStranger();
    world.report();
    expect(world.state).toMatchObject({ phase: 'degraded', reason: expect.stringContaining('does not manage') as string });
    world.removeStranger();
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['rename']);
  });

  test('holds the name before it is created: held, and tried at once when the name is free', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.addStranger();
    world.observe();
    world.finishOp();
    world.finishOp();
    world.report();
    expect(world.state.phase).toBe('held');
    world.removeStranger();
    world.report();
    expect(world.pending?.op.kind).toBe('prepare');
  });

  test('holds the name, and then somebody else does: the reason is the present one', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.addStranger();
    world.observe();
    world.finishOp();
    world.finishOp();
    world.report();
    expect(world.pending).toBeNull();
    world.addStranger('stranger-2');
    world.report();
    expect(world.pending?.op.kind).toBe('prepare');
    world.finishOp();
    world.finishOp();
    world.report();
    expect(world.state).toMatchObject({ phase: 'held', held: { failure: { data: { holderId: 'stranger-2' } } } });
    expect(world.pending).toBeNull();
  });

  test('it is there, but by its label of another agent, for this one has another id now: held, and nobody removed anything', () => {
    const world = ready();
    const { container, spec } = { container: world.state.container, spec: world.spec };
    const labels = { 'relight.agent': 'this host before', 'relight.workload': spec.name, 'relight.generation': '1' };
    const facts: ContainerFacts = { ...blankFacts, id: container?.id ?? '', name: spec.container.name, labels, status: 'running', pid: 51 };
    world.send({ type: 'observed', containers: [facts], afterOutage: false });
    expect(kinds(world)).not.toContain('container.removed');
    expect(world.state).toMatchObject({ phase: 'held', container: null, held: { failure: { code: 'name-conflict' } } });
    expect(world.state.reason).toMatch(/is held by another Relight agent \(this host before, .*under another id.*docker rm -f/);
    expect(world.pending).toBeNull();
    // A person does as told.
    world.containers = [];
    world.send({ type: 'observed', containers: [], afterOutage: false });
    expect(world.settle()).toBe(true);
    expect(world.state.phase).toBe('ready');
  });

  test('starts a container that was set aside: it is removed', () => {
    const world = ready();
    world.killContainer();
    world.settle();
    world.startRetired();
    world.observe();
    expect(world.containers.filter((container) => container.running)).toHaveLength(1);
    expect(world.settle()).toBe(true);
    expect(world.state.generation).toBe(2);
  });
});

test('a container that ends as soon as it is started has died, of its exit code, at its own level', () => {
  const world = new SimulatedWorld(workloadFixture());
  world.diesAtStart = true;
  world.observe();
  for (let i = 0; i < 40; i += 1) {
    world.finishOp();
    world.report();
    world.advance(1_000);
  }
  const scheduled = world.events.filter((event) => event.kind === 'restart.scheduled');
  expect(scheduled.slice(0, 3).map(({ data }) => [data['level'], data['delayMs']])).toEqual([
    ['container', 1_000],
    ['container', 2_000],
    ['container', 4_000],
  ]);
  expect(scheduled[0]?.message).toContain('exited with code 3');
  expect(kinds(world).filter((kind) => kind === 'container.died')).toHaveLength(scheduled.length);
  world.diesAtStart = false;
  expect(world.settle()).toBe(true);
});

describe('a check that the engine left unanswered', () => {
  const unanswered = (world: SimulatedWorld): void => {
    for (let i = 0; i < 5; i += 1)
      world.send({ type: 'check', list: 'live', name: 'health', ok: false, message: 'the engine did not answer', unanswered: true });
  };

  test('counts for nothing when the engine is away', () => {
    const world = ready();
    world.stopEngine();
    unanswered(world);
    world.report();
    world.startEngine(true);
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual([]);
    expect(kinds(world)).toEqual([]);
  });

  test('counts once for each time that the engine answers all the same', () => {
    const world = ready();
    for (let i = 0; i < 3; i += 1) {
      unanswered(world);
      expect(world.pending).toBeNull();
      world.observe();
    }
    expect(world.pending?.op.kind).toBe('stop-runs');
  });
});

test('a container that died while the engine hung: its process dying with it is not counted, however late the engine says so', () => {
  const world = ready();
  const { process } = world.state;
  world.send({ type: 'run-exited', runId: process?.runId ?? '', exitCode: null, signal: null, containerAlive: false, lastLines: [] });
  world.send({ type: 'engine-lost', reason: 'no answer' });
  world.advance(20_000);
  world.observe();
  expect(world.pending).toBeNull();
  world.killContainer();
  expect(world.settle()).toBe(true);
  expect(world.state.restarts).toEqual({ process: 0, container: 1, host: 0 });
});

test('an engine that still calls a dead container running is asked again after a pause, once: it is busy enough with its end', () => {
  const spec = workloadFixture();
  const world = ready(spec);
  const { process } = world.state;
  world.send({ type: 'run-exited', runId: process?.runId ?? '', exitCode: null, signal: null, containerAlive: false, lastLines: [] });
  world.observe();
  const at = wakeAt(world.state, { spec }) ?? 0;
  expect(at - world.now).toBe(250);
  const tick = (state: WorkloadState, now: number) => transition(state, { type: 'tick' }, { now, random: 0.5, spec, ownerId: 'owner' });
  expect(tick(world.state, at - 1).effects).toEqual([]);
  const asked = tick(world.state, at);
  expect(asked.effects).toEqual([{ kind: 'observe' }]);
  expect(tick(asked.state, at + 1_000).effects).toEqual([]);
});

describe('the engine says nothing about the container alone', () => {
  const silence = { type: 'container-silent', reason: 'it says nothing about the container' } as const;

  test('unknown: nothing is begun whatever happens meanwhile, nothing is made anew, and what lived on is as it was', () => {
    const world = ready();
    world.send(silence);
    expect(world.state).toMatchObject({ phase: 'unknown', reason: silence.reason });
    const { container, readyAt } = world.state;
    world.killProcess();
    world.send({ type: 'restart', level: 'container', reason: 'test' });
    world.advance(600_000);
    world.send(silence);
    expect({ pending: world.pending, ops: opKinds(world) }).toEqual({ pending: null, ops: [] });
    expect(world.state).toMatchObject({ phase: 'unknown', container: { id: container?.id } });
    expect(readyAt).not.toBeNull();
  });

  test('answered again, it is ready without anything done', () => {
    const world = ready();
    const before = structuredClone({ container: world.state.container, process: world.state.process, restarts: world.state.restarts });
    world.send(silence);
    world.advance(600_000);
    world.observe();
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual([]);
    expect({ container: world.state.container, process: world.state.process, restarts: world.state.restarts }).toEqual(before);
  });

  test('while our own hand is at the container, its end tells', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.observe();
    while (world.pending?.op.kind !== 'start') world.finishOp();
    world.send(silence);
    expect(world.state.phase).toBe('creating');
    expect(world.settle()).toBe(true);
  });

  test('an engine that then falls silent as a whole is what is told, and the other way round', () => {
    const world = ready();
    world.send(silence);
    world.send({ type: 'engine-lost', reason: 'refused' });
    expect(world.state.reason).toBe('the engine does not answer: refused');
    world.send(silence);
    expect(world.state.reason).toBe(silence.reason);
    expect(world.events.filter(({ kind, data }) => kind === 'workload.phase-changed' && data['to'] === 'unknown')).toHaveLength(1);
  });
});

describe('adoption', () => {
  test('an agent killed and started again restarts nothing', () => {
    const world = ready();
    const before = structuredClone({ container: world.state.container, process: world.state.process, readyAt: world.state.readyAt });
    world.crashAgent(false, false);
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['adopt']);
    expect({ container: world.state.container, process: world.state.process, readyAt: world.state.readyAt }).toEqual(before);
    expect(kinds(world)).toEqual(['container.adopted']);
  });

  test('with the state directory lost, labels and RELIGHT_RUN are enough', () => {
    const world = ready();
    const { container, process, mounts, nextRun } = structuredClone(world.state);
    world.crashAgent(false, true);
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['adopt']);
    expect(world.state).toMatchObject({ container, process, mounts });
    expect(world.state.nextRun).toBeLessThanOrEqual(nextRun);
    expect(world.state.nextRun).toBeGreaterThan(1);
  });
});

describe('a step cut off in the middle', () => {
  test('what is left of it is stopped before it runs again', () => {
    const world = new SimulatedWorld(workloadFixture());
    world.observe();
    for (let i = 0; i < 4; i += 1) world.finishOp();
    const cut = world.pending?.op;
    expect(cut).toMatchObject({ kind: 'setup', index: 0 });
    world.current?.runs.push({ ...(cut as Extract<typeof cut, { kind: 'setup' }>).run, pid: 9_999, startTicks: 9_999 });
    world.crashAgent(false, false);
    world.ops.length = 0;
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['prepare', 'stop-runs', 'setup', 'setup', 'process']);
    expect(world.current?.runs.some((run) => run.kind === 'setup')).toBe(false);
  });
});

describe('by hand', () => {
  test('pause leaves everything alone, resume puts right what broke meanwhile', () => {
    const world = ready();
    world.send({ type: 'pause', reason: 'maintenance', until: null });
    world.killContainer();
    world.report();
    world.advance(3_600_000);
    expect(world.pending).toBeNull();
    expect(world.state.phase).toBe('paused');
    world.send({ type: 'resume' });
    expect(world.settle()).toBe(true);
    expect(world.state.restarts.container).toBe(0);
  });

  test('a pause that gets another end says so, one that is only repeated does not', () => {
    const world = ready();
    world.send({ type: 'pause', reason: 'maintenance', until: null });
    world.send({ type: 'pause', reason: 'maintenance', until: null });
    world.send({ type: 'pause', reason: 'maintenance', until: world.now + 60_000 });
    expect(kinds(world)).toEqual(['workload.paused', 'workload.paused']);
    world.advance(61_000);
    world.report();
    expect(world.state.phase).toBe('ready');
  });

  test('a pause ends by itself', () => {
    const world = ready();
    const until = world.now + 60_000;
    world.send({ type: 'pause', reason: 'maintenance', until });
    expect(world.events.find(({ kind }) => kind === 'workload.paused')?.data).toEqual({ until: new Date(until).toISOString() });
    world.advance(59_000);
    expect(world.state.phase).toBe('paused');
    world.advance(2_000);
    world.report();
    expect(world.state.phase).toBe('ready');
  });

  test('resume tries at once what is held, and what waits for its next attempt', () => {
    const held = new SimulatedWorld(workloadFixture({}, { pullPolicy: 'never' }));
    held.observe();
    held.finishOp();
    held.finishOp(failureOf('image-not-found', false));
    expect(held.state.phase).toBe('held');
    held.send({ type: 'resume' });
    expect(held.pending?.op.kind).toBe('prepare');
    expect(held.settle()).toBe(true);

    const waiting = ready();
    waiting.killProcess();
    waiting.settle();
    waiting.killProcess();
    expect(waiting.state.phase).toBe('back-off');
    waiting.send({ type: 'resume' });
    expect(waiting.pending?.op.kind).toBe('prepare');
    expect(kinds(waiting)).not.toContain('workload.resumed');
  });

  test('where no process is configured, a restart is one of the container and says so', () => {
    const world = ready(workloadFixture({ process: null, live: [] }));
    world.send({ type: 'restart', level: 'process', reason: 'by hand' });
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toContain('create');
    expect(world.events.find((event) => event.kind === 'restart.scheduled')).toMatchObject({ data: { level: 'container' } });
  });

  test('a restart costs no budget and needs no back-off', () => {
    const world = ready();
    world.send({ type: 'restart', level: 'container', reason: 'by hand' });
    expect(world.settle()).toBe(true);
    expect(opKinds(world)).toEqual(['prepare', 'stop-runs', 'retire', 'create', 'start', 'mount', 'setup', 'setup', 'process']);
    expect(world.state.restarts).toEqual({ process: 0, container: 0, host: 0 });
    expect(world.events.filter((event) => event.data['countsAsFailure'] === true)).toEqual([]);
  });
});

describe('whatever happens', () => {
  const anything = fc.array(fc.constantFrom(...Object.keys(steps)), { maxLength: 60 });
  const fixtures = fc.constantFrom(
    workloadFixture(),
    workloadFixture({}, { onDeath: 'start' }),
    workloadFixture({ process: null, live: [] }),
    workloadFixture({ mounts: [], setup: [], ready: [] }),
    workloadFixture({ dependsOn: [{ kind: 'tcp', address: 'head:6379', timeoutMs: 1_000 }] }),
    workloadFixture({ process: { ...workloadFixture().process!, maxRuntimeMs: 900_000 } }, { envFile: ['/etc/secrets.env'] }),
  );

  test('one operation at a time, never two processes, and in the end it is useful again', () => {
    fc.assert(
      fc.property(fixtures, anything, (spec, names) => {
        const world = new SimulatedWorld(spec);
        world.observe();
        for (const name of names) {
          steps[name]!(world);
          invariants(world);
        }
        world.startEngine(true);
        world.dependencyUp = true;
        world.checksPass = true;
        world.diesAtStart = false;
        world.removeStranger();
        world.send({ type: 'gate', open: true, reason: '' });
        world.send({ type: 'drain-over' });
        world.send({ type: 'resume' });
        world.observe();
        expect(world.settle(3_000), `stuck in ${world.state.phase}: ${world.state.reason}`).toBe(true);
        expect(world.processes()).toHaveLength(spec.process === null ? 0 : 1);
        expect(world.containers.filter((container) => container.running)).toHaveLength(1);
        expect(world.containers.length).toBeLessThanOrEqual(6);
      }),
      { numRuns: Number(process.env['RELIGHT_PROPERTY_RUNS'] ?? 2_000) },
    );
  });

  function invariants(world: SimulatedWorld): void {
    const { state } = world;
    expect(state.phase !== 'ready' || state.readyAt !== null, 'ready without a time').toBe(true);
    expect(state.readyAt === null || state.container !== null, 'ready without a container').toBe(true);
    expect(state.reason).not.toBe('');
    expect(JSON.parse(JSON.stringify(state))).toEqual(state);
  }
});
