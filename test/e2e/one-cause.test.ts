/**
 * One cause, one notification, over several hosts with real agents on one engine: a dead head, an engine that hangs, an announced
 * reboot, a broken GPU. Nothing is spent and nothing else is told; what waited comes back at once, not all at the same moment.
 */
import { join } from 'node:path';
import type { ApiEvent } from '@relight/shared/api';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startPrivateEngine, type PrivateEngine } from '../support/engine.ts';
import { Head } from '../support/head.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { fakeNvidiaSmi } from '../support/nvidia-smi.ts';
import { signalProcess } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

const hosts = ['one-a', 'one-b', 'one-c'] as const;
const names = ['left', 'right'] as const;
const all = hosts.flatMap((host) => names.map((name) => ({ host, name })));
const afterMs = 3_000;
/** Heartbeats and sweeps in which something else would have been told. */
const quietMs = 3_000;

let engine: PrivateEngine;
let lab: Lab;
let image: string;
const head = new Head();

const workload = (host: string, name: string): Record<string, unknown> => ({
  name,
  container: { name: `${host}-${name}-${process.pid}`, image, pull_policy: 'never', init: true, command: ['sleep', 'infinity'] },
  depends_on: [{ tcp: head.address, timeout: '2s' }],
  process: { run: 'exec sleep 100000', stop_timeout: '1s' },
  ready: [{ exec: 'true', interval: '200ms' }],
  restart: { process: { initial: '200ms', max: '2s' } },
});

const at = (event: ApiEvent): number => Date.parse(event.at);
const iso = (ms: number): string => new Date(ms).toISOString();

const eventsSince = async (since: number, kind: ApiEvent['kind']): Promise<readonly ApiEvent[]> =>
  (await Promise.all(all.map(({ host, name }) => lab.fleet.events({ host, workload: name, kind, since: iso(since) })))).flat();

/** `status rule host subject` of everything that went to the webhook since, and nothing of this machine's own troubles. */
const told = (since: number): readonly string[] =>
  lab.webhook
    .alerts(since)
    .map(({ status, labels }) => [status, labels['alertname'], labels['host'], labels['subject']].filter(Boolean).join(' '));

const allPhase = (phase: 'ready' | 'waiting'): Promise<unknown> =>
  Promise.all(all.map(({ host, name }) => lab.fleet.waitForPhase(host, name, phase)));

const fares = async (): Promise<unknown> =>
  Promise.all(
    all.map(async ({ host, name }) => {
      const { generation, restarts, containerId } = (await lab.fleet.workload(host, name)) ?? {};
      return { generation, restarts, containerId };
    }),
  );

/** Long enough for whatever else would be told; the only thing to wait for is that nothing comes. */
async function nothingMoreFor(ms: number): Promise<void> {
  const until = Date.now() + ms;
  await waitFor(() => Date.now() >= until, { what: 'more notifications', timeoutMs: ms + 5_000, everyMs: 100 });
}

const isTold = (since: number, count: number): Promise<unknown> =>
  waitFor(() => told(since).length >= count, { what: `${count} notifications`, timeoutMs: 45_000 });

beforeAll(async () => {
  engine = await startPrivateEngine();
  image = await buildTestImage(engine);
  await head.open();
  lab = await startLab({
    engineSocket: engine.socket,
    collector: {
      liveness: { heartbeat: '1s', suspect_after: '3s', dead_after: '6s', restart_grace: '1s' },
      alerts: {
        // One counted restart would be told.
        repeated_restarts: { warning: '1 in 10m', critical: '3 in 10m', resolve_after: '10m' },
        dependency_down: { after: `${afterMs}ms` },
        engine_down: { after: `${afterMs}ms` },
        group: { wait: '1s', interval: '2s' },
      },
    },
  });
  await Promise.all(hosts.map((host) => lab.addAgent({ host, workloads: names.map((name) => workload(host, name)) })));
  await allPhase('ready');
  // Their status is there before their events are.
  await waitFor(async () => (await eventsSince(0, 'workload.ready')).length === all.length, { what: 'the events of all six' });
});

afterAll(async () => {
  await head.close();
  await lab?.dispose();
  await engine?.dispose();
});

