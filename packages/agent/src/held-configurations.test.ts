import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it } from 'vitest';
import { FakeEngine } from '../../../test/support/fake-engine.ts';
import { workloadFixture } from '../../../test/support/specs.ts';
import { parseConfig } from './config/load.ts';
import type { AgentSpec, VarSpec, WorkloadSpec } from './config/spec.ts';
import { HeldConfigurations, type HoldingLoop } from './held-configurations.ts';
import type { ReportedCondition } from './host/condition-diff.ts';
import { initialState, type WorkloadState } from './supervisor/state.ts';
import type { SavedConfiguration } from './workload-store.ts';

const bare = parseConfig('version: 1\nworkloads: []\n', '/etc/relight/agent.yaml', { hostname: 'h' });
const of = (image: string, more: Partial<WorkloadSpec> = {}): WorkloadSpec => workloadFixture(more, { image });
const literal = (name: string, value: string): VarSpec => ({ name, value });

class Loop implements HoldingLoop {
  agent: AgentSpec = bare;
  spec: WorkloadSpec;
  saved: SavedConfiguration | null;
  state: WorkloadState = { ...initialState(0), generation: 1, engine: { up: true, reason: '', since: 0 } };

  constructor(spec: WorkloadSpec, saved: WorkloadSpec | null = spec) {
    this.spec = spec;
    this.saved = saved === null ? null : { spec: saved };
  }

  reconfigure(agent: AgentSpec, spec: WorkloadSpec): void {
    this.agent = agent;
    this.spec = spec;
  }
}

function world(images: readonly string[] = ['image:1'], known: readonly string[] = []) {
  const clock = new ManualClock();
  const engine = new FakeEngine({ clock, images });
  const told: string[] = [];
  const hidden: string[] = [];
  const file = { agent: bare };
  let conditions: readonly Pick<ReportedCondition, 'subject'>[] = known.map((subject) => ({ subject }));
  const held = new HeldConfigurations({
    engine,
    clock,
    now: () => clock.monotonic(),
    random: () => 0.5,
    agent: () => file.agent,
    text: (_, text) => text,
    hide: (has, wanted, vars) =>
      hidden.push([has, wanted].map(({ container }) => container.image).join(' ') + vars.map(({ name }) => ` $${name}`).join('')),
    emit: ({ message }) => told.push(message),
    report: (list) => {
      conditions = list;
    },
    reported: () => conditions,
    observe: () => {},
    onChange: () => {},
  });
  const answered = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
  };
  return { clock, engine, held, told, hidden, file, conditions: () => conditions, answered };
}

it('what needs no image, and what has it, is taken at once', async () => {
  const { held, engine, told } = world(['image:1', 'image:2']);
  const loop = new Loop(of('image:1'));
  for (const wanted of [of('image:1', { readyWindowMs: 1 }), of('image:2')]) {
    await held.offer([{ loop, wanted }]);
    expect(loop.spec).toBe(wanted);
    expect(held.status('worker')).toBeNull();
  }
  expect(engine.calls).toEqual(['hasImage image:2']);
  expect(told).toEqual([]);
});

it('what wants an image that is not here waits until it is, with the secrets of both hidden', async () => {
  const { held, engine, told, hidden, conditions, answered } = world();
  const [loop, wanted] = [new Loop(of('image:1')), of('image:2')];
  await held.offer([{ loop, wanted }]);
  await answered();
  expect(loop.spec.container.image).toBe('image:1');
  expect(hidden).toEqual(['image:1 image:2']);
  expect(held.inForce().get('worker')).toBe(loop.spec);
  expect(held.status('worker')).toMatchObject({ image: 'image:2', reason: expect.stringContaining('image-not-found') as unknown });
  expect(conditions()).toMatchObject([{ name: 'image-missing', subject: 'worker', severity: 'warning' }]);
  engine.images.add('image:2');
  held.imageChanged();
  await answered();
  expect(loop.spec).toBe(wanted);
  expect(hidden).toEqual(['image:1 image:2', 'image:2 image:2']);
  expect([held.status('worker'), conditions(), held.inForce().size]).toEqual([null, [], 0]);
  expect(told.at(-1)).toBe('the new configuration is taken up: the image image:2 is here');
});

it('the configuration as it was ends the wait without a word and without a change', async () => {
  const { held, told, conditions, answered, clock, engine } = world();
  const before = of('image:1');
  const loop = new Loop(before);
  await held.offer([{ loop, wanted: of('image:2') }]);
  await answered();
  const [words, calls] = [told.length, engine.calls.length];
  await held.offer([{ loop, wanted: of('image:1') }]);
  clock.advance(3_600_000);
  await answered();
  expect(loop.spec).toEqual(before);
  expect([told.length, engine.calls.length, held.status('worker'), conditions()]).toEqual([words, calls, null, []]);
});

