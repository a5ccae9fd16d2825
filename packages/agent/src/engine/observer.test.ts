/** Looks at an engine that says what the test wants. */
import { delay } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { CallOptions, ContainerFacts, Engine } from './engine.ts';
import { EngineObserver } from './observer.ts';

class World {
  readonly clock = new ManualClock();
  containers = ['one', 'two'];
  /** What gives no answer until its deadline: ids for an inspect, `list` for a list. */
  readonly stuck = new Set<string>();
  readonly asked: string[] = [];
  /** That were listed. */
  readonly names: string[] = [];
  /** Without our label. */
  readonly strangers = new Set<string>();
  /** What else is so of a container. */
  readonly facts = new Map<string, Partial<ContainerFacts>>();
  /** Calls to an earlier engine process are never answered. */
  engineProcess = 1;
  /** A list has been answered. */
  onListed: () => void = () => {};
  /** Calls never end, not even at their deadline. */
  hangs = false;
  /** A defect of ours, behind what was seen. */
  defect: Error | null = null;
  readonly seen: (string | { readonly containers: readonly string[]; readonly silent: readonly string[] })[] = [];
  /** That have ended. */
  looks = 0;
  readonly observer: EngineObserver;

  constructor() {
    this.observer = new EngineObserver({
      engine: this.#engine(),
      clock: this.clock,
      logger: pino({ enabled: false }),
      ownerId: 'me',
      names: () => ['name of two'],
      afterBoot: false,
      onObserved: ({ containers, silent }) => {
        this.seen.push({ containers: containers.map(({ id }) => id), silent: silent.map(({ id, name }) => `${id} (${name})`) });
        if (this.defect !== null) throw this.defect;
      },
      onLost: (reason) => this.seen.push(reason),
      onEvent: () => {},
      onLooked: () => (this.looks += 1),
    });
  }

  #engine(): Engine {
    const call = async <T>(what: string, { timeoutMs = 10_000, signal }: CallOptions, answer: () => T, name?: string): Promise<T> => {
      this.asked.push(what);
      if (name !== undefined) this.names.push(name);
      const { engineProcess } = this;
      if (this.hangs) await new Promise(() => {});
      for (const until = this.clock.monotonic() + timeoutMs; this.stuck.has(what) || engineProcess !== this.engineProcess;) {
        if (this.clock.monotonic() >= until) throw new RelightError('engine-timeout', `${what}: no answer`);
        await delay(this.clock, 50, signal);
      }
      return answer();
    };
    const partial: Pick<Engine, 'list' | 'inspect' | 'events'> = {
      list: ({ name }, options = {}) =>
        call(
          'list',
          options,
          () => {
            this.onListed();
            return name === undefined ? this.containers.filter((id) => !this.strangers.has(id)) : this.#holders(name);
          },
          name,
        ),
      inspect: (id, options = {}) =>
        call(id, options, () => (this.containers.includes(id) ? { ...facts(id), ...this.facts.get(id) } : null)),
      events: opened,
    };
    return partial as Engine;
  }

  #holders(name: string): string[] {
    return this.containers.filter((id) => name === (this.facts.get(id)?.name ?? `name of ${id}`));
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      this.clock.advance(50);
      for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
    }
  }

  async started(): Promise<this> {
    this.observer.start();
    await this.pass(100);
    if (this.seen.length === 0) throw new Error('there was no first look');
    return this;
  }
}

const facts = (id: string): ContainerFacts =>
  ({ id, name: `name of ${id}`, labels: { 'relight.agent': 'me' }, status: 'running' }) as unknown as ContainerFacts;

/** A stream that opens and then says nothing. */
async function* opened(signal: AbortSignal, onOpen: () => void): AsyncGenerator<never> {
  onOpen();
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  yield* [];
}

test('a name is listed only while no container that runs is known to have it', async () => {
  const world = await new World().started();
  expect(world.names).toEqual(['name of two']);
  await world.pass(30_000);
  expect(world.names).toHaveLength(1);
  expect(world.seen.at(-1)).toEqual({ containers: ['one', 'two'], silent: [] });
  world.facts.set('two', { status: 'exited' });
  await world.pass(30_000);
  expect(world.names.length).toBeGreaterThanOrEqual(3);
  world.observer.stop();
});

test.each([
  ['removed', (world: World) => void (world.containers = ['one', 'stranger'])],
  ['renamed', (world: World) => void (world.facts.set('two', { name: 'another' }), (world.containers = ['one', 'two', 'stranger']))],
])('who has the name of a container that was %s is seen with the same look', async (_, happens) => {
  const world = await new World().started();
  world.strangers.add('stranger');
  world.facts.set('stranger', { name: 'name of two', labels: {} });
  happens(world);
  const looks = world.seen.length;
  await world.pass(11_000);
  expect(world.seen.slice(looks)).toEqual([{ containers: world.containers, silent: [] }]);
  world.observer.stop();
});

const twoIsSilent = { containers: ['one'], silent: ['two (name of two)'] };

