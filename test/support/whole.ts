/**
 * What must be so after every fault, whatever it was: ready, one container with the name, one process, one mount, nothing left
 * behind anywhere on the machine, and no event lost on its way to the collector.
 */
import { readFileSync } from 'node:fs';
import type { ApiEvent } from '@relight/shared/api';
import { expect } from 'vitest';
import type { Bystander, WorkloadDocument } from './bystander.ts';
import { committedEpochs, isCommitted } from './committed-events.ts';
import type { EventFeed } from './event-feed.ts';
import { loggedEvents, type LoggedEvent } from './logged-events.ts';
import { describeProcess, listProcesses, withoutForks } from './processes.ts';
import { eventually, waitFor } from './wait.ts';

const target = '/data';

/** Not about waiting: hundreds of failures are paid for. */
const atOnce = { initial: '100ms', max: '1s', reset_after: '10m', budget: '1000 per 10m' };
export const generousRestarts = { process: { ...atOnce, escalate_after: 1000 }, container: atOnce };

/** A worker that lives from its mount. Its programs carry its name, so what is left of them is found on the whole machine. */
export function mountedWorker(name: string, more: WorkloadDocument = {}, before = ':'): WorkloadDocument {
  return {
    ...more,
    container: {
      cap_add: ['SYS_ADMIN'],
      devices: ['/dev/fuse'],
      security_opt: ['apparmor=unconfined'],
      ...more.container,
    },
    mounts: more['mounts'] ?? [mountOf(name)],
    setup: more['setup'] ?? [{ name: 'source', run: 'mkdir -p /src && echo content > /src/file' }, { mount: 'data' }],
    process: { before, run: processOf(name), stop_timeout: '1s' },
    ready: [{ exec: `grep -q content ${target}/file`, interval: '200ms' }],
    live: [{ exec: isBeating, interval: '500ms', timeout: '5s', failures: 3, restarts: 'process' }],
    restart: generousRestarts,
  };
}

/** `before`: what its program does first. */
export const mountOf = (name: string, before = ':'): Readonly<Record<string, unknown>> => ({
  name: 'data',
  type: 'command',
  run: `${before}; exec bindfs -f --no-allow-other -o fsname=${name} /src ${target}`,
  target,
  // One that hangs is found all the same; on a busy machine a look may take a second.
  check: { interval: '500ms', timeout: '2s', failures: 2 },
});

const processOf = (name: string): string => `name=${name}; cd ${target}; while touch /tmp/beat; do sleep 0.3; done`;
/** A process that stands still is found by what it does not do; one whose disk stands still for some seconds is well. */
const isBeating = 'test $(($(date +%s) - $(stat -c %Y /tmp/beat))) -lt 10';

/** Host pids of the worker's process, wherever on this machine; without what it has forked and what is not yet `touch` or `sleep`. */
export function processPids(name: string): readonly number[] {
  const pids = listProcesses()
    .filter(({ cmdline }) => cmdline[1] === '-c' && cmdline[2] === processOf(name))
    .map(({ pid }) => pid);
  return withoutForks(pids);
}

/** Host pids of the daemon of its mount. */
export const daemonPids = (name: string): readonly number[] =>
  listProcesses()
    .filter(({ cmdline }) => cmdline[0]?.endsWith('bindfs') === true && cmdline.includes(`fsname=${name}`))
    .map(({ pid }) => pid);

/** Waits until it is so, and fails with what is not. */
export async function expectWhole(worker: Bystander, timeoutMs = 60_000): Promise<void> {
  await worker.phase('ready', timeoutMs);
  await eventually(
    async () => {
      expect((await worker.status()).phase).toBe('ready');
      const { id, pid } = await worker.container();
      expect((await worker.running()).map(({ name }) => name)).toEqual([worker.containerName]);
      const processes = processPids(worker.workload);
      const daemons = daemonPids(worker.workload);
      expect({ processes: processes.map(describeProcess), daemons: daemons.map(describeProcess) }).toEqual({
        processes: [expect.any(String)],
        daemons: [expect.any(String)],
      });
      const ofContainer = listProcesses().filter(({ cgroup }) => cgroup.includes(id));
      const pids = ofContainer.map((found) => found.pid);
      expect(pids).toEqual(expect.arrayContaining([...processes, ...daemons]));
      expect(mountsOf(pid)).toBe(1);
      expect(mountsOf('self')).toBe(0);
      expect(await worker.exec('cat', `${target}/file`)).toBe('content\n');
      // At most the last dead one is kept for whoever wants to look.
      expect(await containersOf(worker)).toBeLessThanOrEqual(2);
    },
    { timeoutMs, everyMs: 200, what: `${worker.workload} to be whole` },
  );
}

/** FUSE mounts at the target, in the mount namespace of a process. */
function mountsOf(pid: number | 'self'): number {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split('\n');
  return lines.filter((line) => line.split(' ')[4] === target && line.split(' - ')[1]?.startsWith('fuse') === true).length;
}

async function containersOf({ lab, control }: Bystander): Promise<number> {
  const { agentId } = await control.status();
  return (await lab.engine.list({ labels: { 'relight.agent': agentId } })).length;
}

/** An agent that has lost its collector dials again after up to 30 s. */
export const deliveryMs = 90_000;

/**
 * What the agent says it has emitted (a witness that the collector has no part in) is at the collector in this order, up to the last
 * number, and the collector has met no jump in the numbers.
 */
export async function expectEveryEvent(worker: Bystander, feed: EventFeed): Promise<void> {
  const emitted = loggedEvents(worker.agent);
  const last = emitted.at(-1);
  if (last === undefined) throw new Error(`${worker.workload}: the agent's log tells of no event`);
  await waitFor(() => isCommitted(committedEpochs(worker.lab.directory, worker.agent), last), {
    timeoutMs: deliveryMs,
    what: `event ${last.seq} of ${worker.workload} to be committed`,
  });
  const stored = (): readonly ApiEvent[] => feed.events.filter(({ host }) => host === worker.agent.host);
  await eventually(
    () => {
      const there = stored();
      expect(there.filter(({ kind, data }) => kind === 'log.gap' && data['lane'] === 'events')).toEqual([]);
      let place = 0;
      for (const event of emitted) {
        const found = there.findIndex((candidate, i) => i >= place && isSame(event)(candidate));
        if (found < 0) throw new Error(`event ${event.seq} (${event.kind}: ${event.msg}) is not at the collector, or not in its place`);
        place = found + 1;
      }
    },
    { everyMs: 100, what: `all events of ${worker.workload} to be at the collector` },
  );
}

const isSame =
  ({ kind, msg }: LoggedEvent) =>
  (event: ApiEvent): boolean =>
    event.kind === kind && event.message === msg;