test('a dead head: one notification for three hosts, nothing spent, all back at once and not at the same moment', async () => {
  const before = await fares();
  const since = Date.now();
  const started = new Map((await eventsSince(0, 'process.started')).map((event) => [`${event.host}/${event.workload}`, event]));
  await head.close();
  for (const { data } of started.values()) signalProcess(-Number(data['pid']), 'SIGKILL');
  await allPhase('waiting');
  await isTold(since, 1);
  await nothingMoreFor(quietMs);
  expect(told(since)).toEqual([`firing DependencyDown ${head.address}`]);
  // It is told with those that waited by then, and names all of them since the last has noticed.
  const [notified] = lab.webhook.alerts(since);
  expect(notified?.annotations['summary']).toMatch(
    new RegExp(`^${head.address} does not answer; (?:1 workload waits|[2-6] workloads wait) for it: one-`),
  );
  const who = all.map(({ host, name }) => `${host}/${name}`);
  const alert = (await lab.fleet.alerts({ state: 'firing' })).find(({ rule }) => rule === 'DependencyDown');
  expect(alert?.summary).toBe(`${head.address} does not answer; 6 workloads wait for it: ${who.slice(0, 5).join(', ')} and 1 more`);

  const back = Date.now();
  await head.reopen();
  await allPhase('ready');
  const [begun, ready] = await waitFor(
    async () => {
      const both = [await eventsSince(back, 'process.started'), await eventsSince(back, 'workload.ready')] as const;
      return both.every((events) => events.length >= all.length) && both;
    },
    { what: 'the events of all six' },
  );
  const startedAfter = begun.map((event) => at(event) - back).toSorted((a, b) => a - b);
  const readyAfter = ready.map((event) => at(event) - back).toSorted((a, b) => a - b);
  console.log(`head back: processes started after ${startedAfter.join(', ')} ms; ready after ${readyAfter.join(', ')} ms`);
  // Asked every 0.6 s; six processes are started and asked by one engine, on a busy machine.
  expect(readyAfter.at(-1)).toBeLessThanOrEqual(8_000);
  expect((startedAfter.at(-1) ?? 0) - (startedAfter[0] ?? 0)).toBeGreaterThan(50);

  await isTold(since, 2);
  await nothingMoreFor(quietMs);
  expect(told(since).slice(1)).toEqual([`resolved DependencyDown ${head.address}`]);
  expect(await fares()).toEqual(before);
  expect((await eventsSince(since, 'restart.scheduled')).filter(({ data }) => data['countsAsFailure'] === true)).toEqual([]);
});

test('an engine that hangs: one notification for each host, and nothing restarted when it goes on', async () => {
  const before = await fares();
  const since = Date.now();
  engine.freeze();
  try {
    await isTold(since, hosts.length);
    await nothingMoreFor(quietMs);
    expect(told(since).toSorted()).toEqual(hosts.map((host) => `firing EngineDown ${host}`));
  } finally {
    engine.thaw();
  }
  await isTold(since, 2 * hosts.length);
  await allPhase('ready');
  await nothingMoreFor(quietMs);
  expect(told(since).slice(hosts.length).toSorted()).toEqual(hosts.map((host) => `resolved EngineDown ${host}`));
  expect(await fares()).toEqual(before);
  expect(await eventsSince(since, 'restart.scheduled')).toEqual([]);
  expect(await eventsSince(since, 'process.started')).toEqual([]);
});

test('a host that says that it reboots is missed by nobody; one that merely falls silent is', async () => {
  // What systemd leaves for everybody to read when a reboot is due at this moment; systemd itself is not in the way.
  const scheduled = `printf 'USEC=%s000\\nMODE=reboot\\n' "$(date +%s%3N)" > /run/systemd/shutdown/scheduled`;
  const setUp = `mount -t tmpfs run /run && mkdir -p /run/systemd/shutdown && ${scheduled} && exec "$@"`;
  const through = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', setUp, 'sh'];
  const leaving = await lab.addAgent({ host: 'one-leaving', workloads: [], service: { through } });
  const silent: LabAgent = await lab.addAgent({ host: 'one-silent', workloads: [] });
  await Promise.all([leaving, silent].map(({ host }) => lab.fleet.waitForHost(host, 'connected')));
  const since = Date.now();
  await leaving.service.stop();
  await lab.fleet.waitForHost(leaving.host, 'rebooting');
  silent.service.freeze();
  onTestFinished(() => silent.service.thaw());
  // It fell silent later, so the one before would have been dead by then.
  await isTold(since, 1);
  await nothingMoreFor(quietMs);
  expect(told(since)).toEqual([`firing HostDead ${silent.host}`]);
  expect((await lab.fleet.host(leaving.host))?.state).toBe('rebooting');
  silent.service.thaw();
  await isTold(since, 2);
  expect(told(since).slice(1)).toEqual([`resolved HostDead ${silent.host}`]);
});

test('a GPU that has failed is one notification, which names host, card and action', async () => {
  const since = Date.now();
  const smi = fakeNvidiaSmi(join(lab.directory, 'one-gpu'));
  smi.says('echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18');
  await lab.addAgent({ host: 'one-gpu', workloads: [], service: { env: { PATH: `${smi.directory}:${process.env['PATH']}` } } });
  const ofGpu = () =>
    lab.webhook.notifications
      .filter(({ receivedAt }) => receivedAt >= since)
      .flatMap(({ body }) => body.alerts)
      // The machine of the tests may have something to say itself: its kernel log, its disks.
      .filter(({ labels }) => labels['host'] === 'one-gpu' && (labels['subject'] ?? '').startsWith('gpu-'));
  await waitFor(() => ofGpu().length > 0, { what: 'its alert', timeoutMs: 30_000 });
  await nothingMoreFor(quietMs);
  expect(ofGpu().filter(({ status }) => status === 'firing')).toMatchObject([
    { labels: { alertname: 'HostCondition', host: 'one-gpu' }, annotations: { summary: expect.stringContaining('Reboot') as string } },
  ]);
});
