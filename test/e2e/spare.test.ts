/** A prepared spare on a real engine, with a real FUSE mount in it: it takes over, is adopted, kept honest, and costs the workload nothing. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerFacts } from '@relight/agent/engine/engine';
import type { SpareStatus } from '@relight/shared/status';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { at, Bystander } from '../support/bystander.ts';
import { dockerApi } from '../support/docker-api.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { listProcesses, signalProcess } from '../support/processes.ts';
import { eventually, waitFor } from '../support/wait.ts';

const docker = dockerApi(inject('engineSocket'));
let lab: Lab;
let worker: Bystander;
let envFile = '';
/** Nobody else's process looks like it. */
const sleeps = String(4_000_000 + process.pid);
/** What a container takes longer for that is made from the beginning. */
const setupMs = 5_000;

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  envFile = join(lab.directory, 'worker.env');
  writeFileSync(envFile, 'TOKEN=the-first-of-the-tokens\n', { mode: 0o600 });
  const document = {
    spare: 'prepared',
    container: { cap_add: ['SYS_ADMIN'], devices: ['/dev/fuse'], security_opt: ['apparmor=unconfined'], env_file: [envFile] },
    mounts: [
      // One that dies is noticed when it is needed: no check is due in between.
      { name: 'data', type: 'command', run: 'exec bindfs -f --no-allow-other /src /data', target: '/data', check: { interval: '1h' } },
    ],
    setup: [
      { name: 'source', run: 'mkdir -p /src && echo content > /src/file && echo "$RELEASE" > /release' },
      { mount: 'data' },
      { name: 'slow', run: `sleep ${setupMs / 1_000}; touch /tmp/done`, verify: 'test -e /tmp/done' },
    ],
    process: { run: `echo "started in $(hostname)"; exec sleep ${sleeps}`, stop_timeout: '500ms' },
    ready: [{ exec: 'grep content /data/file', interval: '100ms' }],
  };
  worker = await Bystander.start(lab, 'spare', inject('engineImage'), document, {}, {}, { vars: { RELEASE: 'first' } });
  await worker.phase('ready');
});
afterAll(async () => {
  await lab?.dispose();
});

const status = async (): Promise<SpareStatus | null> => (await worker.control.status()).workloads[0]?.spare ?? null;
const spareReady = (): Promise<unknown> =>
  waitFor(async () => (await status())?.state === 'ready', { timeoutMs: 60_000, everyMs: 50, what: 'the spare to be ready' });

async function spare(): Promise<ContainerFacts> {
  const facts = await lab.engine.inspect(`${worker.containerName}-relight-spare`);
  if (facts === null) throw new Error('there is no spare');
  return facts;
}

/** Of the workload, in whatever container. */
const processes = (): readonly { readonly pid: number; readonly cgroup: string }[] =>
  listProcesses().filter(({ cmdline }) => cmdline[0] === 'sleep' && cmdline[1] === sleeps);

/** The one process of the workload: its shell may only now become it, also where the checks have passed already. */
async function theProcess(): Promise<{ readonly cgroup: string }> {
  await waitFor(() => processes().length > 0, { what: 'the process of the workload' });
  const [only, ...others] = processes();
  expect(others).toEqual([]);
  if (only === undefined) throw new Error('the process of the workload has gone again');
  return only;
}

/** Its status comes on another way than its events. */
const hasRestarts = (restarts: Readonly<Record<string, number>>): Promise<void> =>
  eventually(async () => expect((await worker.status()).restarts).toEqual(restarts), { what: 'the restarts' });

test('it is made beside the ready workload: mounted, set up, without a process', async () => {
  await spareReady();
  await theProcess();
  const facts = await spare();
  expect(facts.status).toBe('running');
  const read = await lab.engine.exec(facts.id, { argv: ['cat', '/data/file', '/tmp/done'] });
  expect(read).toMatchObject({ exitCode: 0, stdout: 'content\n' });
  const { stdout } = await lab.agentCommand(worker.agent, 'status');
  expect(stdout).toMatch(/^spare: spare ready for /m);
  expect((await worker.running()).length).toBe(2);
});

test('the container dies: the spare takes over without a step, and the next one is made', async () => {
  const [next, dead, mark] = [await spare(), await worker.container(), await worker.mark()];
  await docker.kill(dead.id);
  const ready = await worker.next(mark, 'workload.ready');
  expect((await theProcess()).cgroup).toContain(next.id);
  expect(await worker.container()).toMatchObject({ id: next.id, startedAt: next.startedAt });
  const events = (await worker.since(mark)).filter(({ id }) => Number(id) <= Number(ready.id));
  const kinds = events.map(({ kind }) => kind);
  expect(kinds).not.toContain('setup.step-started');
  expect(kinds).not.toContain('mount.mounted');
  const created = events.find(({ kind }) => kind === 'container.created');
  expect(created).toMatchObject({ generation: 2, data: { spare: true, containerId: next.id } });
  const died = events.find(({ kind }) => kind === 'container.died');
  if (died === undefined) throw new Error('nobody said that the container died');
  expect(at(ready) - at(died)).toBeLessThan(setupMs);
  await hasRestarts({ process: 0, container: 1, host: 0 });
  await spareReady();
  expect(await spare()).not.toMatchObject({ id: next.id });
});

