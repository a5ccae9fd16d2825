/** FUSE mounts that die, stop or fall silent: back within the time that their check allows, and the agent never waits for one. */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { at, Bystander, type WorkloadDocument } from '../support/bystander.ts';
import { dockerApi } from '../support/docker-api.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { listProcesses, signalProcess } from '../support/processes.ts';
import { AgentWatch } from '../support/agent-watch.ts';
import { eventually, waitFor } from '../support/wait.ts';

const docker = dockerApi(inject('engineSocket'));
/** A busy machine answers within the timeout: what is well must not be found hung. */
const check = { intervalMs: 1_500, timeoutMs: 1_500, failures: 2 };
/** What a busy machine takes to unmount, to mount and to look. */
const mountingMs = 4_000;
/** From the fault to the mount that is there again, as promised. */
const withinMs = { dead: check.intervalMs + mountingMs, hung: (check.intervalMs + check.timeoutMs) * check.failures + mountingMs };

/** An agent that touched the mount would be silent until it is gone, which takes two checks and more. A busy machine takes a part of it. */
const silentMs = 2_000;

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(async () => {
  await lab?.dispose();
});

/** A worker that reads from its mount all the time, and would not survive without it. */
function reader(mountRun: string, readCommand: string, readHere: string): WorkloadDocument {
  return {
    container: { cap_add: ['SYS_ADMIN'], devices: ['/dev/fuse'], security_opt: ['apparmor=unconfined'] },
    mounts: [
      {
        name: 'data',
        type: 'command',
        run: mountRun,
        target: '/data',
        check: { interval: `${check.intervalMs}ms`, timeout: `${check.timeoutMs}ms`, failures: check.failures },
      },
    ],
    setup: [{ name: 'source', run: 'mkdir -p /src && echo content > /src/file' }, { mount: 'data' }, { name: 'after', run: readCommand }],
    // From its working directory on the mount: one that was started on the dead mount reads nothing there for ever.
    process: { run: `cd /data; while :; do ${readHere} > /dev/null 2>&1 && echo has read; sleep 0.1; done`, stop_timeout: '500ms' },
    ready: [{ exec: readCommand, interval: '200ms' }],
  };
}
const bindfs = reader('exec bindfs -f --no-allow-other /src /data', 'grep content /data/file', 'grep content file');
const daemonising = reader('bindfs --no-allow-other /src /data', 'grep content /data/file', 'grep content file');
const mute = reader('exec fuse-mute /data', 'stat -f /data', 'stat -f .');

async function withReader(name: string, document: WorkloadDocument, body: (worker: Bystander) => Promise<void>): Promise<void> {
  const worker = await Bystander.ready(lab, name, inject('engineImage'), document);
  try {
    await body(worker);
  } finally {
    await worker.agent.service.stop();
  }
}

async function daemon(worker: Bystander, name: string): Promise<number> {
  const { id } = await worker.container();
  const found = listProcesses().find(({ cgroup, cmdline }) => cgroup.includes(id) && cmdline[0]?.endsWith(name) === true);
  if (found === undefined) throw new Error(`no ${name} in ${worker.containerName}`);
  return found.pid;
}

async function hasReadSince(worker: Bystander, ms: number): Promise<boolean> {
  const entries = await lab.fleet.logs({ host: worker.agent.host, source: 'process', since: new Date(ms).toISOString() });
  return entries.some((entry) => 'line' in entry && entry.line === 'has read' && Date.parse(entry.at) > ms);
}

