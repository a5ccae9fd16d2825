/** An agent that runs takes up another configuration: what `reload --dry-run` says is what happens, and nothing else is touched. */
import type { AgentStatus } from '@relight/agent/control/status';
import type { ApiEvent } from '@relight/shared/api';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, rmSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { caughtUp, eventsStored } from '../support/caught-up.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { signalProcess } from '../support/processes.ts';
import { eventually, waitFor } from '../support/wait.ts';

const host = 'reload-0';
const secret = 'hunter2-of-the-reload-test';
let lab: Lab;
let agent: LabAgent;

interface Shape {
  readonly environment?: Readonly<Record<string, string>>;
  readonly run?: string;
  readonly live?: string;
  /** Of a registry that nobody serves. */
  readonly away?: string;
}

const workload = (name: string, shape: Shape = {}): Record<string, unknown> => {
  const { environment = {}, run = 'exec sleep infinity', live = '1s', away } = shape;
  return {
    name,
    container: {
      name: `e2e-reload-${name}-${process.pid}`,
      image: away ?? inject('engineImage'),
      pull_policy: away === undefined ? 'never' : 'missing',
      init: true,
      command: ['sleep', 'infinity'],
      environment,
    },
    setup: [{ name: 'step', run: 'echo done >> /tmp/steps' }],
    process: { run, stop_timeout: '1s' },
    live: [{ exec: 'true', interval: live }],
  };
};

/** What would be different after a restart of anything in it. As the agent has it now: what it was before may still be shown. */
async function incarnation(name: string): Promise<unknown> {
  await waitFor(async () => isReady(name, await caughtUp(lab, agent)), { what: `${name} to be ready`, timeoutMs: 60_000 });
  const { containerId, restarts } = await lab.fleet.waitForPhase(host, name, 'ready');
  const started = (await lab.fleet.events({ host, workload: name, kind: 'process.started' })).at(-1);
  const { startedAt } = (await lab.engine.inspect(containerId ?? '')) ?? {};
  return { containerId, restarts, startedAt, pid: started?.data['pid'] };
}

const isReady = (name: string, { workloads }: AgentStatus): boolean =>
  workloads.some((workload) => workload.name === name && workload.phase === 'ready');

/** Of all that has happened until now: a workload is shown ready before the events that led to it are stored. */
async function lastEvent(): Promise<number> {
  await eventsStored(agent);
  return Number((await lab.fleet.events({ host })).at(-1)?.id ?? 0);
}
const eventsAfter = async (id: number): Promise<readonly ApiEvent[]> =>
  (await lab.fleet.events({ host })).filter((event) => Number(event.id) > id);

async function told(after: number, what: string): Promise<readonly ApiEvent[]> {
  return await waitFor(
    async () => {
      const events = await eventsAfter(after);
      return events.some(({ message }) => message.includes(what)) ? events : null;
    },
    { what: `an event that says: ${what}`, timeoutMs: 30_000 },
  );
}

const statusNow = async (): Promise<Record<string, never>> =>
  JSON.parse((await lab.agentCommand(agent, 'status', '--json')).stdout) as Record<string, never>;

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  agent = await lab.addAgent({ host, workloads: [workload('a'), workload('b')] });
  await lab.fleet.waitForPhase(host, 'a', 'ready');
  await lab.fleet.waitForPhase(host, 'b', 'ready');
});

afterAll(async () => {
  await lab?.dispose();
});

test('the file changes: one workload gets a new process in the same container, the other one notices nothing', async () => {
  const [a, b, last] = [await incarnation('a'), await incarnation('b'), await lastEvent()];
  agent.configure([workload('a', { run: 'exec sleep 999999' }), workload('b')]);
  const events = await told(last, 'workload a: restarts the process (process.run)');
  expect(events.find(({ message }) => message.includes('was read again'))).toMatchObject({ workload: 'a', kind: 'host.notice' });
  await told(last, 'ready after');
  expect(await incarnation('b')).toEqual(b);
  const now = await incarnation('a');
  expect(now).not.toEqual(a);
  expect(now).toMatchObject({ containerId: (a as { containerId: string }).containerId, restarts: { process: 0, container: 0 } });
  const kinds = (await eventsAfter(last)).filter(({ workload: of }) => of === 'b').map(({ kind }) => kind);
  expect(kinds).toEqual([]);
});

