/** The engine goes away, comes back, is killed, hangs: containers are never called dead for it, and always come back. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { at, Bystander } from '../support/bystander.ts';
import { startPrivateEngine, type PrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { listProcesses, signalProcess } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

let engine: PrivateEngine;
let lab: Lab;
let image: string;
let worker: Bystander;

/** Long enough for the deadline of a look at the engine, 5 s, to have passed. */
const outageMs = Number(process.env['RELIGHT_TEST_OUTAGE_MS'] ?? 8_000);

const document = {
  process: { run: 'n=0; while :; do n=$((n + 1)); echo "step $n"; sleep 0.2; done', stop_timeout: '1s' },
  ready: [{ exec: 'true', interval: '200ms' }],
  // A check through the engine: an engine that is away must not count as a failure of the workload, shorter than an outage; nor must a busy one.
  live: [{ exec: 'true', interval: '500ms', timeout: '5s', failures: 2, restarts: 'process' }],
};

async function setUp(liveRestore: boolean): Promise<void> {
  engine = await startPrivateEngine({ liveRestore });
  image = await buildTestImage(engine);
  // An engine that a busy machine takes a minute to start again is one that people hear of: that is not what is tested here.
  lab = await startLab({ engineSocket: engine.socket, collector: { alerts: { engine_down: { after: '30m' } } } });
  worker = await Bystander.ready(lab, `worker-${liveRestore ? 'restored' : 'fallen'}`, image, document);
}

async function tearDown(): Promise<void> {
  await lab?.dispose();
  await engine?.dispose();
}

/** What a fault must leave as it is. */
async function identity(): Promise<unknown> {
  await worker.caughtUp();
  const { id, pid, startedAt } = await worker.container();
  const { generation, restarts } = await worker.status();
  return { id, pid, startedAt, generation, restarts, process: await processPid() };
}

/** As the agent knows it: host pid of the process's first process. */
async function processPid(): Promise<unknown> {
  const started = (await worker.events()).findLast(({ kind }) => kind === 'process.started');
  return started?.data['pid'];
}

/** Host pids of the workload's process, without the wrapper around it. */
const stepping = (containerId: string): readonly number[] =>
  listProcesses()
    .filter(({ cgroup, cmdline }) => cgroup.includes(containerId) && cmdline[1] === '-c' && cmdline[2] === document.process.run)
    .map(({ pid }) => pid);

/** Until it is thawed, or the test is over. */
function freeze(): void {
  const frozen = engine;
  frozen.freeze();
  onTestFinished(() => (frozen.pid === undefined ? undefined : frozen.thaw()));
}

async function outage(): Promise<void> {
  const until = Date.now() + outageMs;
  await waitFor(() => Date.now() >= until, { what: 'the outage to be over', timeoutMs: outageMs + 10_000, everyMs: 50 });
}

/** Ready, and asked since the engine is back; nobody was alerted. `anew`: by a way to ready, which begins when the engine knows what has died. */
async function settled(mark: number, anew = false): Promise<void> {
  await worker.next(mark, 'engine.recovered', () => true, 60_000);
  if (anew) await worker.next(mark, 'workload.ready', () => true, 60_000);
  await worker.phase('ready');
  await worker.caughtUp();
  expect(lab.webhook.alerts()).toEqual([]);
}

const troubleOf = (kinds: readonly string[]): string[] =>
  kinds.filter((kind) => /^(container\.(died|removed)|restart\.|process\.(exited|killed)|check\.failed|workload\.degraded)/.test(kind));

