/**
 * What fails again and again, and what brings it back: back-off, escalation, slow retries, one alert and its end; steps,
 * dependencies, checks, and the hands of people. The times asserted are the agent's own, out of its events.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { ApiEvent } from '@relight/shared/api';
import type { EventKind } from '@relight/shared/event';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { caughtUp, eventsStored } from '../support/caught-up.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { freePort } from '../support/ports.ts';
import { signalProcess } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

const host = 'crash-0';
/** Longer than one turn of the loop on a busy machine. */
const resolveAfterMs = 20_000;
let lab: Lab;
let agent: LabAgent;
const dependency = { server: undefined as Server | undefined, status: 200, asked: [] as { at: number; status: number }[] };
let dependencyPort = 0;
/** A workload begins when its test does: so many loops at once would only measure each other. */
const gates = { server: undefined as Server | undefined, port: 0, open: new Set<string>() };

const at = (event: ApiEvent): number => Date.parse(event.at);
const flag = (workload: string, name: string): string => join(lab.directory, 'flags', workload, name);
const begin = (workload: string): void => void gates.open.add(workload);
const raise = (workload: string, name: string): void => writeFileSync(flag(workload, name), '');

const eventsOf = (workload: string, ...kinds: readonly EventKind[]): Promise<readonly ApiEvent[]> =>
  lab.fleet.events({ host, workload, ...(kinds.length === 0 ? {} : { kind: kinds.join(',') }) });

/** The events so far once there are `count` of them. */
const atLeast = (count: number, workload: string, kind: EventKind, timeoutMs = 60_000): Promise<readonly ApiEvent[]> =>
  waitFor(
    async () => {
      const events = await eventsOf(workload, kind);
      return events.length >= count && events;
    },
    { timeoutMs, everyMs: 100, what: `${count} × ${kind} of ${workload}` },
  );

const generationOf = async (workload: string): Promise<number> => (await lab.fleet.workload(host, workload))?.generation ?? 0;
const pidOf = (started: ApiEvent | undefined): number => Number(started?.data['pid']);
const lastStarted = async (workload: string): Promise<ApiEvent> => {
  // A status overtakes events that wait for their commit.
  const started = await atLeast(1, workload, 'process.started');
  const last = started.at(-1);
  if (last === undefined) throw new Error(`${workload} has never started a process`);
  return last;
};

function workload(name: string, more: Readonly<Record<string, unknown>>): Record<string, unknown> {
  mkdirSync(join(lab.directory, 'flags', name), { recursive: true });
  return {
    name,
    depends_on: [{ http: `http://127.0.0.1:${gates.port}/${name}` }],
    container: {
      name: `e2e-${name}-${process.pid}`,
      image: inject('engineImage'),
      pull_policy: 'never',
      init: true,
      command: ['sleep', 'infinity'],
      volumes: [`${join(lab.directory, 'flags', name)}:/flag`],
    },
    process: { run: 'exec sleep infinity', stop_timeout: '1s' },
    ...more,
  };
}

const quick = { initial: '200ms', max: '1s', factor: 2, jitter: 0 };

