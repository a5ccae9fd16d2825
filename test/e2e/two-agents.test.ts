/** Two agents on one engine, with the same names in their configurations: nothing of the first is touched, nor what belongs to nobody. */
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { ContainerFacts } from '@relight/agent/engine/engine';
import { createBody } from '../support/create-body.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { signalProcess } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

const [first, second] = ['owner-1', 'owner-2'] as const;
const names = { shared: `e2e-shared-${process.pid}`, orphan: `e2e-orphan-${process.pid}`, foreign: `e2e-foreign-${process.pid}` };
let lab: Lab;
let ids: { readonly shared: string; readonly orphan: string; readonly foreign: string };
let untouched: readonly (ContainerFacts | null)[];
let intruder: LabAgent;

const workload = (name: string, container: string): Record<string, unknown> => ({
  name,
  container: {
    name: container,
    image: inject('engineImage'),
    pull_policy: 'never',
    init: true,
    command: ['sleep', 'infinity'],
    labels: { 'example.pool': 'v5e' },
  },
  process: { run: 'exec sleep infinity', stop_timeout: '1s' },
  restart: { container: { max: '2s' } },
});

const facts = (): Promise<readonly (ContainerFacts | null)[]> => Promise.all(Object.values(ids).map((id) => lab.engine.inspect(id)));

/** Left by somebody: with labels like ours, in whole or in part. */
async function leave(name: string, labels: Readonly<Record<string, string>>): Promise<string> {
  const { id } = await lab.engine.create(name, { ...createBody(inject('engineImage'), ['sleep', 'infinity']), Labels: labels });
  await lab.engine.start(id);
  return id;
}

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  const orphan = await leave(names.orphan, { 'relight.workload': 'w', 'relight.generation': '7' });
  const foreign = await leave(names.foreign, { 'relight.agent': 'nobody', 'relight.workload': 'w', 'relight.generation': '9' });
  await lab.addAgent({ host: first, workloads: [workload('w', names.shared)] });
  const { containerId } = await lab.fleet.waitForPhase(first, 'w', 'ready');
  ids = { shared: containerId ?? '', orphan, foreign };
  untouched = await facts();
  intruder = await lab.addAgent({ host: second, workloads: [workload('w', names.shared), workload('own', `e2e-own-${process.pid}`)] });
});

afterAll(async () => {
  if (ids !== undefined) await Promise.all([ids.orphan, ids.foreign].map((id) => lab.engine.remove(id)));
  await lab?.dispose();
});

test('the second one holds what is not its own, says whose it is, and runs the rest', async () => {
  await lab.fleet.waitForPhase(second, 'own', 'ready');
  const held = await lab.fleet.waitForPhase(second, 'w', 'held');
  expect(held).toMatchObject({ generation: 0, restarts: { process: 0, container: 0, host: 0 } });
  expect(held.reason).toContain(names.shared);
  // It looks again every two seconds, which a busy host takes a while for: then it is creating for a moment.
  await waitFor(async () => /^ *w +held/m.test((await lab.agentCommand(intruder, 'status')).stdout), {
    timeoutMs: 60_000,
    what: 'its status to say held',
  });
});

test('it stays so, whatever a person demands of the second one', async () => {
  for (const args of [['restart', 'w', '--level', 'container'], ['resume', 'w'], ['pause', 'w'], ['resume']]) {
    expect(await lab.agentCommand(intruder, ...args)).toMatchObject({ code: 0 });
  }
  await lab.fleet.waitForPhase(second, 'w', 'held');
  await intruder.service.kill();
  const since = new Date().toISOString();
  await intruder.service.start();
  // Until it is heard, what it has said last is what is known.
  await lab.fleet.waitForEvent({ host: second, kind: 'agent.started', since }, () => true, 'the second one to be heard again');
  await lab.fleet.waitForPhase(second, 'own', 'ready');
  await lab.fleet.waitForPhase(second, 'w', 'held');
  expect(await facts()).toEqual(untouched);
  // Of its workload: what this machine says in its kernel log, every agent on it tells.
  expect((await lab.fleet.events({ host: first, workload: 'w' })).filter(({ severity }) => severity !== 'info')).toEqual([]);
  expect(await lab.fleet.workload(first, 'w')).toMatchObject({ phase: 'ready', containerId: ids.shared, generation: 1 });
});

test('the first one recovers beside it, and takes nothing for its own that is not', async () => {
  signalProcess(untouched[0]?.pid ?? 0, 'SIGKILL');
  const ready = { host: first, workload: 'w', kind: 'workload.ready' };
  await lab.fleet.waitForEvent(ready, ({ generation }) => generation === 2, 'a new generation');
  // Its status comes on another way than its events: until then it is the one of the dead container, which was ready as well.
  const { containerId } = await waitFor(
    async () => {
      const workload = await lab.fleet.workload(first, 'w');
      return workload?.phase === 'ready' && workload.generation === 2 && workload;
    },
    { timeoutMs: 60_000, everyMs: 50, what: 'the new generation to be ready' },
  );
  expect((await lab.engine.inspect(containerId ?? ''))?.name).toBe(names.shared);
  expect((await facts()).slice(1)).toEqual(untouched.slice(1));
});

test('when the first one has left, the second one takes the name', async () => {
  const [agent] = lab.agents;
  await agent?.service.kill();
  const own = await lab.engine.list({ labels: { 'relight.agent': (await lab.fleet.host(first))?.id ?? '' } });
  expect(own.length).toBeGreaterThanOrEqual(1);
  await Promise.all(own.map((id) => lab.engine.remove(id)));
  const ready = await lab.fleet.waitForPhase(second, 'w', 'ready');
  expect((await lab.engine.inspect(ready.containerId ?? ''))?.name).toBe(names.shared);
  expect((await facts()).slice(1)).toEqual(untouched.slice(1));
});
