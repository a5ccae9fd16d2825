/** What a life of the agent leaves to the next one. */
import { setImmediate } from 'node:timers/promises';
import { ManualClock } from '@relight/shared/manual-clock';
import { RelightError } from '@relight/shared/errors';
import { expect, it } from 'vitest';
import { FakeEngine } from '../../../test/support/fake-engine.ts';
import { workloadFixture } from '../../../test/support/specs.ts';
import { parseConfig } from './config/load.ts';
import { SecretValues } from './config/secret-values.ts';
import type { VarSpec, WorkloadSpec } from './config/spec.ts';
import { temporaryDirectory } from './control/recorded-io.ts';
import type { Look } from './engine/observer.ts';
import type { LoopOptions } from './loop-options.ts';
import type { Runs } from './stages/runs.ts';
import { WorkloadLoop } from './workload-loop.ts';
import { WorkloadStore } from './workload-store.ts';

const bare = parseConfig('version: 1\nworkloads: []\n', '/etc/relight/agent.yaml', { hostname: 'h' });

const look = (more: Partial<Look> = {}): Look => ({ containers: [], silent: [], afterOutage: false, askedAt: 0, ...more });

function life(stateDir: string, spec: WorkloadSpec, vars: readonly VarSpec[], more: Partial<LoopOptions> = {}): WorkloadLoop {
  const { clock = new ManualClock() } = more;
  const nothing = (): void => {};
  return new WorkloadLoop({
    agent: { ...bare, stateDir, vars },
    spec,
    ownerId: 'owner',
    engine: new FakeEngine({ clock }),
    runs: {},
    prober: () => ({ set: nothing, dispose: nothing }),
    secrets: new SecretValues([]),
    gate: { glance: nothing, confirm: () => Promise.resolve() },
    rebooted: false,
    store: new WorkloadStore(stateDir),
    journal: { record: nothing, flush: nothing, specChanged: nothing },
    clock,
    now: () => clock.monotonic(),
    random: () => 0.5,
    emit: nothing,
    history: { position: 0, since: () => null },
    observe: nothing,
    onChange: nothing,
    ...more,
  } as unknown as LoopOptions);
}

it('what it was worked with is remembered with its variables, also by a life that has not looked at anything yet', () => {
  const stateDir = temporaryDirectory();
  const [before, after] = [workloadFixture({}, { image: 'image:1' }), workloadFixture({}, { image: 'image:2' })];
  const former = { spec: before, vars: [{ name: 'HEAD', value: 'a' }] };
  const first = life(stateDir, before, former.vars);
  first.observed(look(), false, null);
  first.stop();
  for (const reason of ['once', 'and once more']) {
    const next = life(stateDir, after, []);
    expect(next.saved).toMatchObject(former);
    next.send({ type: 'pause', reason, until: null });
    next.stop();
  }
  const compared = life(stateDir, after, []);
  compared.observed(look(), false, null);
  compared.stop();
  expect(life(stateDir, after, []).saved).toMatchObject({ spec: after, vars: [] });
});

/** With nothing inside: it is ready as soon as its container runs. */
const bareSpec = workloadFixture({ mounts: [], setup: [], process: null, ready: [], live: [] }, { image: 'fake:latest' });

/** A loop on an engine whose answers a test holds back as long as it likes. */
function onFakeEngine(spec = bareSpec, runs: Partial<Runs> = {}) {
  const clock = new ManualClock();
  const engine = new FakeEngine({ clock });
  const kinds: string[] = [];
  let asked = 0;
  const loop = life(temporaryDirectory(), spec, [], {
    clock,
    engine,
    runs: runs as Runs,
    emit: ({ kind }) => void kinds.push(kind),
    observe: () => void (asked += 1),
  });
  /** What the engine says now, told later. */
  const seen = async (): Promise<Look> => {
    const askedAt = clock.monotonic();
    const facts = await Promise.all([...engine.containers.keys()].map((id) => engine.inspect(id)));
    return look({ askedAt, containers: facts.filter((container) => container !== null) });
  };
  const pass = async (): Promise<void> => {
    clock.advance(10);
    await setImmediate();
  };
  return { clock, engine, loop, kinds, seen, pass, asked: () => asked };
}

it.each(['nothing', 'one that has not been started'])(
  'a look that was slow has seen %s of what runs by now: it is looked again',
  async (saw) => {
    const { engine, loop, kinds, seen, pass, asked } = onFakeEngine();
    loop.observed(await seen(), false, null);
    const before = await seen();
    for (let turn = 0; turn < 100 && loop.state.phase !== 'ready'; turn += 1) await pass();
    expect(loop.state).toMatchObject({ phase: 'ready', generation: 1 });
    const [made] = (await seen()).containers;
    const notYet = made === undefined ? [] : [{ ...made, status: 'created' as const, pid: 0, startedAt: null }];
    const askedBefore = asked();
    loop.observed({ ...before, containers: saw === 'nothing' ? [] : notYet }, false, null);
    expect(kinds.filter((kind) => kind.startsWith('container.'))).toEqual(['container.created']);
    expect(loop.state).toMatchObject({ phase: 'ready', container: { running: true } });
    expect(asked()).toBe(askedBefore + 1);
    // What a look says that has begun since is taken.
    await pass();
    engine.exit('worker', 3);
    loop.observed(await seen(), false, null);
    expect(kinds.filter((kind) => kind.startsWith('container.'))).toEqual(['container.created', 'container.died']);
    loop.stop();
  },
);

it('a look that began while the container still ran does not say what a command in it failed of', async () => {
  const spec = { ...bareSpec, process: { run: { text: 'ray start --block' }, before: null, stopTimeoutMs: 10_000, maxRuntimeMs: null } };
  const { engine, loop, kinds, seen, pass } = onFakeEngine(spec, {
    start: () => Promise.reject(new RelightError('exec-failed', 'the container has ended', { recoverable: true })),
  });
  loop.observed(await seen(), false, null);
  let before = await seen();
  for (let turn = 0; turn < 100 && loop.state.pendingFailure === null; turn += 1) {
    before = await seen();
    await pass();
  }
  const running = (await seen()).containers;
  loop.observed({ ...before, containers: running }, false, null);
  expect(loop.state.pendingFailure).not.toBeNull();
  await pass();
  engine.exit('worker', 137);
  loop.observed(await seen(), false, null);
  expect(kinds.filter((kind) => kind.startsWith('container.'))).toEqual(['container.created', 'container.died']);
  expect(loop.state.restarts).toEqual({ process: 0, container: 1, host: 0 });
  loop.stop();
});
