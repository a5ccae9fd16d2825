import { expect, it } from 'vitest';
import type { RunHandle } from '../supervisor/op.ts';
import type { RunExit } from './runs.ts';
import { RunWatches } from './run-watches.ts';

const container = { id: 'c', pid: process.pid };
const run = (runId: string): RunHandle => ({ runId }) as RunHandle;
const exit: RunExit = { exitCode: 3, signal: null, at: 0 };

function world() {
  const waiting: { runId: string; ended: PromiseWithResolvers<RunExit> }[] = [];
  const told: unknown[] = [];
  const failures: unknown[] = [];
  const watches = new RunWatches({
    runs: {
      exited: ({ runId }) => {
        const ended = Promise.withResolvers<RunExit>();
        waiting.push({ runId, ended });
        return ended.promise;
      },
    },
    logger: { error: (facts: unknown) => void failures.push(facts) },
    onExit: (...args) => void told.push(args),
  });
  return { waiting, told, failures, watches };
}

const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

it('watches each wanted run once, however often it is wanted', async () => {
  const { waiting, told, watches } = world();
  watches.set([run('a')], container);
  watches.set([run('a'), run('b')], container);
  expect(waiting.map(({ runId }) => runId)).toEqual(['a', 'b']);
  waiting[1]?.ended.resolve(exit);
  await settled();
  expect(told).toEqual([[run('b'), exit, true]]);
});

it('tells nothing of what is wanted no longer, nor after its own end', async () => {
  const { waiting, told, failures, watches } = world();
  watches.set([run('a'), run('b')], container);
  watches.set([run('b')], container);
  watches.dispose();
  watches.set([run('b')], container);
  expect(waiting).toHaveLength(2);
  waiting[0]?.ended.resolve(exit);
  waiting[1]?.ended.reject(new Error('aborted'));
  await settled();
  expect([told, failures]).toEqual([[], []]);
});

it('says that a container is gone with its run, and that watching failed', async () => {
  const { waiting, told, failures, watches } = world();
  watches.set([run('a'), run('b')], { id: 'c', pid: 2 ** 22 + 1 });
  waiting[0]?.ended.resolve(exit);
  waiting[1]?.ended.reject(new Error('no inotify'));
  await settled();
  expect(told).toEqual([[run('a'), exit, false]]);
  expect(failures).toMatchObject([{ run: 'b' }]);
});
