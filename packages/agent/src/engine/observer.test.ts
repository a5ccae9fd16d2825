/** A look at the engine, with an engine that says what the test wants. */
import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { ContainerFacts, Engine } from './engine.ts';
import { EngineObserver } from './observer.ts';

const facts = (id: string): ContainerFacts =>
  ({ id, name: id, labels: { 'relight.agent': 'me' }, status: 'running' }) as unknown as ContainerFacts;

class World {
  readonly clock = new ManualClock();
  listing: () => Promise<string[]> = () => Promise.resolve(['one', 'two']);
  stuck = new Set<string>();
  asked: string[] = [];
  looks: { containers: string[]; unanswered: string[] }[] = [];
  lost: string[] = [];
  readonly observer: EngineObserver;

  constructor() {
    const engine = {
      list: () => this.listing(),
      inspect: async (id: string) => {
        this.asked.push(id);
        if (this.stuck.has(id)) throw new RelightError('engine-timeout', 'inspect: no answer within 5 s');
        return facts(id);
      },
      events: (signal: AbortSignal, onOpen: () => void) => opened(signal, onOpen),
    } as unknown as Engine;
    this.observer = new EngineObserver({
      engine,
      clock: this.clock,
      logger: pino({ enabled: false }),
      ownerId: 'me',
      names: [],
      afterBoot: false,
      onObserved: (containers, _, unanswered) => this.looks.push({ containers: containers.map(({ id }) => id), unanswered: [...unanswered] }),
      onLost: (reason) => this.lost.push(reason),
      onEvent: () => {},
    });
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      this.clock.advance(50);
      for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
    }
  }
}

/** A stream that opens and then says nothing. */
async function* opened(signal: AbortSignal, onOpen: () => void): AsyncGenerator<never> {
  onOpen();
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  yield* [];
}

test('a container that the engine says nothing about is silent alone, never gone, and heard again when it answers', async () => {
  const world = new World();
  world.stuck.add('two');
  world.observer.start();
  await world.pass(200);
  expect(world.looks.at(-1)).toEqual({ containers: ['one'], unanswered: ['two'] });
  expect(world.lost).toEqual([]);
  expect(world.observer.up).toBe(true);
  world.stuck.delete('two');
  await world.pass(2_000);
  expect(world.looks.at(-1)).toEqual({ containers: ['one', 'two'], unanswered: [] });
  world.observer.stop();
});

test('looks do not wait for it: it is asked beside them, once a second at most', async () => {
  const world = new World();
  world.stuck.add('two');
  world.observer.start();
  await world.pass(100);
  world.asked = [];
  await world.pass(30_000);
  const asked = world.asked.filter((id) => id === 'two').length;
  expect(asked).toBeGreaterThan(20);
  expect(asked).toBeLessThanOrEqual(31);
  expect(world.looks.length).toBeGreaterThan(2);
  world.observer.stop();
});

test('one that is no longer listed is not waited for', async () => {
  const world = new World();
  world.stuck.add('two');
  world.observer.start();
  await world.pass(200);
  world.listing = () => Promise.resolve(['one']);
  await world.pass(11_000);
  expect(world.looks.at(-1)).toEqual({ containers: ['one'], unanswered: [] });
  world.observer.stop();
});

test('an engine that does not list is lost as a whole', async () => {
  const world = new World();
  world.listing = () => Promise.reject(new RelightError('engine-timeout', 'list: no answer within 5 s'));
  world.observer.start();
  await world.pass(100);
  expect(world.lost.length).toBeGreaterThan(0);
  expect(world.looks).toEqual([]);
  world.observer.stop();
});