function workloads(): readonly Record<string, unknown>[] {
  return [
    workload('loop', {
      process: { run: 'test -e /flag/ok && exec sleep infinity; sleep 1; echo broken; exit 7', stop_timeout: '1s' },
      restart: {
        process: { initial: '200ms', max: '2s', factor: 2, jitter: 0, budget: '4 per 10m', escalate_after: 3 },
        container: { initial: '300ms', max: '2s', factor: 2, jitter: 0, budget: '2 per 10m' },
      },
    }),
    workload('steps', {
      setup: [
        { name: 'third time', run: 'echo x >> /tmp/tries; test $(wc -l < /tmp/tries) -ge 3', retry: { attempts: 4, delay: '300ms' } },
        { name: 'nice to have', run: 'echo no such package; exit 9', optional: true, retry: { attempts: 2, delay: '100ms' } },
      ],
    }),
    workload('stuck', {
      setup: [{ name: 'keys', run: 'test -e /flag/ok || { echo no keys today; exit 4; }', retry: { attempts: 2, delay: '100ms' } }],
      restart: { process: { ...quick, escalate_after: 3 }, container: quick },
    }),
    workload('unverified', {
      setup: [{ name: 'extra', run: 'true', verify: 'test -e /flag/ok || { echo not there; exit 3; }' }],
      restart: { process: { ...quick, escalate_after: 20 }, container: quick },
    }),
    workload('dependent', { depends_on: [{ http: `http://127.0.0.1:${dependencyPort}/`, timeout: '2s' }] }),
    workload('never-ready', {
      ready_window: '2s',
      ready: [{ name: 'marker', exec: 'test -e /flag/ok', interval: '200ms' }],
      restart: { process: { ...quick, escalate_after: 2 }, container: quick },
    }),
    workload('live', {
      process: { before: 'rm -f /flag/bad', run: 'exec sleep infinity', stop_timeout: '1s' },
      live: [{ name: 'health', exec: 'test ! -e /flag/bad', interval: '300ms', timeout: '5s', failures: 3, restarts: 'process' }],
    }),
    workload('by-hand', {}),
  ];
}

