/** Runs in real containers: started, watched, found again, stopped; nothing else touched. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { openHeld } from '@relight/agent/stages/held-file';
import type { RunExit } from '@relight/agent/stages/runs';
import { parseRunId } from '@relight/agent/supervisor/run-id';
import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { listProcesses, signalProcess } from '../support/processes.ts';
import { type Bench, fuseContainer, startBench } from '../support/stage-bench.ts';
import { waitFor } from '../support/wait.ts';

const options = { engineSocket: inject('engineSocket'), image: inject('engineImage') };
let bench: Bench;
beforeEach(async () => {
  bench = await startBench(options);
  await bench.up();
});
afterEach(() => bench[Symbol.asyncDispose]());

/** Processes of the container with exactly this command line. */
const inContainer = (text: string): number[] =>
  listProcesses()
    .filter(({ cgroup, cmdline }) => cgroup.includes(bench.containerId) && cmdline.join(' ').trim() === text)
    .map(({ pid }) => pid);

describe('a run', () => {
  it('keeps its output and exit status, and its end is known at once', async () => {
    const run = bench.run('process');
    const handle = await bench.start(run, 'echo "out $WHO"; echo err >&2; until test -e /tmp/end; do sleep 0.05; done; exit 3', {
      WHO: 'é$x',
    });
    // Nobody looks every second where the clock stands still: inotify alone tells.
    let exit: RunExit | null = null;
    void bench
      .otherRuns(undefined, new ManualClock())
      .exited(handle, bench.containerId, bench.signal)
      .then(
        (found) => (exit = found),
        () => null,
      );
    await bench.engine.exec(bench.containerId, { argv: ['touch', '/tmp/end'] });
    await waitFor(() => exit, { what: 'its end to be known', timeoutMs: 30_000 });
    expect(exit).toMatchObject({ exitCode: 3, signal: null });
    expect(await bench.tail(run)).toBe('out é$x\nerr\n');
    expect([...bench.logs.finished]).toEqual([...bench.logs.followed.keys()]);
    const status = [...bench.logs.followed.values()][0]?.replace('.log', '.status') ?? '';
    expect(readFileSync(status, 'utf8')).toBe('3\n');
  });

  it('says which signal ended it', async () => {
    const handle = await bench.start(bench.run('process'), 'kill -9 $$');
    expect(await bench.exited(handle)).toMatchObject({ exitCode: 137, signal: 'SIGKILL' });
  });

  it('is over without a status when its wrapper was killed', async () => {
    const handle = await bench.start(bench.run('process'), 'sleep 1000');
    signalProcess(handle.pid, 'SIGKILL');
    expect(await bench.exited(handle)).toMatchObject({ exitCode: null, signal: null });
  });

  it('may be over before anybody looks', async () => {
    for (let i = 0; i < 25; i += 1) {
      const handle = await bench.start(bench.run('setup', 'quick'), i % 2 === 0 ? 'exit 4' : 'sleep 0.01; exit 4');
      expect((await bench.exited(handle)).exitCode).toBe(4);
    }
  });

  it('writes as a user who may not even list the directory', async () => {
    await bench[Symbol.asyncDispose]();
    bench = await startBench({ ...options, container: { user: '1000:1000' } });
    await bench.up();
    const run = bench.run('process');
    const handle = await bench.start(run, 'id -u; ls /run/relight');
    expect((await bench.exited(handle)).exitCode).toBe(1);
    expect(await bench.tail(run)).toMatch(/^1000\nls: .*Permission denied/);
  });

  it('gets a log of its own for every start', async () => {
    const run = bench.run('setup', 'ssh keys');
    for (const word of ['first', 'second']) await bench.exited(await bench.start(run, `echo ${word}`));
    expect(await bench.tail(run)).toBe('second\n');
    expect([...bench.logs.followed.keys()].map((key) => decodeURIComponent(key.split('/')[3] ?? ''))).toEqual([
      '1-ssh-keys',
      '1-ssh-keys~2',
    ]);
  });
});