/** Breaks the mount, and expects it back in the same container, with the process started anew on it; returns how long it was away. */
async function remounted(worker: Bystander, fault: () => void, lost: 'mount.lost' | 'mount.hung'): Promise<number> {
  const before = await worker.container();
  const earlier = await worker.status();
  const mark = await worker.mark();
  await using watch = await AgentWatch.start(worker);
  const brokenAt = Date.now();
  fault();
  const noticed = await worker.next(mark, lost);
  const mounted = await worker.next(Number(noticed.id), 'mount.mounted');
  const started = await worker.next(Number(mounted.id), 'process.started');
  await worker.next(Number(started.id), 'workload.ready');
  await worker.phase('ready');

  expect(at(mounted) - at(noticed)).toBeLessThan(mountingMs);
  const kinds = await worker.kindsSince(mark);
  expect(kinds.filter((kind) => kind === lost)).toHaveLength(1);
  expect(kinds).not.toContain('container.died');
  expect(kinds.indexOf('process.killed')).toBeGreaterThan(kinds.indexOf('mount.mounted'));
  expect(await worker.container()).toMatchObject({ id: before.id, pid: before.pid });
  await eventually(
    async () => expect((await worker.status()).restarts).toEqual({ ...earlier.restarts, process: earlier.restarts.process + 1 }),
    { what: 'one restart of the process' },
  );
  await waitFor(() => hasReadSince(worker, at(started)), { what: 'the new process to read from the mount', everyMs: 100 });

  const { childrenMax, slowestAnswerMs, answers } = await watch.stop();
  expect(answers).toBeGreaterThan(0);
  expect(slowestAnswerMs).toBeLessThan(silentMs);
  expect(childrenMax).toBeLessThanOrEqual(2);
  await waitFor(() => watch.children() === 0, { what: 'no child of the agent to be left' });
  return at(mounted) - brokenAt;
}

describe('a FUSE daemon', () => {
  test('killed: back at once', () =>
    withReader('mount-killed', bindfs, async (worker) => {
      const pid = await daemon(worker, 'bindfs');
      expect(await remounted(worker, () => signalProcess(pid, 'SIGKILL'), 'mount.lost')).toBeLessThan(withinMs.dead);
    }));

  test('killed, of a program that goes into the background: back after the next check', () =>
    withReader('mount-daemon', daemonising, async (worker) => {
      const pid = await daemon(worker, 'bindfs');
      expect(await remounted(worker, () => signalProcess(pid, 'SIGKILL'), 'mount.lost')).toBeLessThan(withinMs.dead);
    }));

  test('unmounted by hand: back after the next check', () =>
    withReader('mount-gone', bindfs, async (worker) => {
      const { id } = await worker.container();
      const mark = await worker.mark();
      await lab.engine.exec(id, { argv: ['umount', '-l', '/data'] });
      const lost = await worker.next(mark, 'mount.lost');
      await worker.next(Number(lost.id), 'workload.ready');
      expect(await worker.exec('cat', '/data/file')).toBe('content\n');
    }));

  test('stopped: back when its checks have failed often enough', () =>
    withReader('mount-stopped', bindfs, async (worker) => {
      const pid = await daemon(worker, 'bindfs');
      expect(await remounted(worker, () => signalProcess(pid, 'SIGSTOP'), 'mount.hung')).toBeLessThan(withinMs.hung);
    }));

  test('that reads requests and never answers: the same, though nobody who waits for it can be killed', () =>
    withReader('mount-mute', mute, async (worker) => {
      const pid = await daemon(worker, 'fuse-mute');
      expect(await remounted(worker, () => signalProcess(pid, 'SIGUSR1'), 'mount.hung')).toBeLessThan(withinMs.hung);
    }));

  test('that never answers, and the container is killed: back in a new one', () =>
    withReader('mount-mute-killed', mute, async (worker) => {
      const { generation } = await worker.status();
      const mark = await worker.mark();
      signalProcess(await daemon(worker, 'fuse-mute'), 'SIGUSR1');
      await worker.next(mark, 'check.failed');
      await docker.kill(worker.containerName);
      // The mount may have been placed again, and all been ready, before the container was killed.
      const died = await worker.next(mark, 'container.died');
      await worker.next(Number(died.id), 'workload.ready');
      await eventually(async () => expect((await worker.status()).generation).toBe(generation + 1), { what: 'the next generation' });
      expect(await worker.running()).toHaveLength(1);
    }));
});

test('a mount named between two steps is placed between them', () =>
  withReader('mount-between', bindfs, async (worker) => {
    const order = (await worker.events()).flatMap(({ kind, data }) =>
      kind === 'setup.step-done' ? [String(data['step'])] : kind === 'mount.mounted' ? ['mount'] : [],
    );
    expect(order).toEqual(['source', 'mount', 'after']);
  }));
