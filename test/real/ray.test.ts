/** Real Ray in real containers: what falls comes back, in the head's own eyes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { at } from '../support/bystander.ts';
import { type Lab, startLab } from '../support/lab.ts';
import { listProcesses, signalProcess } from '../support/processes.ts';
import { faults, findPid, pidOf, programs, runningNode } from '../support/real/faults.ts';
import { startImported } from '../support/real/imported.ts';
import type { NetworkHolder } from '../support/real/network-holder.ts';
import { joinCommand, mountPoint, RayCluster, type RayWorker } from '../support/real/ray-cluster.ts';
import { eventually, waitFor } from '../support/wait.ts';

let lab: Lab;
let cluster: RayCluster;
let one: RayWorker;
let two: RayWorker;
beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  cluster = await RayCluster.start(lab, inject('engineSocket'), inject('realParts'));
  [one, two] = await Promise.all([cluster.startWorker('one'), cluster.startWorker('two')]);
  await Promise.all([one.ready(), two.ready()]);
});
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await lab?.dispose();
});

const { raylet, gcsfuse, launcher, dashboardAgent } = programs;

/** Breaks something, and expects the worker to be of use again, as the head and the bucket say. */
async function recovers(
  worker: RayWorker,
  fault: () => unknown,
  timeoutMs = 180_000,
): Promise<{ readonly ms: number; readonly kinds: readonly string[] }> {
  const mark = await worker.bystander.mark();
  const before = await worker.alive();
  const began = Date.now();
  await fault();
  const ready = await worker.bystander.next(mark, 'workload.ready', undefined, timeoutMs);
  const running = await runningNode(worker);
  expect(before).not.toContain(running);
  expect(await worker.alive()).toContain(running);
  expect(await worker.bystander.exec('cat', `${mountPoint}/marker`)).toBe('content\n');
  await worker.bystander.phase('ready');
  return { ms: at(ready) - began, kinds: await worker.bystander.kindsSince(mark) };
}

test('two workers have joined, each with its bucket, and the head has both ALIVE', async () => {
  for (const worker of [one, two]) {
    expect(await worker.alive()).toEqual([await runningNode(worker)]);
    expect(await worker.bystander.exec('cat', `${mountPoint}/marker`)).toBe('content\n');
  }
});

describe('a worker comes back', () => {
  test('when its container is killed', async () => {
    const { generation } = await one.bystander.status();
    const { kinds } = await recovers(one, () => cluster.docker.kill(one.bystander.containerName));
    expect(kinds).toContain('container.died');
    expect((await one.bystander.status()).generation).toBe(generation + 1);
  });

  test('when its container is removed', async () => {
    const { kinds } = await recovers(one, () => cluster.docker.remove(one.bystander.containerName));
    expect(kinds).toContain('container.created');
  });

  test('when its raylet is killed with -9, and orphans that cannot end by themselves are gone', async () => {
    const container = await one.bystander.container();
    const agent = await pidOf(one, dashboardAgent);
    await recovers(one, async () => {
      // Stopped, it does not notice that its raylet is gone: it would hold its port, or an accelerator, for ever.
      signalProcess(agent, 'SIGSTOP');
      signalProcess(await pidOf(one, raylet), 'SIGKILL');
    });
    expect(listProcesses().some(({ pid, cgroup }) => pid === agent && cgroup.includes(container.id))).toBe(false);
    expect((await one.bystander.container()).id).toBe(container.id);
  });

  test('when its raylet has ended and `ray start --block` sees nothing wrong', async () => {
    const container = await one.bystander.container();
    const before = await pidOf(one, launcher);
    const { kinds } = await recovers(one, async () => signalProcess(await pidOf(one, raylet), 'SIGTERM'));
    expect(kinds).toContain('process.started');
    expect(await pidOf(one, launcher)).not.toBe(before);
    expect((await one.bystander.container()).id).toBe(container.id);
  });

  test('when its raylet hangs', async () => {
    const { kinds } = await recovers(one, async () => signalProcess(await pidOf(one, raylet), 'SIGSTOP'));
    expect(kinds).toContain('check.failed');
  });

  test('when its raylet is well, ALIVE for the head, and of no use: its agent hangs', async () => {
    const container = await one.bystander.container();
    const node = await runningNode(one);
    const { kinds } = await recovers(one, async () => {
      signalProcess(await pidOf(one, dashboardAgent), 'SIGSTOP');
      await one.bystander.phase('degraded');
      // Seconds later it would be restarted, however long the head takes to answer.
      const { service } = one.bystander.agent;
      service.freeze();
      try {
        expect(await one.alive()).toContain(node);
        expect(await runningNode(one)).toBe(node);
      } finally {
        service.thaw();
      }
    });
    expect(kinds).toContain('check.failed');
    expect((await one.bystander.container()).id).toBe(container.id);
  });

  test('when its gcsfuse is killed', async () => {
    const { kinds } = await recovers(one, async () => signalProcess(await pidOf(one, gcsfuse), 'SIGKILL'));
    expect(kinds).toContain('mount.lost');
    expect(kinds).not.toContain('container.died');
  });

  test('when its gcsfuse hangs', async () => {
    const { kinds } = await recovers(one, async () => signalProcess(await pidOf(one, gcsfuse), 'SIGSTOP'));
    expect(kinds).toContain('mount.hung');
    expect(kinds).not.toContain('container.died');
  });
});