describe('after the agent was killed', () => {
  it('finds the run again, follows its log and learns of its end', async () => {
    const run = bench.run('process');
    const handle = await bench.start(run, 'echo before; sleep 1000');
    await waitFor(async () => (await bench.tail(run)) !== '', { what: 'the first line' });
    const later = bench.otherRuns();
    bench.logs.followed.clear();
    expect(await later.find(run, bench.containerId)).toEqual(handle);
    expect(bench.logs.followed.size).toBe(1);
    expect(await later.list(bench.containerId, bench.owner)).toEqual([handle]);
    const exited = later.exited(handle, bench.containerId, bench.signal);
    signalProcess(-handle.pid, 'SIGTERM');
    expect(await exited).toMatchObject({ exitCode: 143, signal: 'SIGTERM' });
    expect(await later.find(run, bench.containerId)).toBeNull();
  });

  it('knows all of it without its state directory: run, log and exit status', async () => {
    const run = bench.run('process');
    const handle = await bench.start(run, 'trap "exit 6" TERM; echo before; while :; do sleep 0.05; done');
    await waitFor(async () => (await bench.tail(run)) !== '', { what: 'the first line' });
    rmSync(bench.stateDir, { recursive: true });
    bench.logs.followed.clear();
    const later = bench.otherRuns();
    expect(await later.list(bench.containerId, bench.owner)).toEqual([handle]);
    const [path] = bench.logs.followed.values();
    expect(readFileSync(path ?? '', 'utf8')).toBe('before\n');
    const exited = later.exited(handle, bench.containerId, bench.signal);
    signalProcess(-handle.pid, 'SIGTERM');
    expect(await exited).toMatchObject({ exitCode: 6 });
    await expect(bench.start(bench.run('process'), 'touch /tmp/ran')).rejects.toMatchObject({ code: 'run-directory-lost' });
    const ran = await bench.engine.exec(bench.containerId, { argv: ['test', '-e', '/tmp/ran'] });
    expect(ran.exitCode).toBe(1);
  });
});

it('a descriptor that a container has led into a mount that never answers is not opened', async () => {
  await using fuse = await startBench({ ...options, container: fuseContainer });
  await fuse.up();
  const run = fuse.run('process');
  const script = `
    mkdir -p /tmp/source /tmp/mount
    for ending in log status; do : > /tmp/source/${parseRunId(run.runId)?.n}.process.$ending; done
    bindfs -f /tmp/source /tmp/mount & daemon=$!
    until test -e /tmp/mount/${parseRunId(run.runId)?.n}.process.log; do sleep 0.05; done
    exec 8< /tmp/mount/${parseRunId(run.runId)?.n}.process.status 9< /tmp/mount/${parseRunId(run.runId)?.n}.process.log
    kill -STOP $daemon
    : > /tmp/ready
    # An agent that waits for it is let go, late.
    sleep 60; kill -CONT $daemon; sleep 1000`;
  await fuse.engine.execDetached(fuse.containerId, { argv: ['sh', '-c', script], env: { RELIGHT_RUN: run.runId } });
  await waitFor(async () => (await fuse.engine.exec(fuse.containerId, { argv: ['test', '-e', '/tmp/ready'] })).exitCode === 0, {
    what: 'the mount to be silent',
  });
  const found = (await fuse.runs.list(fuse.containerId, fuse.owner)).find(({ runId }) => runId === run.runId);
  const began = performance.now();
  for (const descriptor of [8, 9]) expect(openHeld(`/proc/${found?.pid}/fd/${descriptor}`)).toBeNull();
  expect(performance.now() - began).toBeLessThan(30_000);
  expect([...fuse.logs.followed.values()]).toEqual([`/proc/${found?.pid}/fd/9`]);
});

