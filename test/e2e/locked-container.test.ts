/**
 * An engine that answers, but not about one container: that one is unknown and waits, the others are looked after as ever. The lock that
 * Engine 20.10 makes by itself (a `docker pause` that meets an exec about to begin) is undone without a restart of anything.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiHostCondition } from '@relight/shared/api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bystander } from '../support/bystander.ts';
import { dockerApi } from '../support/docker-api.ts';
import { startPrivateEngine, type PrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { startMutingProxy, type MutingProxy } from '../support/muting-proxy.ts';
import { listProcesses, signalProcess } from '../support/processes.ts';
import { eventually, waitFor } from '../support/wait.ts';

let engine: PrivateEngine;
let lab: Lab;
let image: string;

beforeAll(async () => {
  engine = await startPrivateEngine({ liveRestore: true });
  image = await buildTestImage(engine);
  lab = await startLab({ engineSocket: engine.socket });
});
afterAll(async () => {
  await lab?.dispose();
  await engine?.dispose();
});

const soon = { initial: '200ms', max: '2s', reset_after: '10m', budget: '20 per 10m' };
const run = (name: string): string => `name=${name}-${process.pid}; while :; do sleep 0.2; done`;
/**
 * `timeout` of the live check: two of them fail before the five seconds are over after which the engine is known to say nothing about the
 * container, and must not count. A busy machine has the time for an exec all the same.
 */
const document = (name: string, timeout = '2s'): Readonly<Record<string, unknown>> => ({
  process: { run: run(name), stop_timeout: '1s' },
  ready: [{ exec: 'true', interval: '200ms' }],
  live: [{ exec: 'true', interval: '200ms', timeout, failures: 2, restarts: 'process' }],
  restart: { process: soon, container: soon },
});

/** Host pids of the process, without the wrapper around it. */
const processesOf = (name: string): readonly number[] =>
  listProcesses()
    .filter(({ cmdline }) => cmdline[1] === '-c' && cmdline[2] === run(name))
    .map(({ pid }) => pid);

describe('one of two workloads of a host', () => {
  const host = 'half-heard';
  const containerOf = (name: string): string => `e2e-${host}-${name}-${process.pid}`;
  let proxy: MutingProxy;
  let agent: Awaited<ReturnType<Lab['addAgent']>>;
  let mutedId = '';

  beforeAll(async () => {
    proxy = await startMutingProxy(engine.socket, join(lab.directory, 'muting.sock'));
    const workloads = ['muted', 'other'].map((name) => ({
      name,
      container: { name: containerOf(name), image, pull_policy: 'never', init: true, command: ['sleep', 'infinity'] },
      ...document(name, name === 'muted' ? '2s' : '10s'),
    }));
    agent = await lab.addAgent({ host, workloads, config: { engine: { socket: proxy.socket } } });
    for (const { name } of workloads) await lab.fleet.waitForPhase(host, name, 'ready');
    mutedId = (await lab.engine.inspect(containerOf('muted')))?.id ?? '';
    proxy.mute(mutedId);
    await lab.fleet.waitForPhase(host, 'muted', 'unknown', 30_000);
  });
  afterAll(async () => {
    await agent?.service.kill();
    await proxy?.[Symbol.asyncDispose]();
  });

  const conditions = async (): Promise<readonly ApiHostCondition[]> =>
    ((await lab.fleet.host(host))?.conditions ?? []).filter(({ name }) => name === 'container-unanswered');
  const restartsOf = async (name: string): Promise<unknown> => (await lab.fleet.workload(host, name))?.restarts;

  test('it is unknown, and its reason names the container and what helps; the engine is up', async () => {
    const { reason } = (await lab.fleet.workload(host, 'muted')) ?? { reason: '' };
    expect(reason).toContain(containerOf('muted'));
    expect(reason).toContain('systemctl restart docker');
    expect((await lab.fleet.host(host))?.engine?.state).toBe('up');
    // A check that took long may have made it degraded for a moment.
    await lab.fleet.waitForPhase(host, 'other', 'ready');
  });

  test('the other one is looked after: its process and its container come back', async () => {
    const [pid = 0] = processesOf('other');
    const { process: restarts } = (await restartsOf('other')) as { process: number };
    signalProcess(pid, 'SIGKILL');
    await waitFor(async () => ((await restartsOf('other')) as { process: number }).process === restarts + 1, {
      what: 'the restart to be counted',
    });
    await lab.fleet.waitForPhase(host, 'other', 'ready');
    const before = await lab.engine.inspect(containerOf('other'));
    await dockerApi(engine.socket).kill(containerOf('other'));
    await waitFor(
      async () => {
        const now = await lab.fleet.workload(host, 'other');
        return now?.phase === 'ready' && now.containerId !== before?.id;
      },
      { what: 'a new container to be ready', timeoutMs: 60_000, everyMs: 100 },
    );
    expect((await lab.engine.inspect(containerOf('other')))?.id).not.toBe(before?.id);
    await eventually(() => expect(processesOf('other')).toHaveLength(1), { what: 'one process' });
  });

  test('it is a condition of the host, with an alert, once it has lasted', async () => {
    const [condition] = await waitFor(async () => ((await conditions()).length > 0 ? conditions() : null), {
      what: 'the condition',
      timeoutMs: 45_000,
      everyMs: 200,
    });
    expect(condition).toMatchObject({ severity: 'error', subject: containerOf('muted'), advice: expect.stringContaining('live-restore') });
    await waitFor(async () => (await lab.fleet.alerts({})).some((alert) => alert.rule === 'HostCondition' && alert.state === 'firing'), {
      what: 'the alert',
    });
  });

  test('an agent that is started meanwhile adopts the other one, tells nothing twice and makes nothing anew', async () => {
    const before = await lab.engine.inspect(containerOf('other'));
    const raisedAt = async (): Promise<number> =>
      (await lab.fleet.events({ host, kind: 'host.notice', limit: 1_000 })).filter(
        ({ data }) => data['condition'] === 'container-unanswered' && data['state'] === 'raised',
      ).length;
    await agent.service.kill();
    // What it dies of meanwhile nobody may conclude.
    const [pid = 0] = processesOf('muted');
    signalProcess(pid, 'SIGKILL');
    const since = new Date().toISOString();
    await agent.service.start();
    // Until it is heard, what the one before has said last is what is known. It dials when it has looked, and that takes it a while here.
    await lab.fleet.waitForEvent({ host, kind: 'agent.started', since }, () => true, 'the new agent to be heard');
    await lab.fleet.waitForPhase(host, 'other', 'ready');
    await lab.fleet.waitForPhase(host, 'muted', 'unknown', 30_000);
    expect((await lab.engine.inspect(containerOf('other')))?.id).toBe(before?.id);
    expect((await lab.engine.inspect(containerOf('muted')))?.id).toBe(mutedId);
    expect(processesOf('muted')).toHaveLength(0);
    await waitFor(async () => (await conditions()).length === 1, { what: 'the condition to be confirmed' });
    expect(await raisedAt()).toBe(1);
  });

  test('answered again, it is taken up in the same container, and the condition is over', async () => {
    proxy.unmute();
    await lab.fleet.waitForPhase(host, 'muted', 'ready');
    expect((await lab.engine.inspect(containerOf('muted')))?.id).toBe(mutedId);
    await eventually(() => expect(processesOf('muted')).toHaveLength(1), { what: 'one process' });
    expect(await restartsOf('muted')).toMatchObject({ container: 0 });
    await waitFor(async () => (await conditions()).length === 0, { what: 'the condition to be over', everyMs: 100 });
    const kinds = (await lab.fleet.events({ host, limit: 1_000 })).map(({ kind }) => kind);
    expect(kinds).not.toContain('engine.lost');
  });
});