describe('with live-restore', () => {
  beforeAll(() => setUp(true));
  afterAll(tearDown);

  test('stopped and started: same container, same process, nothing restarted', async () => {
    const before = await identity();
    const mark = await worker.mark();
    await engine.stop();
    await worker.phase('unknown', 30_000);
    await outage();
    await engine.start();
    await settled(mark);
    expect(await identity()).toEqual(before);
    expect(troubleOf(await worker.kindsSince(mark))).toEqual([]);
  });

  test('killed with -9 and started: the same', async () => {
    const before = await identity();
    const mark = await worker.mark();
    await engine.kill();
    await worker.phase('unknown', 30_000);
    await engine.start();
    await settled(mark);
    expect(await identity()).toEqual(before);
    expect(troubleOf(await worker.kindsSince(mark))).toEqual([]);
  });

  test('the container dies while the engine is away: back, at no cost', async () => {
    await worker.caughtUp();
    const before = await worker.status();
    const mark = await worker.mark();
    const { pid } = await worker.container();
    await engine.stop();
    await worker.phase('unknown', 30_000);
    signalProcess(pid, 'SIGKILL');
    await engine.start();
    await settled(mark, true);
    const after = await worker.status();
    expect(after.generation).toBe(before.generation + 1);
    expect(after.restarts).toEqual(before.restarts);
  });
});

describe('without live-restore', () => {
  beforeAll(() => setUp(false));
  afterAll(tearDown);

  test.each(['stop', 'kill'] as const)('%s and start: the containers fell with it, and come back at no cost', async (how) => {
    await worker.caughtUp();
    const before = await worker.status();
    const mark = await worker.mark();
    await engine[how]();
    await worker.phase('unknown', 30_000);
    if (how === 'stop') await outage();
    await engine.start();
    await settled(mark, true);
    const after = await worker.status();
    expect(after.restarts).toEqual(before.restarts);
    const events = await worker.since(mark);
    expect(events.filter(({ kind }) => kind === 'container.died').map(({ data }) => data['code'])).toEqual(['engine-restarted']);
    expect(events.filter(({ data }) => data['countsAsFailure'] === true)).toEqual([]);
    expect(after.generation).toBe(before.generation + 1);
    expect(await worker.running()).toHaveLength(1);
  });

  test('it hangs while the container lives: unknown, nobody dies, nothing is restarted', async () => {
    const before = await identity();
    const mark = await worker.mark();
    freeze();
    await worker.phase('unknown', 30_000);
    await outage();
    engine.thaw();
    await settled(mark);
    expect(await identity()).toEqual(before);
    expect(troubleOf(await worker.kindsSince(mark))).toEqual([]);
  });

  test('the process dies while it hangs: its start is cut off in the middle, and in the end exactly one runs', async () => {
    const { id, pid } = await worker.container();
    await worker.caughtUp();
    const before = await worker.status();
    const mark = await worker.mark();
    const running = await waitFor(() => stepping(id)[0], { what: 'the process to step' });
    freeze();
    signalProcess(running, 'SIGKILL');
    await worker.next(mark, 'process.exited');
    await worker.phase('unknown', 30_000);
    await outage();
    engine.thaw();
    await worker.next(mark, 'workload.ready', () => true, 60_000);
    await worker.phase('ready');
    await worker.caughtUp();
    expect(await worker.container()).toMatchObject({ id, pid });
    expect((await worker.status()).restarts).toEqual({ ...before.restarts, process: before.restarts.process + 1 });
    // Between two steps it is for a moment the one that will be its sleep, under the same command line.
    await waitFor(() => stepping(id).length === 1, { what: 'one process to step' });
  });

  test('the container dies while it hangs: said once, counted once, back', async () => {
    await worker.caughtUp();
    const before = await worker.status();
    const mark = await worker.mark();
    const { pid } = await worker.container();
    freeze();
    await worker.phase('unknown', 30_000);
    signalProcess(pid, 'SIGKILL');
    await outage();
    const thawedAt = Date.now();
    engine.thaw();
    const recovered = await worker.next(mark, 'engine.recovered', () => true, 60_000);
    expect(at(recovered) - thawedAt).toBeLessThan(10_000);
    const ready = await worker.next(mark, 'workload.ready', () => true, 60_000);
    expect(at(ready) - at(recovered)).toBeLessThan(20_000);
    await worker.phase('ready');
    await worker.caughtUp();
    const after = await worker.status();
    const died = (await worker.since(mark)).filter(({ kind }) => kind === 'container.died');
    expect(died.map(({ data }) => data['code'])).toEqual(['container-exited']);
    expect(after.generation).toBe(before.generation + 1);
    expect(after.restarts).toEqual({ ...before.restarts, container: before.restarts.container + 1 });
    expect(await worker.running()).toHaveLength(1);
  });
});