describe('stop', () => {
  it('asks the whole group first and lets it finish', async () => {
    const run = bench.run('process');
    const handle = await bench.start(run, 'trap "sleep 0.2; echo bye; exit 0" TERM; echo ready; while :; do sleep 0.05; done');
    await waitFor(async () => (await bench.tail(run)).includes('ready'), { what: 'the trap' });
    await bench.runs.stop([run], bench.containerId, 30_000, bench.signal);
    expect(await bench.exited(handle)).toMatchObject({ exitCode: 0 });
    expect(await bench.tail(run)).toContain('bye');
  });

  it('kills what ignores it, what left the session, what lost its environment, and nothing else', async () => {
    const other = bench.run('process');
    await bench.start(other, 'sleep 2001');
    const run = bench.run('process');
    const script = 'setsid sleep 2002 & env -i sleep 2003 & trap "" TERM; sleep 2005 & while :; do sleep 1; done';
    await bench.start(run, script);
    const unmanaged = bench.engine.exec(bench.containerId, { argv: ['sleep', '2006'] }, { timeoutMs: 120_000 }).catch(() => null);
    await waitFor(() => [2001, 2002, 2003, 2005, 2006].every((n) => inContainer(`sleep ${n}`).length > 0), { what: 'all of it to run' });
    await bench.runs.stop([run], bench.containerId, 300, bench.signal);
    expect([2002, 2003, 2005].flatMap((n) => inContainer(`sleep ${n}`))).toEqual([]);
    for (const kept of [2001, 2006]) expect(inContainer(`sleep ${kept}`)).toHaveLength(1);
    expect((await bench.engine.inspect(bench.containerId))?.status).toBe('running');
    for (const pid of inContainer('sleep 2006')) signalProcess(pid, 'SIGKILL');
    await unmanaged;
  });

  it('purges orphans of a run whose wrapper is long gone', async () => {
    const run = bench.run('process');
    const handle = await bench.start(run, 'env -i sleep 2011 & setsid sleep 2012 & sleep 0.2');
    await bench.exited(handle);
    await waitFor(() => [2011, 2012].flatMap((n) => inContainer(`sleep ${n}`)).length === 2, { what: 'the orphans' });
    await bench.runs.stop([run], bench.containerId, 0, bench.signal);
    expect([2011, 2012].flatMap((n) => inContainer(`sleep ${n}`))).toEqual([]);
  });

  it('leaves a second container with the same run id in its environment alone', async () => {
    const run = bench.run('process');
    await bench.start(run, 'sleep 2021');
    await using neighbour = await startBench({ ...options, container: { environment: { RELIGHT_RUN: run.runId } } });
    const pid = await neighbour.up();
    await bench.runs.stop([run], bench.containerId, 0, bench.signal);
    expect(inContainer('sleep 2021')).toEqual([]);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    expect((await neighbour.engine.inspect(neighbour.containerId))?.status).toBe('running');
  });

  it('of nothing, and of a dead container, is done', async () => {
    const run = bench.run('process');
    await bench.start(run, 'sleep 2031');
    await bench.engine.kill(bench.containerId, 'SIGKILL');
    await bench.engine.stop(bench.containerId, 0);
    await bench.runs.stop([run], bench.containerId, 1_000, bench.signal);
    await bench.runs.stop([bench.run('process')], bench.containerId, 1_000, bench.signal);
    expect(await bench.runs.list(bench.containerId, bench.owner)).toEqual([]);
  });
});

describe('starting fails clearly', () => {
  it('when the image has no shell', async () => {
    await using bare = await startBench({
      ...options,
      container: { environment: { PATH: '/nowhere' }, command: ['/bin/sleep', '1000'], init: false },
    });
    await bare.up();
    await expect(bare.start(bare.run('process'), 'true')).rejects.toMatchObject({ code: 'exec-failed', recoverable: false });
  });

  it('when the container is not running', async () => {
    await bench.engine.kill(bench.containerId, 'SIGKILL');
    await bench.engine.stop(bench.containerId, 0);
    await expect(bench.start(bench.run('process'), 'true')).rejects.toMatchObject({ code: 'container-exited' });
  });

  it('and one that the engine begins after all, later than anybody waited for it, runs nothing', async () => {
    const { engine, containerId } = bench;
    const late = vi.spyOn(engine, 'execDetached').mockRejectedValueOnce(new RelightError('engine-timeout', 'exec: no answer'));
    await expect(bench.start(bench.run('process'), 'touch /ran')).rejects.toMatchObject({ code: 'engine-timeout' });
    const [, asked] = late.mock.calls[0] ?? [];
    expect(asked?.argv).toContain('relight-run');
    expect(await engine.exec(containerId, asked ?? { argv: [] })).toMatchObject({ exitCode: 125 });
    expect(await engine.exec(containerId, { argv: ['test', '-e', '/ran'] })).toMatchObject({ exitCode: 1 });
  });

  it('is cancelled by its signal while it waits', async () => {
    const handle = await bench.start(bench.run('process'), 'sleep 1000');
    const abort = new AbortController();
    const exited = bench.runs.exited(handle, bench.containerId, abort.signal);
    abort.abort();
    await expect(exited).rejects.toMatchObject({ name: 'RelightError' });
  });
});
