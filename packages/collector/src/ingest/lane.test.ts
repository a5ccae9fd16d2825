import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lane } from './lane.ts';

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

interface Answer {
  readonly committed: number;
  readonly rewind: boolean;
}

/** A store that takes items only in their order, as a segment does, and fails when the script says so. */
class OrderedStore {
  taken = 0;
  readonly #outcomes: boolean[];
  readonly #open: (() => void)[] = [];

  constructor(outcomes: boolean[]) {
    this.#outcomes = [...outcomes];
  }

  async commit(item: number): Promise<Answer> {
    await new Promise<void>((resolve) => this.#open.push(resolve));
    if (this.#outcomes.shift() === false) throw new RelightError('store-failed', 'full');
    if (item !== this.taken) return { committed: this.taken, rewind: true };
    this.taken += 1;
    return { committed: this.taken, rewind: false };
  }

  finishOne(): void {
    this.#open.shift()?.();
  }
}

describe('a lane', () => {
  it('commits every item once and in order, whenever the store fails', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.boolean(), { maxLength: 30 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 15 }),
        async (outcomes, window, count) => {
          const clock = new ManualClock();
          const store = new OrderedStore(outcomes);
          const done: number[] = [];
          const lane = new Lane<number, Answer>({
            window,
            retryMs: 1_000,
            clock,
            commit: (item) => store.commit(item),
            committed: (item, { rewind }) => done.push(rewind ? -1 : item),
            outOfOrder: ({ rewind }) => rewind,
            failed: () => undefined,
          });
          for (let item = 0; item < count; item += 1) lane.push(item);
          for (let round = 0; lane.pending > 0 && round < 2_000; round += 1) {
            store.finishOne();
            await settle();
            clock.advance(100);
          }
          expect(done).toEqual(Array.from({ length: count }, (_, item) => item));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('tells what the store had already when it was closed, and nothing else', async () => {
    const store = new OrderedStore([true, true, false]);
    const told: number[] = [];
    const lane = new Lane<number, Answer>({
      window: 2,
      retryMs: 1_000,
      clock: new ManualClock(),
      commit: (item) => store.commit(item),
      committed: (item) => told.push(item),
      failed: () => told.push(-1),
    });
    for (let item = 0; item < 5; item += 1) lane.push(item);
    store.finishOne();
    await settle();
    lane.close();
    store.finishOne();
    store.finishOne();
    await settle();
    expect(told).toEqual([0, 1]);
  });

  it('drops an item that can never be stored, and says so', async () => {
    const failures: boolean[] = [];
    const done: string[] = [];
    const lane = new Lane<string, null>({
      window: 1,
      retryMs: 1_000,
      clock: new ManualClock(),
      commit: (item) => (item === 'bad' ? Promise.reject(new RelightError('internal', 'constraint')) : Promise.resolve(null)),
      committed: (item) => done.push(item),
      failed: (_, retried) => failures.push(retried),
    });
    for (const item of ['a', 'bad', 'b']) lane.push(item);
    while (lane.pending > 0) await settle();
    expect([done, failures]).toEqual([['a', 'b'], [false]]);
  });
});