/** Nothing has been counted since then but what Ray itself says it has given up: a start of more than 30 s, on a machine that is busy enough. */
async function expectOnlyGivenUp({ bystander }: RayWorker, mark: number, since: number): Promise<void> {
  const counted = (await bystander.since(mark)).filter((event) => event.data['countsAsFailure'] === true && at(event) >= since);
  const filter = { host: bystander.agent.host, workload: bystander.workload, source: 'process', since: new Date(since).toISOString() };
  // Lines come on a way of their own.
  await eventually(
    async () => {
      const said = (await lab.fleet.logs(filter)).filter((entry) => 'line' in entry && entry.line.includes('timed out during startup'));
      const runs = new Set(said.map(({ run }) => run));
      expect(counted.slice(runs.size)).toEqual([]);
    },
    { everyMs: 200, what: 'nothing to have been counted' },
  );
}

describe('a head that is lost', () => {
  test('and comes back elsewhere: both workers wait without spending their budget, and join it', async () => {
    const marks = await Promise.all([one, two].map((worker) => worker.bystander.mark()));
    const elsewhere = await cluster.newMachine('second-head');
    await cluster.loseHead();
    await waitFor(
      async () => (await Promise.all([one, two].map((worker) => worker.bystander.status()))).every(({ phase }) => phase === 'waiting'),
      {
        timeoutMs: 240_000,
        everyMs: 200,
        what: 'both workers to wait for the head',
      },
    );
    const backAt = Date.now();
    await cluster.startHead(elsewhere);
    for (const [i, worker] of [one, two].entries()) {
      const ready = await worker.bystander.next(marks[i] ?? 0, 'workload.ready', undefined, 240_000);
      expect(await worker.alive()).toEqual([await runningNode(worker)]);
      await expectOnlyGivenUp(worker, marks[i] ?? 0, backAt);
      // In the same container, over what the cluster before has left in it.
      expect((await worker.bystander.exec('ls', '/tmp/ray')).match(/^session_2/gm)?.length).toBeGreaterThan(1);
      expect(await worker.bystander.exec('cat', '/tmp/ray/ray_current_cluster')).toBe(`${cluster.headAddress}:6379`);
      expect(at(ready)).toBeGreaterThan(backAt);
    }
  });
});

test('everything at once: container, mount and head, and a raylet while they come back', async () => {
  const marks = await Promise.all([one, two].map((worker) => worker.bystander.mark()));
  const elsewhere = await cluster.newMachine('third-head');
  await Promise.all([
    cluster.loseHead(),
    cluster.docker.kill(one.bystander.containerName),
    pidOf(two, gcsfuse).then((pid) => signalProcess(pid, 'SIGSTOP')),
  ]);
  await cluster.startHead(elsewhere);
  await one.bystander.next(marks[0] ?? 0, 'process.started', undefined, 240_000);
  await waitFor(() => findPid(one, raylet), { timeoutMs: 120_000, what: 'a raylet to start' });
  await faults['raylet killed'](one);
  for (const worker of [one, two]) {
    await waitFor(async () => (await worker.bystander.status()).phase === 'ready' && (await isJoined(worker)), {
      timeoutMs: 240_000,
      everyMs: 200,
      what: `${worker.bystander.workload} to be of use again`,
    });
    expect(await worker.bystander.exec('cat', `${mountPoint}/marker`)).toBe('content\n');
  }
  const kinds = await Promise.all([one, two].map((worker, i) => worker.bystander.since(marks[i] ?? 0)));
  expect(kinds.flat().filter(({ kind }) => kind === 'workload.held')).toEqual([]);
});

