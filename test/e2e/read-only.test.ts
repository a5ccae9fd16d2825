/** A file system becomes read-only: under the agent, under a container, by hand or because the kernel found errors on a disk. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiEvent, ApiHostCondition, ApiIncident } from '@relight/shared/api';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { Bystander, type WorkloadDocument } from '../support/bystander.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { LoopDisk } from '../support/loop-disk.ts';
import { signalProcess } from '../support/processes.ts';
import { eventually, waitFor } from '../support/wait.ts';

let lab: Lab;
const image = inject('engineImage');

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(() => lab?.dispose());

async function disk(name: string, mountPoint: string): Promise<LoopDisk> {
  mkdirSync(join(lab.directory, 'disks'), { recursive: true });
  const mounted = await LoopDisk.mount(join(lab.directory, 'disks', name), mountPoint);
  onTestFinished(() => mounted.unmount());
  return mounted;
}

/** What is said of read-only file systems, except of disks that are nobody's here: the kernel log is one for all tests. */
async function readOnly({ agent }: Bystander, subjects: readonly string[]): Promise<readonly ApiHostCondition[]> {
  const conditions = (await lab.fleet.host(agent.host))?.conditions ?? [];
  return conditions.filter(({ name, subject }) => name === 'read-only-filesystem' && subjects.includes(subject));
}

const isSaid = (worker: Bystander, subjects: readonly string[]): Promise<readonly ApiHostCondition[]> =>
  waitFor(
    async () => {
      const found = await readOnly(worker, subjects);
      return found.length > 0 && found;
    },
    { what: 'the condition', timeoutMs: 30_000, everyMs: 100 },
  );

const isOver = (worker: Bystander, subjects: readonly string[]): Promise<unknown> =>
  waitFor(async () => (await readOnly(worker, subjects)).length === 0, {
    what: 'the condition to be over',
    timeoutMs: 30_000,
    everyMs: 100,
  });

const newestIncident = async ({ agent, workload }: Bystander): Promise<ApiIncident | undefined> =>
  (await lab.fleet.api.list<ApiIncident>('incidents', { host: agent.host, workload })).items[0];

/** What a container could write to is known once somebody has looked at it, which happens every second. */
async function hasRunFor(ms: number, worker: Bystander): Promise<void> {
  const { startedAt } = await worker.container();
  await waitFor(() => Date.now() - (startedAt ?? Date.now()) >= ms, { what: 'the container to have run for a while' });
}

const writes: WorkloadDocument = {
  process: { run: 'while echo step > /scratch/step; do sleep 0.2; done; echo it takes nothing; exit 1', stop_timeout: '1s' },
};

test('under a container, by hand: the mount point, who writes there and how to undo it; its process failed of that', async () => {
  const mountPoint = join(lab.directory, 'data');
  const data = await disk('by-hand', mountPoint);
  const worker = await Bystander.ready(lab, 'by-hand', image, { ...writes, container: { volumes: [`${mountPoint}:/scratch`] } });
  await hasRunFor(2_000, worker);
  const mark = await worker.mark();
  data.remount('ro');
  const said = await isSaid(worker, [mountPoint, data.device]);
  expect(said).toMatchObject([
    {
      subject: mountPoint,
      severity: 'critical',
      reason: expect.stringContaining('used by by-hand (/scratch in its container)') as string,
      advice: expect.stringContaining(`mount -o remount,rw ${mountPoint}`) as string,
    },
  ]);
  await worker.next(mark, 'process.exited');
  const incident = await waitFor(
    async () => {
      const newest = await newestIncident(worker);
      return newest?.code === 'read-only-filesystem' && newest;
    },
    { what: 'the incident with its cause' },
  );
  expect(incident).toMatchObject({ level: 'host', cause: expect.stringContaining(`${mountPoint} (/dev/${data.device}, ext4)`) as string });
  data.remount('rw');
  await isOver(worker, [mountPoint, data.device]);
  await worker.phase('ready');
  const isCleared = ({ data: { condition, subject, state } }: ApiEvent): boolean =>
    condition === 'read-only-filesystem' && subject === mountPoint && state === 'cleared';
  // Its status is there before the event is.
  await worker.next(mark, 'host.notice', isCleared);
  // Goodbye comes behind everything else that it has to say.
  await worker.agent.service.stop();
  const notices = (await worker.since(mark)).filter(({ data: { condition } }) => condition === 'read-only-filesystem');
  expect(notices.filter(({ data: { subject } }) => subject === mountPoint).map(({ data: { state } }) => state)).toEqual([
    'raised',
    'cleared',
  ]);
});

