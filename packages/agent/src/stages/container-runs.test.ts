import type * as nodeFs from 'node:fs';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { segmentId } from '@relight/shared/log-stream';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { patientClock } from '../../../../test/support/patient-clock.ts';
import { SecretValues } from '../config/secret-values.ts';
import type { Engine } from '../engine/engine.ts';
import type { LogShipper } from '../logs/log-shipper.ts';
import type { RunRef } from '../supervisor/op.ts';
import { formatRunId } from '../supervisor/run-id.ts';
import { ContainerRuns } from './container-runs.ts';
import { createRunFiles, type RedactTail } from './run-files.ts';

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof nodeFs>();
  return { ...fs, watch: vi.fn(fs.watch) };
});

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'relight-container-runs-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const containerId = 'f'.repeat(64);
const ofA = { owner: 'owner', workload: 'a', generation: 1 };
const run = (of: typeof ofA, n: number): RunRef => ({
  runId: formatRunId({ ...of, n, kind: 'process', name: '' }),
  kind: 'process',
  name: '',
});

/** A container in which there are processes with these values of RELIGHT_RUN. Descriptors lead to `held`. */
function container(claims: readonly string[], held: string | null = null) {
  const procRoot = join(root, 'proc');
  mkdirSync(procRoot);
  for (const [index, claim] of claims.entries()) {
    const pid = 1_000_001 + index;
    const directory = join(procRoot, String(pid));
    mkdirSync(join(directory, 'fd'), { recursive: true });
    writeFileSync(join(directory, 'cgroup'), `0::/docker/${containerId}\n`);
    writeFileSync(join(directory, 'stat'), `${pid} (sh) S 1 ${pid} ${pid} ${'0 '.repeat(15)}${100 + index} 0\n`);
    writeFileSync(join(directory, 'environ'), `RELIGHT_RUN=${claim}\0`);
    if (held !== null) for (let fd = 3; fd < 10; fd += 1) symlinkSync(held, join(directory, 'fd', String(fd)));
  }
  const followed: string[] = [];
  const logs: LogShipper = { follow: ({ key }) => void followed.push(segmentId(key)), finish: () => undefined };
  const runRoot = join(root, 'runs');
  const secrets = new SecretValues([]);
  secrets.learn(['Planted-Secret']);
  const redact = (workload: string, ...tail: Parameters<RedactTail>): string => (workload === 'a' ? secrets.tail(...tail) : '');
  return { runRoot, followed, runs: new ContainerRuns({ engine: {} as Engine, clock: patientClock, runRoot, logs, redact, procRoot }) };
}

it('of what a run wrote last no secret is told, nor the rest of one that was cut: whoever cuts it further cuts none', async () => {
  const { runs, runRoot } = container([]);
  const files = createRunFiles(runRoot, run(ofA, 5));
  writeFileSync(files.log, 'it says Planted-Secret');
  expect(await runs.tail(run(ofA, 5), 'a', 1, 100)).toBe('it says [redacted]');
  expect(await runs.tail(run(ofA, 5), 'a', 1, 8)).toBe('[redacted]');
});

it("a container's processes are no runs of another workload, generation or owner, whatever they call themselves", async () => {
  const others = [
    { ...ofA, workload: 'b' },
    { ...ofA, generation: 2 },
    { ...ofA, owner: 'other' },
  ].map((of) => run(of, 5));
  const own = run(ofA, 5);
  const { runs, runRoot, followed } = container(
    [...others, own].map(({ runId }) => runId),
    join(root, '5.process.log'),
  );
  // One has files of its own, the logs of the others would be found through what their processes hold.
  createRunFiles(runRoot, others[0] as RunRef);
  expect((await runs.list(containerId, ofA)).map(({ runId }) => runId)).toEqual([own.runId]);
  expect(followed).toEqual(['a/1/process/5']);
});

it('of more runs than an honest container has, those that live longest count', async () => {
  const claims = Array.from({ length: 230 }, (_, index) => run(ofA, 900 - index).runId);
  const { runs } = container(claims);
  expect((await runs.list(containerId, ofA)).map(({ runId }) => runId)).toEqual(claims.slice(0, 200));
});

it('what a container may rename is watched by the descriptor that is open, not by its name', async () => {
  const own = run(ofA, 5);
  const { runs, runRoot } = container([own.runId]);
  const { status } = createRunFiles(runRoot, own);
  const ended = runs.exited({ ...own, pid: 1_000_001, startTicks: 100 }, containerId, AbortSignal.timeout(60_000));
  expect(vi.mocked(watch).mock.calls.map(([path]) => path)).toEqual([expect.stringMatching(/^\/proc\/self\/fd\/\d+$/)]);
  writeFileSync(status, '7\n');
  expect(await ended).toMatchObject({ exitCode: 7 });
});
