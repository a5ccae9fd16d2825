import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { segmentId } from '@relight/shared/log-stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ContainerFacts } from '../engine/engine.ts';
import { createRunFiles, runDirectoryOf, runRootOf, segmentOfBase } from '../stages/run-files.ts';
import type { RunHandle, RunRef } from '../supervisor/op.ts';
import { formatRunId } from '../supervisor/run-id.ts';
import { EarlierLogs } from './earlier-logs.ts';

const run = (n: number): RunRef => ({
  runId: formatRunId({ owner: 'owner', workload: 'w', generation: 1, n, kind: 'process', name: '' }),
  kind: 'process',
  name: '',
});
const container = { id: 'c', pid: 7 } as ContainerFacts;

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'relight-earlier-'));
});
afterEach(() => {
  rmSync(stateDir, { recursive: true });
});

function world(list: () => Promise<RunHandle[]>) {
  const runRoot = runRootOf(stateDir);
  const ids = [run(1), run(2)].map((ref) => {
    const { base, log } = createRunFiles(runRoot, ref);
    writeFileSync(log, 'line\n');
    return segmentId(segmentOfBase(ref, base));
  });
  const calls = { follow: [] as string[], finish: [] as string[], warn: 0 };
  const logs = new EarlierLogs({
    runRoot,
    runs: { list },
    shipper: { follow: ({ key }) => void calls.follow.push(segmentId(key)), finish: (key) => void calls.finish.push(segmentId(key)) },
    logger: { warn: () => void (calls.warn += 1) },
  });
  return { logs, calls, ids };
}

it('follows all that is there, and finishes once what no run writes any more', async () => {
  const { logs, calls, ids } = world(() => Promise.resolve([{ ...run(2), pid: 9 } as RunHandle]));
  logs.follow();
  expect(calls.follow.toSorted()).toEqual(ids.toSorted());
  await logs.observed([container]);
  await logs.observed([container]);
  expect(calls.finish).toEqual([ids[0]]);
});

it('finishes nothing while it cannot be told what still runs, and asks again', async () => {
  let answers = false;
  const { logs, calls, ids } = world(() => (answers ? Promise.resolve([]) : Promise.reject(new Error('grep cannot be started'))));
  logs.follow();
  await logs.observed([container]);
  expect(calls).toMatchObject({ finish: [], warn: 1 });
  answers = true;
  await logs.observed([container]);
  expect(calls.finish.toSorted()).toEqual(ids.toSorted());
});

it('follows the newest of a multitude that a container has made, and says so', () => {
  const { logs, calls, ids } = world(() => Promise.resolve([]));
  const directory = runDirectoryOf(runRootOf(stateDir), 'w', 1);
  for (let n = 0; n < 2_500; n += 1) writeFileSync(join(directory, `1.process-${n}.log`), '');
  logs.follow();
  expect(calls.follow).toHaveLength(2_000);
  expect(calls.follow).toContain(ids[1]);
  expect(calls.warn).toBe(1);
});