test('killed with -9, the agent finds both again and restarts neither', async () => {
  const [before, beside, mark] = [await worker.container(), await spare(), await worker.mark()];
  await worker.agent.service.kill();
  await worker.agent.service.start();
  await worker.next(mark, 'container.adopted');
  await spareReady();
  expect(await worker.container()).toMatchObject({ id: before.id, startedAt: before.startedAt });
  expect(await spare()).toMatchObject({ id: beside.id, startedAt: beside.startedAt });
  await theProcess();
});

test('a spare that dies is made anew; the workload neither stops nor counts it', async () => {
  const [before, beside, mark] = [await worker.container(), await spare(), await worker.mark()];
  await docker.kill(beside.id);
  const failed = await worker.next(mark, 'host.notice', ({ data }) => data['spare'] === 'failed');
  // That the one before was ready may be told only now.
  await worker.next(Number(failed.id), 'host.notice', ({ data }) => data['spare'] === 'ready');
  expect((await spare()).id).not.toBe(beside.id);
  expect(await worker.container()).toMatchObject({ id: before.id, startedAt: before.startedAt });
  await hasRestarts({ process: 0, container: 1, host: 0 });
  expect(await worker.kindsSince(mark)).not.toContain('restart.scheduled');
});

test('a spare whose mount died unnoticed is refused: a container is made without it', async () => {
  await spareReady();
  const [dead, beside, mark] = [await worker.container(), await spare(), await worker.mark()];
  const daemon = listProcesses().find(({ cgroup, cmdline }) => cgroup.includes(beside.id) && cmdline[0]?.endsWith('bindfs') === true);
  if (daemon === undefined) throw new Error('no daemon in the spare');
  signalProcess(daemon.pid, 'SIGKILL');
  // With all of its threads: until then the mount may answer.
  await waitFor(() => !existsSync(`/proc/${daemon.pid}`), { what: 'the daemon in the spare to be gone' });
  await docker.kill(dead.id);
  const refused = await worker.next(mark, 'host.notice', ({ data }) => data['spare'] === 'refused');
  expect(refused.message).toContain('mount data');
  const created = await worker.next(mark, 'container.created');
  expect(created.data['containerId']).not.toBe(beside.id);
  await worker.next(mark, 'workload.ready');
  await theProcess();
  await spareReady();
  expect(await lab.engine.inspect(beside.id)).toBeNull();
});

test('an env file that has changed makes it outdated', async () => {
  const beside = await spare();
  writeFileSync(envFile, 'TOKEN=another-one-of-the-tokens\n');
  const mark = await worker.mark();
  // It is compared every ten minutes, and when an agent finds it.
  await worker.agent.service.kill();
  await worker.agent.service.start();
  const discarded = await worker.next(mark, 'host.notice', ({ data }) => data['spare'] === 'discarded');
  expect(discarded.message).toContain('an env file has changed');
  // That the one before was ready may be told only now.
  await worker.next(Number(discarded.id), 'host.notice', ({ data }) => data['spare'] === 'ready');
  const made = await lab.engine.exec((await spare()).id, { argv: ['sh', '-c', 'echo $TOKEN'] });
  expect(made.stdout).toBe('another-one-of-the-tokens\n');
  expect(await lab.engine.inspect(beside.id)).toBeNull();
});

test('a variable that has another value in the file makes it outdated at once, and the workload goes on', async () => {
  await spareReady();
  const [before, beside, mark] = [await worker.container(), await spare(), await worker.mark()];
  const file = worker.agent.configFile;
  const document = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...document, vars: { RELEASE: 'second' } }, null, 2));
  const discarded = await worker.next(mark, 'host.notice', ({ data }) => data['spare'] === 'discarded');
  await worker.next(mark, 'host.notice', ({ data, id }) => data['spare'] === 'ready' && Number(id) > Number(discarded.id));
  const made = await lab.engine.exec((await spare()).id, { argv: ['cat', '/release'] });
  expect(made.stdout).toBe('second\n');
  expect(await lab.engine.inspect(beside.id)).toBeNull();
  expect(await worker.container()).toMatchObject({ id: before.id, startedAt: before.startedAt });
  expect(await worker.kindsSince(mark)).not.toContain('restart.scheduled');
});

test('without the state directory, one process goes on and the spare is made anew', async () => {
  const [before, beside] = [await worker.container(), await spare()];
  await worker.agent.service.kill();
  for (const name of ['workloads', 'spares']) rmSync(join(worker.agent.stateDir, name), { recursive: true });
  await worker.agent.service.start();
  await waitFor(async () => (await lab.engine.inspect(beside.id)) === null, { timeoutMs: 30_000, what: 'the old spare to go' });
  await spareReady();
  expect(await worker.container()).toMatchObject({ id: before.id, startedAt: before.startedAt });
  await theProcess();
});