test('one container about which the engine says nothing is silent alone, and heard again as soon as there is an answer', async () => {
  const world = await new World().started();
  world.stuck.add('two');
  await world.pass(16_000);
  expect(world.seen.slice(-1)).toEqual([twoIsSilent]);
  expect(world.seen.filter((look) => typeof look === 'string')).toEqual([]);
  expect(world.observer.up).toBe(true);
  world.stuck.delete('two');
  await world.pass(200);
  expect(world.seen.at(-1)).toEqual({ containers: ['one', 'two'], silent: [] });
  world.observer.stop();
});

test('looks do not wait for it, and the engine does not gather askers: one call a minute', async () => {
  const world = await new World().started();
  world.stuck.add('two');
  await world.pass(16_000);
  world.asked.length = 0;
  const looks = world.seen.length;
  await world.pass(300_000);
  expect(world.seen.length - looks).toBeGreaterThanOrEqual(29);
  const asked = world.asked.filter((what) => what === 'two').length;
  expect(asked).toBeGreaterThanOrEqual(4);
  expect(asked).toBeLessThanOrEqual(5);
  world.observer.stop();
});

test('it is told with the first look already, also by an agent that has never seen it', async () => {
  const world = new World();
  world.stuck.add('two');
  world.observer.start();
  await world.pass(6_000);
  expect(world.seen).toEqual([twoIsSilent]);
  world.observer.stop();
});

test('one that is no longer listed is gone, and nobody asks for it any more', async () => {
  const world = await new World().started();
  world.stuck.add('two');
  await world.pass(16_000);
  world.containers = ['one'];
  await world.pass(11_000);
  expect(world.seen.at(-1)).toEqual({ containers: ['one'], silent: [] });
  world.asked.length = 0;
  await world.pass(120_000);
  expect(world.asked).not.toContain('two');
  world.observer.stop();
});

test('an engine that hangs as a whole is lost, and of no container is said that it is silent', async () => {
  const world = await new World().started();
  for (const what of ['list', 'one', 'two']) world.stuck.add(what);
  await world.pass(40_000);
  expect(world.seen.slice(1).every((look) => look === 'list: no answer')).toBe(true);
  world.stuck.clear();
  const looks = world.seen.length;
  await world.pass(6_500);
  expect(world.seen.slice(looks).find((look) => typeof look !== 'string')).toEqual({ containers: ['one', 'two'], silent: [] });
  world.observer.stop();
});

test('one that begins to hang between its list and its other answers is lost as a whole, too', async () => {
  const world = await new World().started();
  world.onListed = () => ['list', 'one', 'two'].forEach((what) => world.stuck.add(what));
  await world.pass(40_000);
  expect(world.seen.slice(1).length).toBeGreaterThan(0);
  expect(world.seen.slice(1).every((look) => look === 'list: no answer')).toBe(true);
  world.observer.stop();
});

test('what was silent before the engine went away is asked about anew when it is back', async () => {
  const world = await new World().started();
  world.stuck.add('two');
  await world.pass(16_000);
  world.stuck.add('list');
  await world.pass(20_000);
  expect(world.seen.at(-1)).toBe('list: no answer');
  world.engineProcess = 2;
  world.stuck.clear();
  await world.pass(6_500);
  expect(world.seen.at(-1)).toEqual({ containers: ['one', 'two'], silent: [] });
  world.observer.stop();
});

test('a defect of ours in what is made of an answer is no silence of the engine', async () => {
  const world = new World();
  world.defect = new Error('a defect');
  await world.started();
  expect(world.observer.up).toBe(true);
  await world.pass(9_000);
  expect(world.seen).toHaveLength(1);
  await world.pass(2_000);
  expect(world.seen).toEqual([
    { containers: ['one', 'two'], silent: [] },
    { containers: ['one', 'two'], silent: [] },
  ]);
});

test('when it looked last, and how long that took, is known of bad looks as well', async () => {
  const world = new World();
  expect(world.observer.lastLook).toBeNull();
  await world.started();
  expect(world.observer.lastLook).toEqual({ endedAt: expect.any(Number) as number, tookMs: 50 });
  world.stuck.add('list');
  await world.pass(20_000);
  expect(world.observer.lastLook?.tookMs).toBeGreaterThanOrEqual(5_000);
  expect(world.clock.monotonic() - (world.observer.lastLook?.endedAt ?? 0)).toBeLessThan(10_000);
});

test('every look ends, also one that the engine does not answer; one that hangs by a defect of ours does not', async () => {
  const world = await new World().started();
  expect(world.looks).toBe(1);
  await world.pass(10_000);
  expect(world.looks).toBe(2);
  world.stuck.add('list');
  await world.pass(40_000);
  expect(world.looks).toBeGreaterThanOrEqual(6);
  world.hangs = true;
  await world.pass(10_000);
  const { looks } = world;
  await world.pass(120_000);
  expect(world.looks).toBe(looks);
  world.observer.stop();
});
