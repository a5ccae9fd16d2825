/**
 * Why something failed decides what is done about it, on a real engine: up the levels with memory, held until its inputs change,
 * memory that ran out while the container lives on, an end that is wanted, and a head whose death costs nothing.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import type { ApiEvent } from '@relight/shared/api';
import type { EventKind } from '@relight/shared/event';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { caughtUp, eventsStored } from '../support/caught-up.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { freePort } from '../support/ports.ts';
import { signalProcess } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

const host = 'escalation-0';
let lab: Lab;
let agent: LabAgent;
let head: Server | undefined;
let headPort = 0;

const at = (event: ApiEvent): number => Date.parse(event.at);
const flag = (workload: string, name: string): string => join(lab.directory, 'flags', workload, name);
const envFile = (): string => join(lab.directory, 'version.env');

const eventsOf = (workload: string, ...kinds: readonly EventKind[]): Promise<readonly ApiEvent[]> =>
  lab.fleet.events({ host, workload, ...(kinds.length === 0 ? {} : { kind: kinds.join(',') }) });

const atLeast = (count: number, workload: string, ...kinds: readonly EventKind[]): Promise<readonly ApiEvent[]> =>
  waitFor(
    async () => {
      const events = await eventsOf(workload, ...kinds);
      return events.length >= count && events;
    },
    { timeoutMs: 60_000, everyMs: 100, what: `${count} × ${kinds.join(', ')} of ${workload}` },
  );

const counted = async (workload: string): Promise<number> =>
  (await eventsOf(workload, 'restart.scheduled')).filter(({ data }) => data['countsAsFailure'] === true).length;

function workload(
  name: string,
  more: Readonly<Record<string, unknown>>,
  container: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  mkdirSync(join(lab.directory, 'flags', name), { recursive: true });
  return {
    name,
    container: {
      name: `e2e-${name}-${process.pid}`,
      image: inject('engineImage'),
      pull_policy: 'never',
      init: true,
      command: ['sleep', 'infinity'],
      volumes: [`${join(lab.directory, 'flags', name)}:/flag`],
      ...container,
    },
    process: { run: 'exec sleep infinity', stop_timeout: '1s' },
    ...more,
  };
}

const quick = { initial: '100ms', max: '500ms', factor: 2, jitter: 0 };

function workloads(): readonly Record<string, unknown>[] {
  return [
    workload('ladder', {
      setup: [
        { name: 'kept', run: 'echo x >> /root/kept', verify: 'test -e /root/kept' },
        { name: 'lost', run: 'echo x > /dev/shm/lost', verify: 'test -e /dev/shm/lost' },
      ],
      process: { run: 'test -e /flag/ok && exec sleep infinity; echo broken; exit 7', stop_timeout: '1s' },
      restart: { process: { ...quick, escalate_after: 2 }, container: { ...quick, budget: '2 per 10m' } },
    }),
    workload(
      'mismatch',
      {
        process: {
          run: 'test "$VERSION" = 2 && exec sleep infinity; echo "RuntimeError: Version mismatch: The cluster was started with Ray 2"; exit 1',
          stop_timeout: '1s',
        },
        // By itself it looks again only when the tests are over, however long the one before this takes.
        restart: { container: { max: '30m' } },
      },
      { env_file: [envFile()] },
    ),
    workload(
      'memory',
      {
        process: {
          run: 'while true; do if test -e /flag/hog; then rm /flag/hog; tail /dev/zero & fi; sleep 0.1; done',
          stop_timeout: '1s',
        },
      },
      { mem_limit: '64mb', memswap_limit: '64mb' },
    ),
    workload('limited', { process: { run: 'exec sleep infinity', stop_timeout: '1s', max_runtime: '3s' } }),
    workload('dependent', { depends_on: [{ http: `http://127.0.0.1:${headPort}/`, timeout: '1s' }] }),
  ];
}

async function serveHead(): Promise<void> {
  const server = createServer((_, response) => response.writeHead(200).end());
  await new Promise<void>((resolve) => server.listen(headPort, '127.0.0.1', resolve));
  head = server;
}

async function stopHead(): Promise<void> {
  const server = head;
  head = undefined;
  server?.closeAllConnections();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
}

beforeAll(async () => {
  headPort = await freePort();
  await serveHead();
  lab = await startLab({ engineSocket: inject('engineSocket') });
  writeFileSync(envFile(), 'VERSION=1\n');
  agent = await lab.addAgent({ host, workloads: workloads() });
});

afterAll(async () => {
  await stopHead();
  await lab?.dispose();
});

test('up with memory: the same container started again with only what fails redone, a new one, a person; and back', async () => {
  const escalated = await atLeast(4, 'ladder', 'restart.escalated');
  const steps = escalated.map(({ data }) => `${String(data['from'])} > ${String(data['to'])}`);
  expect(steps.slice(0, 2)).toEqual(['process > container-start', 'container-start > container-recreate']);
  expect(steps).toContain('container-recreate > person');
  expect(escalated[0]?.data).toMatchObject({ failures: 2, code: 'process-exited', level: 'container' });
  const exhausted = await eventsOf('ladder', 'restart.budget-exhausted');
  expect(exhausted.map(({ severity, data }) => `${severity} ${String(data['level'])}`)).toContain('critical container');
  const setup = (await eventsOf('ladder', 'setup.step-started')).map(({ generation, data }) => `${generation} ${String(data['step'])}`);
  // What lay in memory went with the first stop of the container, what lay on its disk did not.
  expect(setup.slice(0, 5)).toEqual(['1 kept', '1 lost', '1 lost', '2 kept', '2 lost']);
  writeFileSync(flag('ladder', 'ok'), '');
  const ready = await lab.fleet.waitForPhase(host, 'ladder', 'ready');
  expect(ready.restarts.host).toBe(0);
  expect(await eventsOf('ladder', 'workload.held')).toEqual([]);
});

test('another version than the head: held at once and once, and back by itself when its env file is corrected', async () => {
  const held = await lab.fleet.waitForPhase(host, 'mismatch', 'held');
  expect(held.reason).toContain('Version mismatch: The cluster was started with Ray 2');
  const [told] = await atLeast(1, 'mismatch', 'workload.held');
  expect(told?.data).toMatchObject({ code: 'version-mismatch', level: 'process', recoverable: false, exitCode: 1 });
  expect(await counted('mismatch')).toBe(0);
  expect(await eventsOf('mismatch', 'process.started')).toHaveLength(1);
  writeFileSync(envFile(), 'VERSION=2\n');
  const ready = await lab.fleet.waitForPhase(host, 'mismatch', 'ready');
  await eventsStored(agent);
  expect(ready).toMatchObject({ generation: 2, restarts: { process: 0, container: 0, host: 0 } });
  const [again] = await eventsOf('mismatch', 'restart.scheduled');
  expect(again).toMatchObject({ message: expect.stringContaining(envFile()) as string, data: { code: 'inputs-changed' } });
  expect(await eventsOf('mismatch', 'workload.held')).toHaveLength(1);
});

test('out of memory while the container lives on: its process is started anew in it, counted and told once', async () => {
  const before = await lab.fleet.waitForPhase(host, 'memory', 'ready');
  const [first] = await atLeast(1, 'memory', 'process.started');
  writeFileSync(flag('memory', 'hog'), '');
  const [, second] = await atLeast(2, 'memory', 'process.started');
  expect(second?.data['pid']).not.toBe(first?.data['pid']);
  await lab.fleet.waitForPhase(host, 'memory', 'ready');
  await caughtUp(lab, agent);
  const after = await lab.fleet.waitForPhase(host, 'memory', 'ready');
  expect(after).toMatchObject({ containerId: before.containerId, generation: 1, restarts: { process: 1, container: 0, host: 0 } });
  const oom = await eventsOf('memory', 'container.oom');
  expect(oom.map(({ data }) => data['code'])).toEqual(['process-oom']);
  const [scheduled] = await eventsOf('memory', 'restart.scheduled');
  expect(scheduled?.data).toMatchObject({ code: 'process-oom', level: 'process', countsAsFailure: true, delayMs: 0 });
});

test('max_runtime: stopped in order, not started again, until somebody says so', async () => {
  const stopped = await lab.fleet.waitForPhase(host, 'limited', 'stopped');
  expect(stopped).toMatchObject({
    reason: expect.stringContaining('max_runtime') as string,
    restarts: { process: 0, container: 0, host: 0 },
  });
  const [killed] = await atLeast(1, 'limited', 'process.killed');
  expect(killed?.severity).toBe('info');
  expect(await eventsOf('limited', 'restart.scheduled', 'process.exited')).toEqual([]);
  expect(await lab.agentCommand(agent, 'resume', 'limited')).toMatchObject({ code: 0, stderr: '' });
  await atLeast(2, 'limited', 'process.started');
});

test('a dead head: its workers end, nothing is counted, one event; its return is used within a second', async () => {
  await lab.fleet.waitForPhase(host, 'dependent', 'ready');
  const [started] = await atLeast(1, 'dependent', 'process.started');
  await stopHead();
  signalProcess(-Number(started?.data['pid']), 'SIGKILL');
  // It waits from the moment at which the head is suspected; its answer comes a moment later.
  await waitFor(async () => (await lab.fleet.workload(host, 'dependent'))?.reason.includes('connection refused'), {
    what: 'the refusal of the head',
    timeoutMs: 60_000,
  });
  const [told] = await atLeast(1, 'dependent', 'check.failed');
  expect(told?.data).toMatchObject({ code: 'dependency-down', dependency: `http://127.0.0.1:${headPort}/` });
  expect((await lab.fleet.workload(host, 'dependent'))?.waitingFor).toBe(`http://127.0.0.1:${headPort}/`);
  await serveHead();
  const back = Date.now();
  const [, recovered] = await atLeast(2, 'dependent', 'process.started');
  if (recovered === undefined) throw new Error('it was not started again');
  const ready = await lab.fleet.waitForPhase(host, 'dependent', 'ready');
  expect(ready).toMatchObject({ generation: 1, restarts: { process: 0, container: 0, host: 0 } });
  await eventsStored(agent);
  expect(await counted('dependent')).toBe(0);
  expect(await eventsOf('dependent', 'check.failed')).toHaveLength(1);
  const answered = await lab.fleet.waitForEvent(
    { host, workload: 'dependent', kind: 'check.recovered' },
    () => true,
    'the return of the head',
  );
  // Asked within 800 ms; then its start is under way, which takes the engine what it takes.
  expect(at(answered) - back).toBeLessThanOrEqual(2_000);
  expect(at(recovered) - at(answered)).toBeLessThanOrEqual(5_000);
});