test('under the agent itself, whose disk has broken: what happens is told all the same, and after the repair it goes on', async () => {
  const stateDir = join(lab.directory, 'hosts', 'memory-less', 'state');
  const state = await disk('state', stateDir);
  const { device } = state;
  const worker = await Bystander.ready(lab, 'memory-less', image, { process: { run: 'exec sleep 100000', stop_timeout: '1s' } });
  onTestFinished(() => worker.agent.service.kill());
  const [before, mark] = [await worker.container(), await worker.mark()];
  state.breaks();
  expect(await isSaid(worker, [stateDir, device])).toMatchObject([
    { subject: device, reason: expect.stringContaining(`it is mounted at ${stateDir}`) as string },
  ]);
  signalProcess((await worker.container()).pid, 'SIGKILL');
  await worker.next(mark, 'container.died');
  const { reason } = await worker.phase('held');
  expect(reason).toMatch(/EROFS: read-only file system/);
  expect(await worker.next(mark, 'workload.held')).toMatchObject({ data: { code: 'read-only-filesystem' } });
  // Why it died is one thing, why it is not back another: both are told.
  const incident = await waitFor(() => newestIncident(worker), { what: 'the incident' });
  const both = [`read-only-filesystem ${device}`, 'EROFS: read-only file system'];
  await waitFor(
    async () => {
      const { stdout } = await lab.relight('incidents', incident.id);
      return both.every((words) => stdout.includes(words));
    },
    { what: `an incident with ${both.join(' and ')}`, timeoutMs: 20_000, everyMs: 300 },
  );

  await worker.agent.service.stop();
  await state.repair();
  await worker.agent.service.start();
  await worker.phase('ready');
  await worker.next(mark, 'workload.ready');
  await isOver(worker, [stateDir, device]);
  const events = await worker.since(mark);
  expect(events.filter(({ kind, data }) => kind === 'container.died' && data['containerId'] === before.id)).toHaveLength(1);
  await eventually(async () => expect(await worker.running()).toHaveLength(1), { what: 'one container' });
});

test('because the kernel found errors: one condition, with its words; over when the disk is taken out', async () => {
  const mountPoint = join(lab.directory, 'broken');
  mkdirSync(mountPoint);
  const disks = join(lab.directory, 'disks');
  mkdirSync(disks, { recursive: true });
  const broken = await LoopDisk.mount(join(disks, 'broken'), mountPoint);
  let mounted = true;
  onTestFinished(() => (mounted ? broken.unmount() : undefined));
  const worker = await Bystander.ready(lab, 'broken', image, { container: { volumes: [`${mountPoint}:/scratch`] } });
  const mark = await worker.mark();
  broken.breaks();
  await isSaid(worker, [mountPoint, broken.device]);
  await worker.exec('sh', '-c', '! touch /scratch/file');
  expect(await readOnly(worker, [mountPoint, broken.device])).toMatchObject([
    {
      subject: broken.device,
      reason: `the kernel says: EXT4-fs (${broken.device}): Remounting filesystem read-only; it is mounted at ${mountPoint}`,
    },
  ]);
  await worker.agent.service.stop();
  await lab.engine.remove((await worker.container()).id);
  mounted = false;
  await broken.takeOut();
  await worker.agent.service.start();
  await isOver(worker, [mountPoint, broken.device]);
  expect((await worker.since(mark)).filter(({ data }) => data['subject'] === mountPoint)).toEqual([]);
});

test('of somebody else: it is told, and explains nothing that happens to a container which has nothing there', async () => {
  const foreign = await disk('foreign', join(lab.directory, 'foreign'));
  const process = { run: 'until rm /tmp/end; do sleep 0.1; done 2> /dev/null; exit 3', stop_timeout: '1s' };
  const worker = await Bystander.ready(lab, 'elsewhere', image, { process });
  onTestFinished(() => worker.agent.service.stop());
  foreign.breaks();
  await isSaid(worker, [foreign.device]);
  const mark = await worker.mark();
  // Ends by itself: a disk could be why, were it one of its own.
  await worker.exec('touch', '/tmp/end');
  await worker.next(mark, 'workload.ready');
  // As long as it is open, something may still explain it.
  const incident = await waitFor(
    async () => {
      const newest = await newestIncident(worker);
      return newest !== undefined && newest.closedAt !== null && newest;
    },
    { what: 'the incident to be over' },
  );
  expect(incident).toMatchObject({ code: 'process-exited', cause: expect.stringContaining('exit code 3') as string });
});