describe('docker pause meets an exec that is about to begin', () => {
  const attempts = 60;
  const hangsAfterMs = 4_000;

  /** `docker pause`. False: runc gave up freezing it, as it does where processes come and go. */
  const isPaused = (containerName: string): Promise<boolean> =>
    dockerApi(engine.socket)
      .pause(containerName)
      .then(
        () => true,
        (error: Error) => {
          if (!error.message.includes('unable to freeze')) throw error;
          return false;
        },
      );

  /** Until the engine hangs over it. `unpaused`: the `docker unpause` that waits. */
  async function lockUp(containerName: string): Promise<{ readonly unpaused: Promise<void> }> {
    const docker = dockerApi(engine.socket);
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const execs = [1, 2].map(() => lab.engine.exec(containerName, { argv: ['true'] }, { timeoutMs: 60_000 }).catch(() => null));
      await sleep(20 + (attempt % 12) * 10);
      if (!(await isPaused(containerName))) continue;
      const unpaused = docker.unpause(containerName);
      unpaused.catch(() => {});
      if ((await Promise.race([unpaused.then(() => 'answered'), sleep(hangsAfterMs)])) !== 'answered') return { unpaused };
      await Promise.all(execs);
    }
    throw new Error(`this engine was not locked by ${attempts} pauses`);
  }

  test('locked while nobody looked: released by the agent, the pause undone as its owner wanted, the same process', async () => {
    const worker = await Bystander.ready(lab, 'locked', image, document('locked'));
    const before = { ...(await worker.container()), restarts: (await worker.status()).restarts, pids: processesOf('locked') };
    worker.agent.service.freeze();
    const { unpaused } = await lockUp(worker.containerName);
    await expect(lab.engine.inspect(before.id, { timeoutMs: 1_000 })).rejects.toMatchObject({ code: 'engine-timeout' });
    const mark = await worker.mark();
    worker.agent.service.thaw();
    await unpaused;
    const notice = await worker.next(mark, 'host.notice', ({ message }) => message.includes('half begun'));
    expect(notice).toMatchObject({ workload: 'locked', data: { containerId: before.id } });
    await worker.phase('ready');
    expect(await worker.container()).toMatchObject({ id: before.id, pid: before.pid, startedAt: before.startedAt, status: 'running' });
    expect(processesOf('locked')).toEqual(before.pids);
    expect((await worker.status()).restarts).toEqual(before.restarts);
    expect(await worker.kindsSince(mark)).not.toContain('engine.lost');
    await worker.agent.service.stop();
  });

  test('paused and unpaused again and again under its checks: every unpause is answered, nothing is restarted', async () => {
    // Its checks only meet the pauses here: what a busy machine needs for one must not restart anything.
    const worker = await Bystander.ready(lab, 'breathing', image, document('breathing', '10s'));
    const before = { ...(await worker.container()), pids: processesOf('breathing') };
    const mark = await worker.mark();
    const docker = dockerApi(engine.socket);
    for (let round = 0; round < 15; round += 1) {
      await sleep(50 + round * 20);
      if (!(await isPaused(worker.containerName))) continue;
      await sleep(round * 40);
      const answered = docker.unpause(worker.containerName).then(() => 'answered');
      expect(await Promise.race([answered, sleep(20_000)])).toBe('answered');
    }
    await worker.phase('ready');
    expect(await worker.container()).toMatchObject({ id: before.id, pid: before.pid, startedAt: before.startedAt, status: 'running' });
    expect(processesOf('breathing')).toEqual(before.pids);
    const troubled = (await worker.kindsSince(mark)).filter((kind) => /died|removed|exited|killed|restart|engine/.test(kind));
    expect(troubled).toEqual([]);
    await worker.agent.service.stop();
  });
});
