/** A new image in the configuration that is not on the host: what runs goes on until it is, whatever the registry does meanwhile. */
import type { ApiEvent, ApiWorkload } from '@relight/shared/api';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { eventsStored } from '../support/caught-up.ts';
import { dockerApi } from '../support/docker-api.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { eventually, waitFor } from '../support/wait.ts';

const docker = dockerApi(inject('engineSocket'));
const ours = `e2e-image-wait-${process.pid}`;
const first = `${ours}:first`;
let lab: Lab;
let registry: TestRegistry;
let agent: LabAgent;
let host = '';
let hosts = 0;

const workload = (image: string, policy = 'missing', more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> => ({
  name: 'w',
  container: { name: `${ours}-${host}`, image, pull_policy: policy, init: true, command: ['sleep', 'infinity'] },
  process: { run: 'exec sleep infinity', stop_timeout: '1s' },
  restart: { container: { initial: '200ms', max: '2s' } },
  ...more,
});

const absent = (): string => `${registry.address}/team/absent:2`;
const silent = (): string => `${registry.address}/team/silent:2`;
const tag = (image: string): Promise<void> => {
  const colon = image.lastIndexOf(':');
  return docker.tag(inject('engineImage'), image.slice(0, colon), image.slice(colon + 1));
};

/** What would be different after a restart of anything. */
async function incarnation(): Promise<{ readonly containerId: string; readonly what: unknown }> {
  const { containerId, image } = await lab.fleet.waitForPhase(host, 'w', 'ready');
  // The phase may arrive before the events that led to it.
  await eventsStored(agent);
  const { startedAt, pid } = (await lab.engine.inspect(containerId ?? '')) ?? {};
  const started = (await lab.fleet.events({ host, workload: 'w', kind: 'process.started' })).at(-1);
  return { containerId: containerId ?? '', what: { image, startedAt, pid, process: started?.data['pid'] } };
}

const events = (): Promise<readonly ApiEvent[]> => lab.fleet.events({ host });
const told = (what: string): Promise<ApiEvent> =>
  lab.fleet.waitForEvent({ host }, ({ message }) => message.includes(what), `an event that says: ${what}`, 30_000);

const waits = (what: (waiting: NonNullable<ApiWorkload['waitingConfiguration']>) => boolean): Promise<ApiWorkload> =>
  waitFor(
    async () => {
      const now = await lab.fleet.workload(host, 'w');
      const waiting = now?.waitingConfiguration ?? null;
      return now !== undefined && waiting !== null && what(waiting) ? now : null;
    },
    { what: 'a configuration that waits', timeoutMs: 30_000 },
  );

const waitsNoMore = (): Promise<void> =>
  eventually(async () => expect(await lab.fleet.workload(host, 'w')).toMatchObject({ waitingConfiguration: null }), {
    what: 'nothing to wait any more',
    timeoutMs: 30_000,
  });

/** Of another image, with everything in place. */
const replaced = (image: string): Promise<ApiWorkload> =>
  waitFor(
    async () => {
      const now = await lab.fleet.workload(host, 'w');
      return now?.image === image && now.phase === 'ready' ? now : null;
    },
    { what: `a container of ${image}`, timeoutMs: 60_000 },
  );

beforeAll(async () => {
  registry = await startRegistry({ 'team/absent': { status: 404, code: 'MANIFEST_UNKNOWN' }, 'team/silent': 'silent' });
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
beforeEach(async () => {
  await tag(first);
  host = `image-${(hosts += 1)}`;
  agent = await lab.addAgent({ host, workloads: [] });
  agent.configure([workload(first)]);
  await lab.fleet.waitForPhase(host, 'w', 'ready');
});
afterEach(async () => {
  await agent.service.stop();
  for (const image of [first, absent(), silent()]) await docker.removeImage(image).catch(() => {});
});
afterAll(async () => {
  await lab?.dispose();
  await registry?.close();
});

test('a typing error in the tag: what runs goes on, and everybody says so; the image comes, and only the change itself is downtime', async () => {
  const before = await incarnation();
  agent.configure([workload(absent())]);
  const missing = await told('what runs goes on: the image');
  expect(missing).toMatchObject({ severity: 'warning', workload: 'w', data: { code: 'image-not-found', image: absent() } });
  // While it is tried once more there is no next time.
  const waiting = await waits(({ reason, nextAttemptAt }) => reason.includes('could not be pulled') && nextAttemptAt !== null);
  expect(waiting).toMatchObject({ phase: 'ready', image: first, waitingConfiguration: { image: absent() } });
  expect(waiting.waitingConfiguration?.advice).not.toBe('');
  await eventually(
    async () => {
      // What the machine of the tests has to say of itself is none of this one's doing.
      const alerts = (await lab.fleet.alerts({ host })).filter(({ summary }) => summary.includes('image-missing'));
      expect(alerts).toMatchObject([
        { rule: 'HostCondition', state: 'firing', summary: expect.stringContaining('image-missing w') as unknown },
      ]);
    },
    { what: 'the alert', timeoutMs: 30_000 },
  );
  for (const text of [(await lab.agentCommand(agent, 'status')).stdout, (await lab.relight('host', host)).stdout])
    expect(text).toContain(`its new configuration`);
  expect((await lab.relight('status')).stdout).toContain(`waits for the image ${absent()}`);
  expect(await incarnation()).toEqual(before);
  expect((await events()).filter(({ kind }) => kind === 'restart.scheduled')).toEqual([]);

  await tag(absent());
  await told(`the new configuration is taken up: the image ${absent()} is here`);
  const after = await replaced(absent());
  expect(after.containerId).not.toBe(before.containerId);
  await waitsNoMore();
  await told('image-missing w is over');
  expect((await events()).filter(({ message }) => message.startsWith('pulling'))).toEqual([]);
  expect(after.restarts).toEqual({ process: 0, container: 0, host: 0 });
});

test('a registry that is silent: what runs goes on, also when its container dies, and when the agent is killed; the file as it was ends it', async () => {
  const before = await incarnation();
  agent.configure([workload(silent())]);
  await waits(({ progress }) => progress?.includes('pull') === true);
  await agent.service.kill();
  await agent.service.start();
  await waitFor(async () => (await events()).filter(({ message }) => message.includes('waits for the image')).length === 2, {
    what: 'the next life to wait as well',
    timeoutMs: 30_000,
  });
  await waits(({ progress }) => progress?.includes('pull') === true);
  expect(await incarnation()).toEqual(before);

  await docker.kill(before.containerId);
  const remade = await waitFor(
    async () => {
      const now = await lab.fleet.workload(host, 'w');
      return now?.phase === 'ready' && now.containerId !== before.containerId ? now : null;
    },
    { what: 'the container again', timeoutMs: 60_000 },
  );
  expect(remade).toMatchObject({ image: first, waitingConfiguration: { image: silent() } });

  const settled = await incarnation();
  agent.configure([workload(first)]);
  await told('the configuration that waited for its image is withdrawn');
  await waitsNoMore();
  expect(await incarnation()).toEqual(settled);

  const replay = await lab.agentCommand(agent, 'replay', '--workload', 'w', '--since', '1h', '--json');
  expect(replay.code).toBe(0);
  const { replays } = JSON.parse(replay.stdout) as { replays: readonly { exact: boolean; inputs: number }[] };
  expect(replays.map(({ exact }) => exact)).toEqual(replays.map(() => true));
  expect(replays.reduce((sum, { inputs }) => sum + inputs, 0)).toBeGreaterThan(10);
});

test('pull_policy never: no registry is asked; a restart by hand is refused while the image of what runs is gone; then the new one is taken', async () => {
  const before = await incarnation();
  agent.configure([workload(first, 'never')]);
  await told('workload w: restarts nothing (container.pull_policy)');
  agent.configure([workload(absent(), 'never')]);
  await told('and pull_policy is never');
  const restarted = await lab.agentCommand(agent, 'restart', 'w');
  expect(restarted).toMatchObject({ code: 0, stdout: expect.stringContaining(`the new one is not here: w (${absent()})`) as unknown });
  await lab.fleet.waitForEvent({ host, workload: 'w' }, ({ kind }) => kind === 'restart.scheduled', 'the restart', 30_000);
  const again = await waitFor(
    async () => {
      const now = await incarnation();
      return (now.what as { process: unknown }).process === (before.what as { process: unknown }).process ? null : now;
    },
    { what: 'another process', timeoutMs: 30_000 },
  );
  expect(again.containerId).toBe(before.containerId);
  expect((await events()).some(({ message }) => message.includes('could not be pulled'))).toBe(false);
  await docker.removeImage(first);
  const refused = await lab.agentCommand(agent, 'restart', 'w', '--level', 'container');
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(`the image ${first} of w is not on this host`) as unknown });
  expect(await incarnation()).toEqual(again);

  // Now it cannot be made again as it was.
  await docker.remove(before.containerId);
  await told('what it had cannot go on under the configuration before');
  // It was held for want of the image before, for a moment.
  await eventually(
    async () =>
      expect(await lab.fleet.workload(host, 'w')).toMatchObject({ phase: 'held', reason: expect.stringContaining(absent()) as unknown }),
    { what: 'it to be held for want of the new image', timeoutMs: 60_000 },
  );
  await tag(absent());
  await replaced(absent());
});

test('a prepared spare stays what it is until the image is here, also over a restart of the agent', async () => {
  const spared = (image: string): Record<string, unknown> => workload(image, 'missing', { spare: 'prepared' });
  const spareIs = (state: string): Promise<unknown> =>
    waitFor(async () => (await lab.fleet.workload(host, 'w'))?.spare?.state === state, {
      what: `a spare that is ${state}`,
      timeoutMs: 60_000,
    });
  const spare = async (): Promise<string | undefined> => (await lab.engine.inspect(`${ours}-${host}-relight-spare`))?.id;
  agent.configure([spared(first)]);
  await spareIs('ready');
  const [before, kept] = [await incarnation(), await spare()];
  agent.configure([spared(absent())]);
  await told('what runs goes on: the image');
  await agent.service.kill();
  await agent.service.start();
  await waitFor(async () => (await events()).filter(({ message }) => message.includes('what runs goes on: the image')).length === 2, {
    what: 'the next life to try as well',
    timeoutMs: 30_000,
  });
  await spareIs('ready');
  expect([await incarnation(), await spare()]).toEqual([before, kept]);

  await docker.kill(before.containerId);
  await waitFor(async () => (await lab.fleet.workload(host, 'w'))?.containerId === kept, {
    what: 'the spare to take over',
    timeoutMs: 30_000,
  });
  await lab.fleet.waitForPhase(host, 'w', 'ready');
  await tag(absent());
  expect((await replaced(absent())).containerId).not.toBe(kept);
});