async function serveGates(): Promise<void> {
  const server = createServer((request, response) => response.writeHead(gates.open.has(request.url?.slice(1) ?? '') ? 200 : 503).end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  gates.server = server;
  gates.port = (server.address() as AddressInfo).port;
}

async function serveDependency(): Promise<void> {
  const server = createServer((_, response) => {
    dependency.asked.push({ at: Date.now(), status: dependency.status });
    response.writeHead(dependency.status).end();
  });
  await new Promise<void>((resolve) => server.listen(dependencyPort, '127.0.0.1', resolve));
  dependency.server = server;
}

async function stopDependency(): Promise<void> {
  const { server } = dependency;
  server?.closeAllConnections();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  dependency.server = undefined;
}

beforeAll(async () => {
  // The dependency is down at first.
  dependencyPort = await freePort();
  await serveGates();
  lab = await startLab({
    engineSocket: inject('engineSocket'),
    collector: {
      alerts: { repeated_restarts: { warning: '3 in 10m', critical: '6 in 10m', resolve_after: `${resolveAfterMs}ms` } },
      liveness: { heartbeat: '1s', suspect_after: '10s', dead_after: '20s' },
    },
  });
  agent = await lab.addAgent({ host, workloads: workloads() });
});

afterAll(async () => {
  await stopDependency();
  gates.server?.closeAllConnections();
  gates.server?.close();
  await lab?.dispose();
});

describe('a process that exits every second', () => {
  const notified = (): readonly string[] =>
    lab.webhook.notifications
      .flatMap(({ body }) => body.alerts)
      .filter(({ labels }) => labels['alertname'] === 'RepeatedRestarts' && labels['workload'] === 'loop')
      .map(({ status, labels }) => `${status} ${labels['severity']}`);

  test('delays as configured, the attempt is shown, a new container after every third failure, slow retries at the cap', async () => {
    begin('loop');
    const waiting = await waitFor(
      async () => {
        const seen = await lab.fleet.workload(host, 'loop');
        return seen?.phase === 'back-off' && seen.attempt >= 4 && seen;
      },
      { timeoutMs: 90_000, what: 'the loop in back-off at its fourth attempt' },
    );
    expect(waiting.nextAttemptAt).not.toBeNull();
    expect(waiting.reason).toBe('process exited with code 7');
    const scheduled = await atLeast(10, 'loop', 'restart.scheduled', 90_000);
    const facts = scheduled
      .slice(0, 10)
      .map(({ data }) => `${String(data['level'])} ${String(data['attempt'])}: ${String(data['delayMs'])}`);
    expect(facts).toEqual([
      'process 1: 0',
      'process 2: 200',
      'container 1: 300',
      'process 4: 800',
      'process 5: 2000',
      'container 2: 600',
      'process 7: 2000',
      'process 8: 2000',
      'container 3: 2000',
      'process 10: 2000',
    ]);
    expect(scheduled[1]?.message).toContain('process restart in 200 ms (attempt 2 of 4): process exited with code 7');
    expect(scheduled[0]?.message).toContain('at once after a stable run');
  });

  test('no attempt comes before its time, and each comes soon after it', async () => {
    const events = (await eventsOf('loop', 'restart.scheduled', 'workload.phase-changed')).toSorted(
      (a, b) => at(a) - at(b) || Number(a.id) - Number(b.id),
    );
    const delayed = events.filter(({ kind, data }) => kind === 'restart.scheduled' && Number(data['delayMs']) > 0);
    const lateMs: number[] = [];
    for (const event of delayed.slice(0, 8)) {
      const after = events.slice(events.indexOf(event)).find(({ data }) => data['from'] === 'back-off');
      if (after === undefined) throw new Error(`nothing followed "${event.message}"`);
      const late = at(after) - at(event) - Number(event.data['delayMs']);
      // Two clocks, both rounded to milliseconds.
      expect(late).toBeGreaterThanOrEqual(-2);
      // A busy machine puts one of them off, and never as long as it takes until somebody looks in any case.
      expect(late).toBeLessThan(5_000);
      lateMs.push(late);
    }
    expect(lateMs).toHaveLength(8);
    expect(lateMs.toSorted((a, b) => a - b)[4]).toBeLessThan(1_500);
  });

  test('the exhausted budget is said once a level, escalation once a container', async () => {
    // Read once: it goes on meanwhile.
    const events = await eventsOf('loop', 'restart.budget-exhausted', 'restart.escalated', 'container.created');
    const exhausted = events.filter(({ kind }) => kind === 'restart.budget-exhausted');
    expect(exhausted.map(({ data, severity }) => `${String(data['level'])} ${severity}`)).toEqual([
      'process critical',
      'container critical',
    ]);
    const escalated = events.filter(({ kind }) => kind === 'restart.escalated').map(({ data }) => String(data['to']));
    expect(escalated.filter((to) => to === 'container-start')).toHaveLength(1);
    expect(escalated.filter((to) => to === 'person')).toHaveLength(1);
    const recreated = escalated.filter((to) => to === 'container-recreate').length;
    expect(recreated).toBeGreaterThanOrEqual(2);
    const created = events.filter(({ kind }) => kind === 'container.created');
    expect(created.map(({ generation }) => generation)).toEqual(created.map((_, index) => index + 1));
    expect(created.length - 1).toBeLessThanOrEqual(recreated);
    expect(created.length).toBeGreaterThanOrEqual(recreated);
  });

  test('the webhook hears of it twice, not ten times', async () => {
    await waitFor(() => notified().length >= 2, { what: 'two notifications', timeoutMs: 30_000 });
    expect(notified()).toEqual(['firing warning', 'firing critical']);
    expect((await lab.fleet.alerts({ host, workload: 'loop' })).map(({ rule, state, severity }) => `${rule} ${state} ${severity}`)).toEqual(
      ['RepeatedRestarts firing critical'],
    );
  });

  test('when the cause is gone it comes back by itself, and the alert ends by itself', async () => {
    raise('loop', 'ok');
    await waitFor(() => notified().length >= 3, { timeoutMs: 60_000, what: 'the end of the alert' });
    expect(notified()).toEqual(['firing warning', 'firing critical', 'resolved critical']);
    const last = (await eventsOf('loop', 'restart.scheduled')).at(-1);
    const resolved = (await lab.fleet.events({ host, workload: 'loop', kind: 'alert.resolved' })).at(-1);
    if (last === undefined || resolved === undefined) throw new Error('the events do not tell of it');
    expect(at(resolved) - at(last)).toBeGreaterThanOrEqual(resolveAfterMs);
    await caughtUp(lab, agent);
    const started = await lastStarted('loop');
    expect(at(started)).toBeGreaterThan(at(last));
    expect(await lab.fleet.workload(host, 'loop')).toMatchObject({
      phase: 'ready',
      reason: 'everything is in place; no readiness check is configured',
    });
  });
});

describe('set-up', () => {
  test('a step that succeeds at its third attempt, and an optional one that never does', async () => {
    begin('steps');
    await lab.fleet.waitForPhase(host, 'steps', 'ready');
    await eventsStored(agent);
    const events = await eventsOf('steps', 'setup.step-started', 'setup.step-failed', 'setup.step-done');
    const told = events.map(({ kind, severity, data }) => `${kind} ${severity}: ${String(data['step'])} ${String(data['attempt'])}`);
    const tries = (step: string, failed: readonly number[], done: number | null): readonly string[] => [
      ...failed.flatMap((n) => [`setup.step-started info: ${step} ${n}`, `setup.step-failed warning: ${step} ${n}`]),
      ...(done === null ? [] : [`setup.step-started info: ${step} ${done}`, `setup.step-done info: ${step} ${done}`]),
    ];
    expect(told).toEqual([...tries('third time', [1, 2], 3), ...tries('nice to have', [1, 2], null)]);
    expect(events.at(-1)?.message).toContain('exit code 9: no such package (attempt 2 of 2, optional)');
    expect(await eventsOf('steps', 'restart.scheduled')).toEqual([]);
  });

  test.each([
    ['stuck', 'setup-failed', 'setup "keys": exit code 4: no keys today'],
    ['unverified', 'setup-unverified', 'setup "extra" ran, but verify says exit code 3: not there'],
  ])('%s: required, so nothing is started until it works; then it goes on by itself', async (name, code, message) => {
    begin(name);
    const scheduled = await atLeast(4, name, 'restart.scheduled');
    expect(scheduled.map(({ data }) => data['code'])).toEqual(scheduled.map(() => code));
    expect(scheduled[0]?.message).toContain(message);
    expect(await eventsOf(name, 'process.started')).toEqual([]);
    // The second failure of the container's third: process 200, 400, then the level above.
    const delays = scheduled.slice(0, 4).map(({ data }) => `${String(data['level'])} ${String(data['delayMs'])}`);
    const levels =
      name === 'stuck'
        ? ['process 200', 'process 400', 'container 200', 'process 1000']
        : ['process 200', 'process 400', 'process 800', 'process 1000'];
    expect(delays).toEqual(levels);
    raise(name, 'ok');
    await lab.fleet.waitForPhase(host, name, 'ready');
  });
});

describe('a dependency', () => {
  const spent = async () => ({
    counted: (await eventsOf('dependent', 'restart.scheduled')).filter(({ data }) => data['countsAsFailure'] === true).length,
    restarts: (await lab.fleet.workload(host, 'dependent'))?.restarts,
  });
  const leftWaiting = async (after: number): Promise<number> => {
    const changed = await lab.fleet.waitForEvent(
      { host, workload: 'dependent', kind: 'workload.phase-changed' },
      (event) => at(event) >= after && event.data['from'] === 'waiting',
      'the end of the waiting',
    );
    return at(changed);
  };

  /** Asked within a second, and used within another at the most: that is what a busy machine adds. */
  const expectUsedAtOnce = async (back: number): Promise<void> => {
    const left = await leftWaiting(back);
    const answered = dependency.asked.find(({ at: time, status }) => time >= back && status === 200)?.at ?? Number.NaN;
    expect(left - answered).toBeLessThanOrEqual(1_000);
    expect(left - back).toBeLessThanOrEqual(2_000);
  };

  test('is waited for without cost, and its appearance leads to an attempt within a second', async () => {
    const waiting = await lab.fleet.waitForPhase(host, 'dependent', 'waiting');
    expect(waiting.reason).toContain(`http http://127.0.0.1:${dependencyPort}/`);
    expect(await eventsOf('dependent', 'container.created')).toEqual([]);
    dependency.asked = [];
    const back = Date.now();
    await serveDependency();
    await expectUsedAtOnce(back);
    await lab.fleet.waitForPhase(host, 'dependent', 'ready');
    await caughtUp(lab, agent);
    expect(await spent()).toEqual({ counted: 0, restarts: { process: 0, container: 0, host: 0 } });
  });

  test('that goes away again costs nothing, nor does the death that it causes', async () => {
    dependency.status = 503;
    dependency.asked = [];
    signalProcess(-pidOf(await lastStarted('dependent')), 'SIGKILL');
    await waitFor(async () => (await lab.fleet.workload(host, 'dependent'))?.reason.includes('503'), {
      what: 'the reason of the waiting',
      timeoutMs: 30_000,
    });
    await waitFor(() => dependency.asked.length >= 8, { timeoutMs: 30_000, what: 'eight looks at the dependency' });
    const pauses = dependency.asked.slice(1).map(({ at: time }, index) => time - (dependency.asked[index]?.at ?? 0));
    expect(pauses.toSorted((a, b) => a - b)[pauses.length >> 1]).toBeLessThanOrEqual(1_000);
    expect(await spent()).toEqual({ counted: 0, restarts: { process: 0, container: 0, host: 0 } });
    const back = Date.now();
    dependency.status = 200;
    await expectUsedAtOnce(back);
    await lab.fleet.waitForPhase(host, 'dependent', 'ready');
    await caughtUp(lab, agent);
    expect(await spent()).toEqual({ counted: 0, restarts: { process: 0, container: 0, host: 0 } });
    expect(await generationOf('dependent')).toBe(1);
  });
});

describe('checks', () => {
  test('readiness that never passes: the process anew, then the container, and it goes on until it passes', async () => {
    begin('never-ready');
    const scheduled = await atLeast(4, 'never-ready', 'restart.scheduled');
    const told = scheduled.slice(0, 4).map(({ data }) => `${String(data['level'])} ${String(data['code'])} ${String(data['delayMs'])}`);
    expect(told).toEqual([
      'process ready-timeout 200',
      'container ready-timeout 200',
      'process ready-timeout 800',
      'container ready-timeout 400',
    ]);
    // Not of each: on a busy machine a check may not have answered within its window, and then that is said.
    const said = scheduled.map(({ message }) => message);
    expect(said).toContainEqual(expect.stringContaining('not ready within 2.0 s: marker: exit code 1'));
    expect((await eventsOf('never-ready', 'process.killed')).length).toBeGreaterThanOrEqual(1);
    expect(await eventsOf('never-ready', 'workload.ready')).toEqual([]);
    raise('never-ready', 'ok');
    await lab.fleet.waitForPhase(host, 'never-ready', 'ready');
  });

  test('a live check that fails often enough: degraded, then the process anew in the same container', async () => {
    begin('live');
    const before = await lab.fleet.waitForPhase(host, 'live', 'ready');
    const first = await lastStarted('live');
    raise('live', 'bad');
    const [scheduled] = await atLeast(1, 'live', 'restart.scheduled');
    expect(scheduled?.data).toMatchObject({ level: 'process', code: 'live-failed', delayMs: 0, countsAsFailure: true });
    expect(scheduled?.message).toContain('live check health failed 3 times: exit code 1');
    const [, second] = await atLeast(2, 'live', 'process.started');
    expect(pidOf(second)).not.toBe(pidOf(first));
    await lab.fleet.waitForPhase(host, 'live', 'ready');
    await caughtUp(lab, agent);
    const after = await lab.fleet.waitForPhase(host, 'live', 'ready');
    expect(after).toMatchObject({ containerId: before.containerId, generation: 1, restarts: { process: 1, container: 0, host: 0 } });
    const failed = (await eventsOf('live', 'check.failed'))[0];
    if (failed === undefined || scheduled === undefined) throw new Error('the failing check was not told');
    // Each begins an interval after the last one began, and none before the last one's end.
    expect(at(scheduled) - at(failed)).toBeGreaterThanOrEqual(300);
    expect((await eventsOf('live', 'workload.degraded')).length).toBeGreaterThanOrEqual(1);
  });
});

describe('by hand', () => {
  const name = 'by-hand';
  const target = `${host}/${name}`;

  test('restart of the process and of the container, from afar and on the host', async () => {
    begin(name);
    const before = await lab.fleet.waitForPhase(host, name, 'ready');
    const first = await lastStarted(name);
    expect(await lab.relight('restart', target, '--level', 'process', '--reason', 'new keys')).toMatchObject({ code: 0 });
    const [, second] = await atLeast(2, name, 'process.started');
    expect(pidOf(second)).not.toBe(pidOf(first));
    expect((await lab.fleet.waitForPhase(host, name, 'ready')).containerId).toBe(before.containerId);
    expect(await lab.agentCommand(agent, 'restart', name, '--level', 'container')).toMatchObject({ code: 0, stderr: '' });
    await atLeast(3, name, 'process.started');
    await lab.fleet.waitForPhase(host, name, 'ready');
    await caughtUp(lab, agent);
    const after = await lab.fleet.waitForPhase(host, name, 'ready');
    expect(after).toMatchObject({ generation: 2, restarts: { process: 0, container: 0, host: 0 } });
    const scheduled = await eventsOf(name, 'restart.scheduled');
    expect(scheduled.map(({ message, data }) => `${message} ${String(data['countsAsFailure'])}`)).toEqual([
      'process restart at once: new keys (by an operator) false',
      'container restart at once: by hand on the host false',
    ]);
  });

  test('a pause with an end: what dies meanwhile stays down, and is put right when the time is over', async () => {
    const started = await lastStarted(name);
    expect(await lab.relight('pause', target, '--for', '8s')).toMatchObject({ code: 0 });
    await lab.fleet.waitForPhase(host, name, 'paused');
    signalProcess(-pidOf(started), 'SIGKILL');
    const runs = await atLeast(4, name, 'process.started');
    const [paused] = await eventsOf(name, 'workload.paused');
    const [resumed] = await eventsOf(name, 'workload.resumed');
    if (paused === undefined || resumed === undefined) throw new Error('the pause was not told');
    // Both are rounded to milliseconds.
    expect(at(resumed) - at(paused)).toBeGreaterThanOrEqual(7_998);
    expect(at(resumed) - at(paused)).toBeLessThan(10_000);
    expect(runs.map(at).filter((time) => time > at(paused) && time < at(resumed))).toEqual([]);
    const after = await lab.fleet.waitForPhase(host, name, 'ready');
    expect(after).toMatchObject({ generation: 2, restarts: { process: 0, container: 0, host: 0 } });
  });

  test('a pause without an end, on the host, until resume', async () => {
    expect(await lab.agentCommand(agent, 'pause', name, '--reason', 'driver')).toMatchObject({ code: 0, stderr: '' });
    expect((await lab.fleet.waitForPhase(host, name, 'paused')).reason).toBe('driver (by hand on the host)');
    expect((await lab.agentCommand(agent, 'status')).stdout).toMatch(/by-hand +paused/);
    const before = await lastStarted(name);
    expect(await lab.agentCommand(agent, 'resume', name)).toMatchObject({ code: 0, stderr: '' });
    await lab.fleet.waitForPhase(host, name, 'ready');
    await eventsStored(agent);
    // It went on all the time.
    expect(pidOf(await lastStarted(name))).toBe(pidOf(before));
  });

  test('resume tries at once what waits for its next attempt', async () => {
    rmSync(flag('stuck', 'ok'));
    expect(await lab.relight('restart', `${host}/stuck`, '--level', 'container')).toMatchObject({ code: 0 });
    const failures = (await eventsOf('stuck', 'restart.scheduled')).length;
    await atLeast(failures + 1, 'stuck', 'restart.scheduled');
    raise('stuck', 'ok');
    expect(await lab.agentCommand(agent, 'resume', 'stuck')).toMatchObject({ code: 0 });
    await lab.fleet.waitForPhase(host, 'stuck', 'ready');
  });
});

test('nobody ever called the host dead, and by hand alerted nobody', async () => {
  const alerts = await lab.fleet.alerts();
  // The doors of tests that had not begun were dependencies that do not answer; what the machine's kernel says is not about us.
  const expected = new Set(['RepeatedRestarts', 'DependencyDown', 'HostCondition']);
  expect(alerts.filter(({ rule }) => !expected.has(rule))).toEqual([]);
  expect(alerts.map(({ workload: name }) => name)).not.toContain('by-hand');
  expect(lab.webhook.notifications.flatMap(({ body }) => body.alerts).filter(({ labels }) => labels['alertname'] === 'HostDead')).toEqual(
    [],
  );
});
