/**
 * A fault while another one is being mended, and several at once. Whatever happens on the way, the end is always the same: ready
 * without a hand, one of everything, nothing left behind, no event lost, and an incident that names what came first.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiEvent, ApiIncident } from '@relight/shared/api';
import type { EventKind } from '@relight/shared/event';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { at, Bystander, type WorkloadDocument } from '../support/bystander.ts';
import { caughtUp } from '../support/caught-up.ts';
import { dockerApi } from '../support/docker-api.ts';
import { startPrivateEngine } from '../support/engine.ts';
import { EventFeed } from '../support/event-feed.ts';
import { Head } from '../support/head.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { signalProcess } from '../support/processes.ts';
import { eventually, waitFor } from '../support/wait.ts';
import {
  daemonPids,
  deliveryMs,
  expectEveryEvent,
  expectWhole,
  generousRestarts,
  mountedWorker,
  mountOf,
  processPids,
} from '../support/whole.ts';

const image = inject('engineImage');
const docker = dockerApi(inject('engineSocket'));
let lab: Lab;
let feed: EventFeed;

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  feed = new EventFeed(lab.fleet);
});
afterAll(async () => {
  feed?.[Symbol.dispose]();
  await lab?.dispose();
});

/** Long enough to be met in the middle. */
const slowSetup = [
  { name: 'source', run: 'sleep 0.3; mkdir -p /src && echo content > /src/file' },
  { mount: 'data' },
  { name: 'slow', run: 'sleep 1' },
];

/** However long it takes until a fault can strike: as long as `held`, whatever runs `whileHeld` in the container stays where it is. */
class Middle {
  readonly #file: string;
  readonly container: { readonly volumes: readonly string[] };

