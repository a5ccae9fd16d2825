import { setImmediate as turn } from 'node:timers/promises';
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { startRounds } from './service-rounds.ts';

function begin() {
  const clock = new ManualClock();
  const waiting: PromiseWithResolvers<void>[] = [];
  let progress = 0;
  const rounds = startRounds({
    clock,
    prove: () => {
      const asked = Promise.withResolvers<void>();
      waiting.push(asked);
      return asked.promise;
    },
    onProgress: () => void (progress += 1),
  });
  const seconds = async (count: number): Promise<void> => {
    clock.advance(count * 1_000);
    await turn();
  };
  return { clock, rounds, seconds, waiting, progress: () => progress };
}

test('only an answer of the writing thread is progress, and the next round begins ten seconds after it', async () => {
  const { seconds, waiting, progress } = begin();
  await seconds(10);
  expect([waiting.length, progress()]).toEqual([1, 0]);
  waiting[0]?.resolve();
  await turn();
  expect(progress()).toBe(1);
  await seconds(9);
  expect(waiting).toHaveLength(1);
  await seconds(1);
  expect(waiting).toHaveLength(2);
});

test('a writing thread that hangs: time alone is no progress, and nothing is asked again behind it', async () => {
  const { clock, seconds, waiting, progress } = begin();
  await seconds(10);
  await seconds(1_000);
  expect([waiting.length, progress(), clock.pendingTimers]).toEqual([1, 0, 0]);
});

test('an answer that nothing can be written is progress: another process would not write either', async () => {
  const { seconds, waiting, progress } = begin();
  await seconds(10);
  waiting[0]?.reject(new Error('the disk is full'));
  await turn();
  expect(progress()).toBe(1);
});

test('closed, it says nothing more, also where an answer was on its way', async () => {
  const { clock, rounds, seconds, waiting, progress } = begin();
  await seconds(10);
  rounds.close();
  waiting[0]?.resolve();
  await turn();
  expect([progress(), clock.pendingTimers]).toEqual([0, 0]);
});