it('a third configuration takes the place of the one that waits; the same one again only tries once more', async () => {
  const { held, engine, told, answered } = world();
  const loop = new Loop(of('image:1'));
  for (const image of ['image:2', 'image:3', 'image:3']) {
    await held.offer([{ loop, wanted: of(image) }]);
    await answered();
  }
  expect(held.status('worker')?.image).toBe('image:3');
  expect(told.filter((message) => message.includes('waits for the image'))).toHaveLength(2);
  expect(engine.calls.filter((call) => call === 'pull image:3')).toHaveLength(2);
  engine.images.add('image:2');
  held.imageChanged();
  await answered();
  expect(loop.spec.container.image).toBe('image:1');
});

it('what is held meanwhile has nothing to lose any more; what only has to be pulled itself goes on', async () => {
  const { held, told, answered } = world();
  const [loop, wanted] = [new Loop(of('image:1')), of('image:2')];
  await held.offer([{ loop, wanted }]);
  await answered();
  // The engine's disk was emptied by a reboot: what ran can be had again, what is wanted cannot.
  loop.state = { ...loop.state, container: null, needsPull: true };
  held.changed('worker');
  await answered();
  expect(loop.spec.container.image).toBe('image:1');
  const failure = { code: 'image-not-found', message: '', recoverable: false, advice: '', data: {} } as const;
  loop.state = { ...loop.state, held: { failure, retryAt: 0, looks: 0 } };
  held.changed('worker');
  await answered();
  expect(loop.spec).toBe(wanted);
  expect(told.at(-1)).toContain('cannot go on under the configuration before');
});

it('what is over its time has nothing to lose either, and nobody says that it could not go on', async () => {
  const { held, told, answered } = world();
  const [loop, wanted] = [new Loop(of('image:1')), of('image:2')];
  await held.offer([{ loop, wanted }]);
  await answered();
  loop.state = { ...loop.state, finished: { at: 0, reason: 'max_runtime' } };
  held.changed('worker');
  await answered();
  expect(loop.spec).toBe(wanted);
  expect(told.at(-1)).toBe(
    'the new configuration is taken up: without the image image:2: its time under the configuration before is over (process.max_runtime)',
  );
});

it.each(['offer', 'begin'] as const)(
  'an agent that goes while the engine is asked pulls nothing more, and resolves nothing (%s)',
  async (which) => {
    const { held, engine, conditions, answered } = world(['image:1'], ['worker']);
    const [before, wanted] = [of('image:1'), of('image:2')];
    const loop = which === 'begin' ? new Loop(wanted, before) : new Loop(before);
    const under = which === 'begin' ? held.begin([loop]) : held.offer([{ loop, wanted }]);
    held.stop();
    await under;
    await answered();
    expect(loop.spec).toBe(before);
    expect(engine.calls).toEqual(['hasImage image:2']);
    expect([held.status('worker'), conditions()]).toMatchObject([null, [{ subject: 'worker' }]]);
  },
);

it('paused, nothing is pulled and nothing taken; resumed, it is tried at once', async () => {
  const { held, engine, answered } = world();
  const [loop, wanted] = [new Loop(of('image:1')), of('image:2')];
  loop.state = { ...loop.state, pause: { since: 0, until: null, reason: 'a disk is swapped' } };
  await held.offer([{ loop, wanted }]);
  await answered();
  expect(engine.calls).toEqual(['hasImage image:2']);
  expect(held.status('worker')?.reason).toContain('a disk is swapped');
  engine.images.add('image:2');
  held.imageChanged();
  await answered();
  expect(loop.spec.container.image).toBe('image:1');
  loop.state = { ...loop.state, pause: null };
  held.changed('worker');
  await answered();
  expect(loop.spec).toBe(wanted);
});