test('by hand: the dry run says it, the reload does it: a new container for one alone', async () => {
  const [a, b, last] = [await incarnation('a'), await incarnation('b'), await lastEvent()];
  // A file that somebody still writes to is not read by itself.
  const touch = (): void => utimesSync(agent.configFile, new Date(), new Date());
  const writing = setInterval(touch, 100);
  agent.configure([workload('a', { run: 'exec sleep 999999' }), workload('b', { environment: { BUCKET: 'b' } })]);
  try {
    expect((await lab.agentCommand(agent, 'reload', '--dry-run')).stdout).toContain(
      'workload b: makes a new container (container.environment)',
    );
    expect(await incarnation('b')).toEqual(b);
    expect(await lab.agentCommand(agent, 'reload')).toMatchObject({ code: 0, stdout: expect.stringContaining('workload b') as unknown });
  } finally {
    clearInterval(writing);
  }
  await told(last, 'container of generation 2 created');
  await told(last, 'ready after');
  expect(await incarnation('a')).toEqual(a);
  expect(await incarnation('b')).not.toEqual(b);
  expect(await lab.fleet.workload(host, 'b')).toMatchObject({ restarts: { process: 0, container: 0 }, generation: 2 });
});

test('an image that cannot be pulled, and the file as it was again: what runs goes on throughout', async () => {
  const before = await incarnation('b');
  const [a, b, last] = [workload('a', { run: 'exec sleep 999999' }), { environment: { BUCKET: 'b' } }, await lastEvent()];
  const touch = (): void => utimesSync(agent.configFile, new Date(), new Date());
  const writing = setInterval(touch, 100);
  agent.configure([a, workload('b', { ...b, away: '127.0.0.1:9/absent:1' })]);
  try {
    const word = 'the image 127.0.0.1:9/absent:1 is not on this host: a container that runs goes on under the configuration before';
    expect((await lab.agentCommand(agent, 'reload', '--dry-run')).stdout).toContain(`workload b: ${word}`);
    expect((await lab.agentCommand(agent, 'plan', '--config', agent.configFile)).stdout).toContain(`      ! ${word}`);
  } finally {
    clearInterval(writing);
  }
  await told(last, 'what runs goes on: the image 127.0.0.1:9/absent:1 could not be pulled');
  expect(await incarnation('b')).toEqual(before);
  const failed = await lastEvent();
  agent.configure([a, workload('b', b)]);
  await told(failed, 'workload b: goes on as it is; the configuration that waited for its image is withdrawn');
  await told(failed, 'image-missing b is over');
  expect(await incarnation('b')).toEqual(before);
  const kinds = (await eventsAfter(last)).map(({ kind }) => kind);
  for (const kind of ['restart.scheduled', 'container.created', 'process.started', 'workload.phase-changed'])
    expect(kinds).not.toContain(kind);
});

test('SIGHUP before the agent has read its configuration ends nothing', async () => {
  const early = await lab.addAgent({ host: 'reload-early', workloads: [], start: false });
  const { configFile: file, service } = early;
  const good = readFileSync(file, 'utf8');
  rmSync(file);
  execFileSync('mkfifo', [file]);
  try {
    await service.start();
    // Fails while nobody reads: then the agent has not come so far.
    const writer = await waitFor(
      () => {
        try {
          return { fd: openSync(file, constants.O_WRONLY | constants.O_NONBLOCK) };
        } catch {
          return null;
        }
      },
      { what: 'the agent to read its configuration', timeoutMs: 30_000 },
    );
    const { pid } = service;
    signalProcess(pid ?? 0, 'SIGHUP');
    rmSync(file);
    writeFileSync(file, good);
    writeSync(writer.fd, good);
    closeSync(writer.fd);
    await lab.fleet.waitForHost('reload-early', 'connected', 30_000);
    expect(service.pid).toBe(pid);
  } finally {
    await service.stop();
  }
});

test('SIGHUP with a file that cannot be used: everything goes on; it is said by status, as an event and to the operator, until it can', async () => {
  const [a, b, last] = [await incarnation('a'), await incarnation('b'), await lastEvent()];
  const good = readFileSync(agent.configFile, 'utf8');
  const bad = JSON.parse(good) as Record<string, unknown>;
  writeFileSync(agent.configFile, JSON.stringify({ ...bad, wrokloads: [], collector: { url: 'http://x', token: secret } }, null, 2));
  signalProcess(agent.service.pid ?? 0, 'SIGHUP');
  const events = await told(last, 'cannot be used');
  expect(events.map(({ message }) => message).join('\n')).toMatch(/agent\.yaml:\d+:\d+: is not valid/);
  expect(JSON.stringify(events)).not.toContain('wrokloads');
  expect(await statusNow()).toMatchObject({ configuration: { refused: { reason: expect.stringContaining('wrokloads') as unknown } } });
  expect((await lab.agentCommand(agent, 'status')).stdout).toMatch(/^config .*REFUSED/m);
  const reload = await lab.agentCommand(agent, 'reload');
  expect(reload.code).toBe(2);
  expect(reload.stderr).toContain('wrokloads');
  await eventually(async () => expect((await lab.relight('status')).stdout).toContain('configuration-refused'), {
    what: 'the operator to see it',
  });
  for (const text of [JSON.stringify(events), reload.stderr, JSON.stringify(await statusNow())]) expect(text).not.toContain(secret);
  expect([await incarnation('a'), await incarnation('b')]).toEqual([a, b]);
  writeFileSync(agent.configFile, good);
  await told(last, 'configuration-refused');
  await told(last, 'is over; it was');
  expect(await statusNow()).toMatchObject({ configuration: { refused: null } });
  expect([await incarnation('a'), await incarnation('b')]).toEqual([a, b]);
});

