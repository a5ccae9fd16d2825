/** A changed configuration does to what runs exactly what `plan` said before; a new agent with the old one does nothing at all. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiEvent } from '@relight/shared/api';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { Plan } from '@relight/agent/control/plan';
import { caughtUp } from '../support/caught-up.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';

const host = 'change-0';
let lab: Lab;
let agent: LabAgent;

interface Shape {
  readonly environment?: Readonly<Record<string, string>>;
  readonly run?: string;
  readonly live?: string;
}

const workload = ({ environment = {}, run = 'exec sleep infinity', live = '1s' }: Shape): Record<string, unknown> => ({
  name: 'w',
  container: {
    name: `e2e-change-${process.pid}`,
    image: inject('engineImage'),
    pull_policy: 'never',
    init: true,
    command: ['sleep', 'infinity'],
    environment,
  },
  setup: [{ name: 'step', run: 'echo done >> /tmp/steps' }],
  process: { run, stop_timeout: '1s' },
  live: [{ exec: 'true', interval: live }],
});

/** What would be different after a restart of anything. */
interface Incarnation {
  readonly containerId: string | null;
  readonly startedAt: number | null | undefined;
  readonly pid: unknown;
}

async function incarnation(): Promise<Incarnation> {
  await lab.fleet.waitForPhase(host, 'w', 'ready');
  await caughtUp(lab, agent);
  const { containerId } = await lab.fleet.waitForPhase(host, 'w', 'ready');
  const started = (await lab.fleet.events({ host, workload: 'w', kind: 'process.started' })).at(-1);
  return { containerId, startedAt: (await lab.engine.inspect(containerId ?? ''))?.startedAt, pid: started?.data['pid'] };
}

const eventsAfter = async (id: number): Promise<readonly ApiEvent[]> =>
  (await lab.fleet.events({ host })).filter((event) => Number(event.id) > id);

interface Life {
  readonly planned: unknown;
  readonly now: Incarnation;
  readonly kinds: readonly string[];
  readonly told: string;
}

/**
 * Ends the agent, changes its configuration while nobody can see it, and starts it anew. Returns what was planned, and what it did, once
 * it is ready for sure: after it has adopted the container.
 */
async function startAnew(how: 'stop' | 'kill', changed?: Shape): Promise<Life> {
  const last = Number((await lab.fleet.events({ host })).at(-1)?.id ?? 0);
  await agent.service[how]();
  if (changed !== undefined) agent.configure([workload(changed)]);
  const planned = await plannedChange();
  await agent.service.start();
  await waitFor(async () => (await eventsAfter(last)).some(({ kind }) => kind === 'container.adopted'), {
    what: 'the adoption',
    timeoutMs: 30_000,
  });
  await waitFor(async () => (await lab.agentCommand(agent, 'status')).stdout.match(/^ *w +ready/m) !== null, {
    what: 'ready',
    timeoutMs: 30_000,
  });
  const now = await incarnation();
  const events = await eventsAfter(last);
  return { now, kinds: events.map(({ kind }) => kind), told: events.map(({ message }) => message).join('\n'), planned };
}

async function plannedChange(): Promise<unknown> {
  const { code, stdout } = await lab.agentCommand(agent, 'plan', '--config', agent.configFile, '--json');
  expect(code).toBe(0);
  return (JSON.parse(stdout) as Plan).workloads[0]?.change;
}

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  agent = await lab.addAgent({ host, workloads: [workload({})] });
  await lab.fleet.waitForPhase(host, 'w', 'ready');
});

afterAll(async () => {
  await lab?.dispose();
});

test.each(['stop', 'kill'] as const)('an upgrade (%s, start): the same container, the same process', async (how) => {
  const before = await incarnation();
  const { now, kinds, planned } = await startAnew(how);
  expect(planned).toEqual({ against: 'stored', restarts: 'none', changes: [] });
  expect(now).toEqual(before);
  for (const kind of ['restart.scheduled', 'process.started', 'container.created', 'setup.step-started']) expect(kinds).not.toContain(kind);
});

test('no impact: takes effect, restarts nothing', async () => {
  const before = await incarnation();
  const { now, kinds, planned } = await startAnew('stop', { live: '500ms' });
  expect(planned).toEqual({ against: 'stored', restarts: 'none', changes: [{ field: 'live', impact: 'none' }] });
  expect(now).toEqual(before);
  expect(kinds).not.toContain('restart.scheduled');
  expect(await plannedChange()).toEqual({ against: 'stored', restarts: 'none', changes: [] });
});

test('impact on the process: a new process in the same container', async () => {
  const before = await incarnation();
  const { now, kinds, told, planned } = await startAnew('stop', { live: '500ms', run: 'exec sleep 999999' });
  expect(planned).toEqual({ against: 'stored', restarts: 'process', changes: [{ field: 'process.run', impact: 'process' }] });
  expect(now).toMatchObject({ containerId: before.containerId, startedAt: before.startedAt });
  expect(now.pid).not.toBe(before.pid);
  expect(kinds.filter((kind) => kind === 'process.started')).toHaveLength(1);
  expect(kinds).not.toContain('setup.step-started');
  expect(told).toContain('process restart at once: the configuration changed: process.run');
});

test('impact on the container: a new container, set up anew; it costs no budget', async () => {
  const before = await incarnation();
  const change = { field: 'container.environment', impact: 'container' };
  const { now, kinds, told, planned } = await startAnew('stop', { live: '500ms', run: 'exec sleep 999999', environment: { BUCKET: 'b' } });
  expect(planned).toEqual({ against: 'stored', restarts: 'container', changes: [change] });
  expect(now.containerId).not.toBe(before.containerId);
  expect(kinds.filter((kind) => kind === 'container.created')).toHaveLength(1);
  expect(kinds.filter((kind) => kind === 'process.started')).toHaveLength(1);
  expect(kinds).toContain('setup.step-done');
  expect(told).toContain('container restart at once: the configuration changed: container.environment');
  expect(await lab.fleet.workload(host, 'w')).toMatchObject({ restarts: { process: 0, container: 0, host: 0 }, generation: 2 });
});

test('a change that comes while the agent is killed, not stopped, is found as well', async () => {
  const before = await incarnation();
  const { now } = await startAnew('kill', { live: '500ms', run: 'exec sleep 999998', environment: { BUCKET: 'b' } });
  expect(now.containerId).toBe(before.containerId);
  expect(now.pid).not.toBe(before.pid);
});

test('a change that an agent could not compare with what runs, because the engine was away all its life, is found by the next one', async () => {
  const before = await incarnation();
  const shape = { live: '500ms', run: 'exec sleep 999998', environment: { BUCKET: 'c' } };
  await agent.service.stop();
  agent.configure([workload(shape)]);
  const document = JSON.parse(readFileSync(agent.configFile, 'utf8')) as Record<string, unknown>;
  writeFileSync(agent.configFile, JSON.stringify({ ...document, engine: { socket: join(agent.stateDir, 'no-engine.sock') } }, null, 2));
  const last = Number((await lab.fleet.events({ host })).at(-1)?.id ?? 0);
  await agent.service.start();
  await waitFor(async () => (await eventsAfter(last)).some(({ kind }) => kind === 'engine.lost'), {
    what: 'the engine to be away',
    timeoutMs: 30_000,
  });
  const { now, planned } = await startAnew('stop', shape);
  expect(planned).toEqual({ against: 'stored', restarts: 'container', changes: [{ field: 'container.environment', impact: 'container' }] });
  expect(now.containerId).not.toBe(before.containerId);
});