  constructor(name: string, within: Lab = lab) {
    const directory = join(within.directory, `middle-${name}`);
    mkdirSync(directory);
    this.#file = join(directory, 'held');
    this.container = { volumes: [`${directory}:/middle`] };
  }
  hold(): void {
    writeFileSync(this.#file, '');
  }
  release(): void {
    rmSync(this.#file, { force: true });
  }
}
const whileHeld = 'while test -e /middle/held; do sleep 0.1; done';
const heldSetup = [...slowSetup.slice(0, 2), { name: 'slow', run: whileHeld }];

/** Runs the fault on a worker that is ready, and expects it whole; then its agent goes, so that it does not disturb the next one. */
async function withWorker(name: string, more: WorkloadDocument, body: (worker: Bystander) => Promise<void>): Promise<void> {
  const worker = await Bystander.ready(lab, name, image, mountedWorker(name, more));
  try {
    await body(worker);
    await expectWhole(worker);
    await expectEveryEvent(worker, feed);
  } finally {
    await worker.agent.service.stop();
  }
}

/**
 * All incidents of the worker that its events tell of, oldest first; each is over. They travel beside the events, and learn for some
 * seconds what the kernel log and the engine say late.
 */
async function incidentsOf(worker: Bystander): Promise<readonly ApiIncident[]> {
  const { host } = worker.agent;
  const told = (await worker.events())
    .filter(({ kind, workload }) => kind === 'incident.opened' && workload === worker.workload)
    .map(({ data }) => data['incident']);
  const found = await waitFor(
    async () => {
      const { items } = await worker.lab.fleet.api.list<ApiIncident>('incidents', { host, workload: worker.workload });
      const ids = new Set<unknown>(items.map(({ id }) => id));
      return told.length > 0 && told.every((id) => ids.has(id)) && items.every(({ closedAt }) => closedAt !== null) && items;
    },
    { timeoutMs: deliveryMs, everyMs: 100, what: `the incidents of ${worker.workload} to be over` },
  );
  return found.toReversed();
}

const only = <T>(items: readonly T[]): T => {
  expect(items).toHaveLength(1);
  return items[0] as T;
};
const counted = (events: readonly ApiEvent[]): readonly ApiEvent[] => events.filter(({ data }) => data['countsAsFailure'] === true);
const stepStarted = (step: string) => (event: ApiEvent) => event.data['step'] === step;
const kill = (pids: readonly number[]): void => {
  expect(pids).not.toEqual([]);
  for (const pid of pids) signalProcess(pid, 'SIGKILL');
};

describe('during a recovery', () => {
  test('the container is killed while its mount is being placed again: one incident, of the mount', () => {
    const name = 'mount-then-container';
    const middle = new Middle(name);
    return withWorker(name, { container: middle.container, mounts: [mountOf(name, whileHeld)] }, async (worker) => {
      const mark = await worker.mark();
      const { generation } = await worker.status();
      middle.hold();
      kill(daemonPids(worker.workload));
      await worker.next(mark, 'mount.lost');
      await docker.kill(worker.containerName);
      middle.release();
      const ready = await worker.next(mark, 'workload.ready', (event) => event.generation === generation + 1);
      expect((await worker.since(mark)).filter(({ kind, id }) => kind === 'container.died' && Number(id) < Number(ready.id))).toHaveLength(
        1,
      );
      expect(only(await incidentsOf(worker))).toMatchObject({
        code: 'mount-lost',
        attempts: { container: 1 },
        cause: expect.stringMatching(/^the mount data \(\/data\) died/) as string,
      });
    });
  });

  test('the mount is killed while the setup runs: both are mended in one go', () => {
    const middle = new Middle('setup-then-mount');
    return withWorker('setup-then-mount', { setup: heldSetup, container: middle.container }, async (worker) => {
      const mark = await worker.mark();
      middle.hold();
      await docker.kill(worker.containerName);
      await worker.next(mark, 'setup.step-started', stepStarted('slow'));
      kill(daemonPids(worker.workload));
      middle.release();
      await worker.next(mark, 'workload.ready');
      expect(only(await incidentsOf(worker)).code).toBe('stopped-by-hand');
    });
  });

  test('pause in the middle: nothing goes on until resume, and then everything', () => {
    const middle = new Middle('pause-inside');
    return withWorker('pause-inside', { setup: heldSetup, container: middle.container }, async (worker) => {
      middle.hold();
      const mark = await worker.mark();
      signalProcess((await worker.container()).pid, 'SIGKILL');
      await worker.next(mark, 'setup.step-started', stepStarted('slow'));
      expect(await lab.agentCommand(worker.agent, 'pause', worker.workload, '--reason', 'a look')).toMatchObject({ code: 0 });
      await worker.phase('paused');
      middle.release();
      kill(daemonPids(worker.workload));
      expect(await lab.agentCommand(worker.agent, 'resume', worker.workload)).toMatchObject({ code: 0 });
      await worker.next(mark, 'workload.ready');
      const events = await worker.since(mark);
      const paused = events.findIndex(({ kind }) => kind === 'workload.paused');
      const resumed = events.findIndex(({ kind }) => kind === 'workload.resumed');
      expect(events.slice(paused, resumed).map(({ kind }) => kind)).not.toContain('process.started');
      expect(only(await incidentsOf(worker))).toMatchObject({ code: 'container-exited', byHand: true });
    });
  });

  test.each([true, false])('the agent is killed, its disk full: %s; incident and events are told all the same', async (isFull) => {
    const name = isFull ? 'agent-full' : 'agent-disk';
    const stateDir = join(lab.directory, 'hosts', name, 'state');
    mkdirSync(stateDir, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', stateDir]);
    const ballast = join(stateDir, 'ballast');
    try {
      await withWorker(name, { setup: slowSetup }, async (worker) => {
        const mark = await worker.mark();
        if (isFull) execFileSync('sh', ['-c', `dd if=/dev/zero of='${ballast}' bs=64k 2>/dev/null; true`]);
        signalProcess((await worker.container()).pid, 'SIGKILL');
        await worker.next(mark, 'setup.step-started');
        await worker.agent.service.kill();
        await worker.agent.service.start();
        // How a step ended is written beside its log: without room nobody can know, so it is not tried again and again.
        if (isFull) await worker.next(mark, 'workload.held', ({ data }) => data['code'] === 'disk-full');
        rmSync(ballast, { force: true });
        await worker.next(mark, 'workload.ready');
        expect((await incidentsOf(worker))[0]?.code).toBe('container-exited');
      });
    } finally {
      execFileSync('umount', ['-l', stateDir]);
    }
  });
});

test('the agent is killed in every stage of a recovery: each time its next life goes on where it was, and counts once', () =>
  withWorker('agent-killed', { setup: slowSetup }, async (worker) => {
    const step = (name: string) => (event: ApiEvent) => event.data['step'] === name;
    const stages: readonly (readonly [kind: EventKind, matches?: (event: ApiEvent) => boolean])[] = [
      ['container.died'],
      ['container.created'],
      ['setup.step-done', step('source')],
      ['setup.step-started', step('slow')],
      ['setup.step-done', step('slow')],
      ['process.started'],
    ];
    let { generation } = await worker.status();
    for (const [kind, matches] of stages) {
      const from = feed.mark();
      const ours = (event: ApiEvent): boolean => event.host === worker.agent.host;
      signalProcess((await worker.container()).pid, 'SIGKILL');
      await feed.next(from, (event) => ours(event) && event.kind === kind && (matches?.(event) ?? true), kind);
      await worker.agent.service.kill();
      await worker.agent.service.start();
      generation += 1;
      const isBack = (event: ApiEvent): boolean => ours(event) && event.kind === 'workload.ready' && event.generation === generation;
      await feed.next(from, isBack, `ready after a kill at ${kind}`);
      await worker.phase('ready');
      expect({ kind, generation: (await worker.status()).generation }).toEqual({ kind, generation });
    }
    const { restarts } = await worker.status();
    expect(restarts).toEqual({ process: 0, container: stages.length, host: 0 });
    const incidents = await incidentsOf(worker);
    expect(incidents.map(({ code }) => code)).toEqual(stages.map(() => 'container-exited'));
  }));

describe('a dependency', () => {
  /** As Ray does: without its head the process ends. */
  const needsHead = 'nc ${HEAD%:*} ${HEAD#*:} < /dev/null || exit 9';

  async function dependent(
    name: string,
    head: Head,
    body: (worker: Bystander, file: string, middle: Middle) => Promise<void>,
  ): Promise<void> {
    const file = join(lab.directory, `${name}.address`);
    const middle = new Middle(name);
    await head.open();
    writeFileSync(file, head.address);
    const document = mountedWorker(
      name,
      { setup: heldSetup, depends_on: [{ tcp: '${HEAD}' }], container: { network_mode: 'host', ...middle.container } },
      needsHead,
    );
    const worker = await Bystander.start(lab, name, image, document, {}, {}, { vars: { HEAD: { run: ['cat', file] } } });
    try {
      await worker.phase('ready');
      await worker.next(0, 'workload.ready');
      await body(worker, file, middle);
      await expectWhole(worker);
      await expectEveryEvent(worker, feed);
    } finally {
      await head.close();
      await worker.agent.service.stop();
    }
  }

  test('is lost while the setup runs and comes back at another address: the new one is used, at no cost', async () => {
    const head = new Head();
    await dependent('head-moves', head, async (worker, file, middle) => {
      const mark = await worker.mark();
      middle.hold();
      signalProcess((await worker.container()).pid, 'SIGKILL');
      await worker.next(mark, 'setup.step-started', stepStarted('slow'));
      await head.close();
      middle.release();
      await worker.phase('waiting');
      await head.open();
      // Renamed into place: a half written address is none.
      writeFileSync(`${file}.new`, head.address);
      const movedAt = Date.now();
      renameSync(`${file}.new`, file);
      const back = await worker.next(mark, 'check.recovered', ({ data }) => 'dependency' in data);
      expect(at(back) - movedAt).toBeLessThan(10_000);
      await worker.next(mark, 'workload.ready');
      expect(counted(await worker.since(mark))).toHaveLength(1);
      expect((await worker.status()).restarts).toEqual({ process: 0, container: 1, host: 0 });
      expect(only(await incidentsOf(worker)).code).toBe('container-exited');
    });
  });

  test('that flaps every second for 20 s costs nothing and is told in few words', async () => {
    const head = new Head();
    await dependent('head-flaps', head, async (worker) => {
      const mark = await worker.mark();
      const [process] = processPids(worker.workload);
      for (let flap = 0; flap < 10; flap += 1) {
        await head.close();
        await passes(1_000);
        await head.reopen();
        await passes(1_000);
      }
      await worker.phase('ready');
      const events = await worker.since(mark);
      expect(counted(events)).toEqual([]);
      expect((await worker.status()).restarts).toEqual({ process: 0, container: 0, host: 0 });
      expect(processPids(worker.workload)).toEqual([process]);
      // Its losses are told; a storm they are not.
      expect(events.length).toBeLessThanOrEqual(60);
    });
  });
});

/** The fault is what takes time here. */
async function passes(ms: number): Promise<void> {
  const until = performance.now() + ms;
  await waitFor(() => performance.now() >= until, { timeoutMs: ms + 5_000, what: 'the time to pass' });
}

test('two workloads of a host fail at the same moment: each comes back, each has its incident', async () => {
  const names = ['twin-a', 'twin-b'] as const;
  const containerOf = (name: string): string => `e2e-${name}-${process.pid}`;
  const workloads = names.map((name) => {
    const document = mountedWorker(name);
    const container = {
      name: containerOf(name),
      image,
      pull_policy: 'never',
      init: true,
      command: ['sleep', 'infinity'],
      ...document.container,
    };
    return { name, ...document, container };
  });
  const agent = await lab.addAgent({ host: 'twins', workloads });
  for (const name of names) await lab.fleet.waitForPhase('twins', name, 'ready');
  const mark = feed.mark();
  await Promise.all(names.map(async (name) => signalProcess((await lab.engine.inspect(containerOf(name)))?.pid ?? 0, 'SIGKILL')));
  for (const name of names)
    await feed.next(mark, ({ kind, workload }) => kind === 'workload.ready' && workload === name, `${name} to be ready`);
  for (const name of names) {
    const closed = await feed.next(
      mark,
      ({ kind, workload }) => kind === 'incident.closed' && workload === name,
      `the incident of ${name}`,
    );
    expect(closed.data['code']).toBe('container-exited');
    await caughtUp(lab, agent);
    expect(processPids(name)).toHaveLength(1);
    expect(daemonPids(name)).toHaveLength(1);
    expect((await lab.fleet.workload('twins', name))?.restarts).toEqual({ process: 0, container: 1, host: 0 });
  }
  await agent.service.stop();
});

test('an OOM storm: process after process is killed for want of memory, and the kernel is named', async () => {
  const hog = 'test $(cat /tmp/hogs | wc -l) -ge 4 || { echo hog >> /tmp/hogs; exec tail /dev/zero; }';
  const name = 'oom-storm';
  const worker = await Bystander.start(lab, name, image, {
    container: { mem_limit: '48mb', memswap_limit: '48mb' },
    process: { run: `touch /tmp/hogs; sleep 0.5; ${hog}; exec sleep 98765`, stop_timeout: '1s' },
    restart: generousRestarts,
  });
  await waitFor(async () => (await worker.status().catch(() => undefined))?.restarts.process === 4, {
    timeoutMs: 60_000,
    everyMs: 100,
    what: 'four restarts',
  });
  await worker.phase('ready');
  // The kernel log is read a moment after the death that it explains.
  await eventually(
    async () => {
      const incidents = await incidentsOf(worker);
      expect(incidents.length).toBeLessThanOrEqual(4);
      for (const { cause, code } of incidents) {
        expect(cause).toMatch(/^the kernel killed .* for want of memory, container limit 48\.0 MiB/);
        expect(code).toBe('process-oom');
      }
    },
    { everyMs: 200, what: 'every incident to name the kernel' },
  );
  expect((await worker.status()).restarts).toEqual({ process: 4, container: 0, host: 0 });
  expect(await worker.running()).toHaveLength(1);
  await expectEveryEvent(worker, feed);
  await worker.agent.service.stop();
});

test('the configuration changes while the workload is held: the new one is what counts', async () => {
  const worker = await Bystander.start(lab, 'held-changed', `relight-nowhere-${process.pid}:latest`, mountedWorker('held-changed'));
  await worker.phase('held');
  const held = await worker.status();
  expect(held.reason).toContain('nowhere');
  const container = { name: worker.containerName, image, pull_policy: 'never', init: true, command: ['sleep', 'infinity'] };
  const document = mountedWorker('held-changed');
  worker.agent.configure([{ name: 'held-changed', ...document, container: { ...container, ...document.container } }]);
  await worker.agent.service.kill();
  await worker.agent.service.start();
  await expectWhole(worker);
  expect(only(await incidentsOf(worker)).code).toBe('image-not-found');
  await expectEveryEvent(worker, feed);
  await worker.agent.service.stop();
});

test('a crash loop while the collector is away: everything is told when it is back', () =>
  withWorker('away-loop', {}, async (worker) => {
    const mark = await worker.mark();
    await lab.collector.kill();
    const deaths = 5;
    for (let death = 0; death < deaths; death += 1) {
      const [pid] = await waitFor(() => processPids(worker.workload).length === 1 && processPids(worker.workload), { what: 'the process' });
      signalProcess(pid ?? 0, 'SIGKILL');
      await waitFor(() => !processPids(worker.workload).includes(pid ?? 0), { what: 'its end' });
    }
    await waitFor(() => processPids(worker.workload).length === 1, { what: 'the process' });
    await lab.collector.start();
    await expectWhole(worker);
    // The agent dials again after a while.
    await waitFor(async () => (await worker.kindsSince(mark)).filter((kind) => kind === 'process.exited').length === deaths, {
      timeoutMs: deliveryMs,
      everyMs: 100,
      what: 'the deaths to be told',
    });
    await worker.caughtUp();
    expect((await worker.status()).restarts).toEqual({ process: deaths, container: 0, host: 0 });
    const incidents = await incidentsOf(worker);
    expect(new Set(incidents.map(({ code }) => code))).toEqual(new Set(['process-exited']));
  }));

test('the engine is killed while a container is made anew, twice: back, one of everything', async () => {
  await using engine = await startPrivateEngine({ liveRestore: false });
  const own = await startLab({ engineSocket: engine.socket });
  try {
    using ownFeed = new EventFeed(own.fleet);
    const name = 'engine-killed';
    const middle = new Middle(name, own);
    const document = mountedWorker(name, { setup: heldSetup, container: middle.container });
    const worker = await Bystander.ready(own, name, await buildTestImage(engine), document);
    for (const kind of ['container.died', 'container.created'] as const) {
      const mark = await worker.mark();
      middle.hold();
      signalProcess((await worker.container()).pid, 'SIGKILL');
      await worker.next(mark, kind);
      await engine.kill();
      await worker.next(mark, 'engine.lost');
      await engine.start();
      middle.release();
      await worker.next(mark, 'workload.ready', () => true, 60_000);
      await expectWhole(worker, 60_000);
    }
    await worker.caughtUp();
    const { restarts } = await worker.status();
    // What fell with the engine is nobody's failure. It may leave a task behind whose container cannot be started: one more for each.
    expect(restarts).toMatchObject({ process: 0, host: 0 });
    expect(restarts.container).toBeGreaterThanOrEqual(2);
    expect(restarts.container).toBeLessThanOrEqual(4);
    expect((await incidentsOf(worker)).map(({ code }) => code)).toEqual(['container-exited', 'container-exited']);
    await expectEveryEvent(worker, ownFeed);
  } finally {
    await own.dispose();
  }
});