/** Under the id of the raylet that runs. */
async function isJoined(worker: RayWorker): Promise<boolean> {
  const pid = await findPid(worker, raylet);
  return pid !== undefined && (await worker.alive()).includes(await runningNode(worker));
}

/** Somebody else's program on a machine's port. */
async function holdPort(machine: NetworkHolder, port: number): Promise<{ readonly name: string; end(): void }> {
  const { pid } = await lab.engine.execDetached(machine.name, {
    argv: ['python3', '-m', 'http.server', String(port), '--bind', '127.0.0.1'],
  });
  const asked = `import socket; socket.create_connection(("127.0.0.1", ${port})).close()`;
  const isHeld = async (): Promise<boolean> => (await lab.engine.exec(machine.name, { argv: ['python3', '-c', asked] })).exitCode === 0;
  await waitFor(isHeld, { everyMs: 200, what: `port ${port} to be held` });
  return { name: `python3 (pid ${pid})`, end: () => signalProcess(pid, 'SIGKILL') };
}

async function retire({ bystander }: RayWorker): Promise<void> {
  await bystander.agent.service.stop();
  await cluster.docker.remove(bystander.containerName);
}

test("a port of the raylet that another program holds: held with its name out of the raylet's own log, and let go when it is free", async () => {
  const machine = await cluster.newMachine('taken-port');
  const holder = await holdPort(machine, 6_700);
  const document = { process: { before: 'ray stop --force', run: `${joinCommand} --node-manager-port=6700` } };
  const worker = await cluster.startWorker('taken-port', { document, machine });
  // `ray start` itself says after 30 s that its node timed out, twice.
  const held = await worker.bystander.next(0, 'workload.held', undefined, 240_000);
  expect(held.data).toMatchObject({ code: 'address-in-use', port: 6_700, holder: holder.name });
  expect(held.message).toContain('Ray cannot listen on 0.0.0.0:6700: Address already in use');
  holder.end();
  await worker.ready();
  expect(await isJoined(worker)).toBe(true);
  await retire(worker);
});

test('a cluster file for `ray up`, imported: host commands, setup, mount and Ray; again, over what a killed raylet left', async () => {
  const { worker, tmp } = await startImported(cluster);
  await worker.ready();
  expect(await worker.alive()).toEqual([await runningNode(worker)]);
  const { bystander } = worker;
  expect(readFileSync(join(tmp, 'initialized'), 'utf8')).toMatch(/^initialized by /);
  // Written after the mount, by a shell that has read what an earlier step wrote.
  expect(readFileSync(join(tmp, 'after-the-mount'), 'utf8')).toBe(`${mountPoint}/shared\n`);
  expect(await bystander.exec('cat', '/root/.ssh/authorized_keys')).toContain('ssh-ed25519');
  const { generation } = await bystander.status();
  await recovers(worker, async () => {
    signalProcess(await pidOf(worker, raylet), 'SIGKILL');
    await cluster.docker.kill(bystander.containerName);
  });
  expect((await bystander.status()).generation).toBe(generation + 1);
  // The session of the raylet that was killed lies in /tmp, which is the host's: the new one is beside it.
  expect(await bystander.exec('ls', '/tmp/ray/session_latest/sockets')).toMatch(/^raylet\nraylet\.1$/m);
  await retire(worker);
});

describe('a worker is held', () => {
  test("when its version of Ray is not the cluster's, and let go when its image is", async () => {
    const worker = await cluster.startWorker('other-version', { image: cluster.parts.otherImage });
    const held = await worker.bystander.next(0, 'workload.held', undefined, 180_000);
    expect(held.data).toMatchObject({ code: 'version-mismatch' });
    expect(held.message).toMatch(/Version mismatch: The cluster was started with/);
    const { agent, workload } = worker.bystander;
    await agent.service.stop();
    const container = { name: worker.bystander.containerName, image: cluster.parts.image, pull_policy: 'never' };
    agent.configure([{ name: workload, ...cluster.workerDocument(worker.machine, { container }) }]);
    await agent.service.start();
    await worker.ready();
    expect(await worker.alive()).toEqual([await runningNode(worker)]);
    await retire(worker);
  });
});