it('a gate that comes and goes asks no registry each time: after a pull that failed its time is waited for, unless a person wants it now', async () => {
  const { held, engine, clock, answered } = world();
  const [loop, wanted] = [new Loop(of('image:1')), of('image:2')];
  await held.offer([{ loop, wanted }]);
  await answered();
  const pulls = (): number => engine.calls.filter((call) => call === 'pull image:2').length;
  const flap = async (): Promise<void> => {
    for (const open of [false, true]) {
      loop.state = { ...loop.state, gate: { open, reason: open ? '' : 'a package manager works' } };
      held.changed('worker');
      await answered();
    }
  };
  expect(pulls()).toBe(1);
  for (let times = 0; times < 50; times += 1) await flap();
  expect(pulls()).toBe(1);
  const { nextAttemptAt = null } = held.status('worker') ?? {};
  expect(nextAttemptAt).toBeGreaterThan(clock.monotonic());
  clock.advance((nextAttemptAt ?? 0) - clock.monotonic());
  await answered();
  expect(pulls()).toBe(2);
  held.tryNow('worker');
  await answered();
  expect(pulls()).toBe(3);
  // Its time came while the gate was closed: it is tried when it opens, once.
  loop.state = { ...loop.state, gate: { open: false, reason: 'a package manager works' } };
  held.changed('worker');
  clock.advance(24 * 3_600_000);
  await answered();
  expect(pulls()).toBe(3);
  for (let times = 0; times < 50; times += 1) await flap();
  expect(pulls()).toBe(4);
  engine.images.add('image:2');
  held.imageChanged();
  await answered();
  expect(loop.spec).toBe(wanted);
});

it('an agent that starts meanwhile goes on with what was saved, and resolves no alert', async () => {
  const { held, conditions, answered, engine } = world(['image:1'], ['worker']);
  const saved = of('image:1');
  const loop = new Loop(of('image:2'), saved);
  loop.state = { ...loop.state, engine: { up: false, reason: 'not asked yet', since: 0 } };
  await held.begin([loop]);
  await answered();
  expect(loop.spec).toBe(saved);
  expect(engine.calls).toEqual(['hasImage image:2']);
  expect(conditions()).toMatchObject([{ subject: 'worker' }]);
});

it.each<readonly [string, readonly string[], WorkloadSpec | null]>([
  ['with its image here', ['image:2'], of('image:1')],
  ['of which nothing was saved', [], null],
  ['that is as it was saved', [], of('image:2')],
])('an agent that starts takes up a workload %s', async (_, images, saved) => {
  const { held, conditions } = world(images, ['worker']);
  const loop = new Loop(of('image:2'), saved);
  await held.begin([loop]);
  expect([loop.spec.container.image, held.status('worker'), conditions()]).toEqual(['image:2', null, []]);
});

it('what an engine does not say is here is not taken', async () => {
  const { held, engine } = world(['image:1', 'image:2']);
  engine.fail('hasImage', 'engine-unreachable');
  const loop = new Loop(of('image:1'));
  await held.offer([{ loop, wanted: of('image:2') }]);
  expect(loop.spec.container.image).toBe('image:1');
});

it('who waits keeps the variables that the file has no more, and hears of the others', async () => {
  const { held, file, engine, answered } = world();
  const loop = new Loop(of('image:1'));
  loop.agent = { ...bare, vars: [literal('HEAD', 'a'), literal('OLD', 'b')] };
  file.agent = { ...bare, vars: [literal('HEAD', 'c')] };
  await held.offer([{ loop, wanted: of('image:2') }]);
  expect(loop.agent.vars).toEqual([literal('HEAD', 'c'), literal('OLD', 'b')]);
  engine.images.add('image:2');
  held.tryNow('worker');
  await answered();
  held.imageChanged();
  await answered();
  expect(loop.agent.vars).toEqual([literal('HEAD', 'c')]);
});

it('in a new life of the agent it keeps those of the life before, which must not be shown either, until it is taken up', async () => {
  const { held, file, engine, hidden, answered } = world();
  const saved = of('image:1');
  const loop = new Loop(of('image:2'));
  loop.saved = { spec: saved, vars: [literal('HEAD', 'a'), literal('OLD', 'b')] };
  file.agent = { ...bare, vars: [literal('HEAD', 'c')] };
  loop.agent = file.agent;
  await held.begin([loop]);
  expect([loop.spec, loop.agent.vars]).toEqual([saved, [literal('HEAD', 'c'), literal('OLD', 'b')]]);
  expect(hidden).toEqual(['image:1 image:2 $HEAD $OLD']);
  await answered();
  engine.images.add('image:2');
  held.imageChanged();
  await answered();
  expect(loop.agent.vars).toEqual([literal('HEAD', 'c')]);
});

it('a workload that is taken out waits for nothing', async () => {
  const { held, conditions, answered, engine } = world();
  const loop = new Loop(of('image:1'));
  await held.offer([{ loop, wanted: of('image:2') }]);
  await answered();
  held.drop('worker');
  engine.images.add('image:2');
  held.imageChanged();
  held.changed('worker');
  await answered();
  expect([loop.spec.container.image, conditions()]).toEqual(['image:1', []]);
});
