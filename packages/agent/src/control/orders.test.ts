/** In which order actions reach the supervisors when the engine is slow, and asked before restarts. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { SupervisorEvent } from '../supervisor/event.ts';
import type { WorkloadState } from '../supervisor/state.ts';
import type { ActionOutcome } from './action.ts';
import { Orders } from './orders.ts';

type Given = Parameters<Orders['give']>[0];

const names = ['a', 'b', 'c'];

class World {
  readonly sent = new Map<string, string[]>(names.map((name) => [name, []]));
  /** Questions that the engine has not answered, by the images that they are about. */
  readonly asked: { readonly images: string; readonly answer: (absent: ReadonlySet<string>) => void }[] = [];
  readonly orders = new Orders({
    loops: new Map(
      names.map((name) => [
        name,
        {
          spec: workloadFixture({}, { image: name }),
          state: { container: { running: true } as WorkloadState['container'], pause: null },
          send: (event: SupervisorEvent) => void this.sent.get(name)?.push('reason' in event ? event.reason : event.type),
        },
      ]),
    ),
    engineAway: () => null,
    absent: (images) => {
      const { promise, resolve } = Promise.withResolvers<ReadonlySet<string>>();
      this.asked.push({ images: images.join(), answer: resolve });
      return promise;
    },
    now: () => 0,
    retrySetup: () => {},
    tryNow: () => {},
    waiting: () => [],
  });

  give(order: Given): Promise<ActionOutcome> {
    return this.orders.give(order, 'operator');
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
}

const restart = (workload: string): Given => ({ action: 'restart', level: 'container', workload, reason: 'first' });
const pause = (workload: string): Given => ({ action: 'pause', workload, reason: 'then' });

test('a restart for which the engine is asked is not overtaken by the pause behind it, and holds up no other workload', async () => {
  const world = new World();
  const outcomes = [world.give(restart('a')), world.give(pause('a')), world.give(pause('b'))];
  await settled();
  expect(Object.fromEntries(world.sent)).toEqual({ a: [], b: ['then (operator)'], c: [] });
  world.asked.shift()?.answer(new Set());
  expect(await Promise.all(outcomes)).toMatchObject([{ ok: true }, { ok: true }, { ok: true }]);
  expect(world.sent.get('a')).toEqual(['first (operator)', 'then (operator)']);
});

test('one that is refused holds nothing up behind it', async () => {
  const world = new World();
  const outcomes = [world.give(restart('a')), world.give(restart('none')), world.give(pause('a'))];
  await settled();
  world.asked.shift()?.answer(new Set(['a']));
  expect((await Promise.all(outcomes)).map(({ ok }) => ok)).toEqual([false, false, true]);
  expect(world.sent.get('a')).toEqual(['then (operator)']);
});

type Step = { readonly action: 'restart' | 'pause'; readonly to: string | undefined } | { readonly answers: number };
const steps = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.record({ action: fc.constantFrom('restart', 'pause'), to: fc.constantFrom(...names, undefined) }) },
    { weight: 1, arbitrary: fc.record({ answers: fc.nat() }) },
  ),
  { maxLength: 30 },
);
/** Behind a restart of all two may be asked about, and the one that was given last is asked about first. */
const askedInAnotherOrder: readonly Step[] = [
  { action: 'restart', to: undefined },
  { action: 'pause', to: 'a' },
  { action: 'restart', to: 'a' },
  { action: 'restart', to: 'b' },
  { answers: 0 },
  { answers: 0 },
];

test('whenever the engine answers: everything is sent exactly as soon as what was given before to the same workloads, and its own answer, allow', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      const world = new World();
      // The model. A question is asked when nothing is before it; `answered` says whether the engine has.
      const given: { readonly id: string; readonly on: readonly string[]; answered: boolean; sent: boolean }[] = [];
      const asks: (typeof given)[number][] = [];
      const advance = (): void => {
        for (const [index, one] of given.entries()) {
          if (one.sent || given.slice(0, index).some((other) => !other.sent && other.on.some((name) => one.on.includes(name)))) continue;
          if (one.answered) one.sent = true;
          else if (!asks.includes(one)) asks.push(one);
        }
      };
      const outcomes: Promise<ActionOutcome>[] = [];
      for (const [index, step] of sequence.entries()) {
        if ('answers' in step) {
          if (world.asked.length === 0) continue;
          const at = step.answers % world.asked.length;
          const [question] = world.asked.splice(at, 1);
          // Of two with the same images one waits for the other: there is never a choice.
          const one = asks.find(({ answered, on }) => !answered && on.join() === question?.images);
          question?.answer(new Set());
          if (one !== undefined) one.answered = true;
        } else {
          const id = String(index);
          const on = step.to === undefined ? names : [step.to];
          given.push({ id, on, answered: step.action === 'pause', sent: false });
          const to = step.to === undefined ? {} : { workload: step.to };
          outcomes.push(world.give({ action: step.action, level: 'container', reason: id, ...to }));
        }
        advance();
        await settled();
        // What of it is asked first makes no difference to any workload.
        const open = asks.filter(({ answered }) => !answered).map(({ on }) => on.join());
        expect(world.asked.map(({ images }) => images).toSorted()).toEqual(open.toSorted());
        for (const name of names) {
          const expected = given.filter((one) => one.sent && one.on.includes(name)).map(({ id }) => `${id} (operator)`);
          expect(world.sent.get(name)).toEqual(expected);
        }
      }
      while (world.asked.length > 0) {
        world.asked.shift()?.answer(new Set());
        await settled();
      }
      expect((await Promise.all(outcomes)).every(({ ok }) => ok)).toBe(true);
      expect([...world.sent.values()]).toEqual(
        names.map((name) => given.filter(({ on }) => on.includes(name)).map(({ id }) => `${id} (operator)`)),
      );
    }),
    { examples: [[[...askedInAnotherOrder]]] },
  );
});