test('a workload is added, another one is taken out: its container goes on and is reported; put back, it is the same', async () => {
  const [b, last] = [await incarnation('b'), await lastEvent()];
  agent.configure([workload('a', { run: 'exec sleep 999999' }), workload('c')]);
  await told(last, 'workload c is added');
  await lab.fleet.waitForPhase(host, 'c', 'ready');
  await told(last, 'orphan-container');
  agent.configure([workload('a', { run: 'exec sleep 999999' }), workload('b', { environment: { BUCKET: 'b' } }), workload('c')]);
  await told(last, 'workload b is added');
  expect(await incarnation('b')).toEqual(b);
});

test('a variable and a check that needs it come together: the check waits for the variable, and nothing is restarted', async () => {
  const [a, b, last] = [await incarnation('a'), await incarnation('b'), await lastEvent()];
  const document = JSON.parse(readFileSync(agent.configFile, 'utf8')) as { workloads: Record<string, unknown>[] };
  const check = 'echo "as $ADDED" >> /tmp/checked; test "$ADDED" = here';
  const workloads = document.workloads.map((given) =>
    given['name'] === 'a'
      ? { ...given, live: [{ exec: check, interval: '100ms', timeout: '60s', failures: 1, restarts: 'process' }] }
      : given,
  );
  const vars = { ADDED: { run: 'sleep 2; echo here' } };
  writeFileSync(agent.configFile, JSON.stringify({ ...document, vars, workloads }, null, 2));
  await told(last, 'workload a: restarts nothing (live)');
  const { containerId } = a as { containerId: string };
  const checked = async (): Promise<string> => (await lab.engine.exec(containerId, { argv: ['cat', '/tmp/checked'] })).stdout;
  await waitFor(async () => (await checked()).split('\n').length > 3, { what: 'the check to be made', timeoutMs: 30_000 });
  expect(new Set((await checked()).trim().split('\n'))).toEqual(new Set(['as here']));
  expect([await incarnation('a'), await incarnation('b')]).toEqual([a, b]);
  const kinds = (await eventsAfter(last)).map(({ kind }) => kind);
  for (const kind of ['check.failed', 'restart.scheduled', 'process.started']) expect(kinds).not.toContain(kind);
});

test('a workload is taken out in the middle of an incident: that is over, and the agent says so', async () => {
  const last = await lastEvent();
  const before = readFileSync(agent.configFile, 'utf8');
  const document = JSON.parse(before) as { workloads: Record<string, unknown>[] };
  const workloads = [...document.workloads, workload('broken', { run: 'exit 7' })];
  writeFileSync(agent.configFile, JSON.stringify({ ...document, workloads }, null, 2));
  const opened = await waitFor(
    async () => (await eventsAfter(last)).find(({ kind, workload: of }) => kind === 'incident.opened' && of === 'broken'),
    { what: 'the incident', timeoutMs: 30_000 },
  );
  writeFileSync(agent.configFile, before);
  const closed = await waitFor(
    async () => (await eventsAfter(last)).find(({ kind, workload: of }) => kind === 'incident.closed' && of === 'broken'),
    { what: 'its end', timeoutMs: 30_000 },
  );
  expect(closed.data['incident']).toBe(opened.data['incident']);
});

test('what only a new start of the agent can take up: it starts over as the same process, and everything runs on', async () => {
  const [a, b, last, pid] = [await incarnation('a'), await incarnation('b'), await lastEvent(), agent.service.pid];
  const document = JSON.parse(readFileSync(agent.configFile, 'utf8')) as { host: Record<string, unknown> };
  writeFileSync(agent.configFile, JSON.stringify({ ...document, host: { ...document.host, labels: { pool: 'other' } } }, null, 2));
  await told(last, 'its configuration changed, it starts over');
  await waitFor(async () => (await lab.fleet.host(host))?.labels['pool'] === 'other', { what: 'the new label', timeoutMs: 30_000 });
  expect(agent.service.pid).toBe(pid);
  expect([await incarnation('a'), await incarnation('b')]).toEqual([a, b]);
  const kinds = (await eventsAfter(last)).map(({ kind }) => kind);
  for (const kind of ['restart.scheduled', 'container.created', 'process.started']) expect(kinds).not.toContain(kind);
});
