/** FUSE mounts of the host behind volumes: what dies there stays dead in a container, until a new one is made. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiIncident } from '@relight/shared/api';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { Bystander, type WorkloadDocument } from '../support/bystander.ts';
import { HostFuse } from '../support/host-fuse.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { eventually, waitFor } from '../support/wait.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(() => lab?.dispose());

/** A busy machine answers within the timeout: what is well must not be found silent. */
const often: WorkloadDocument = { live: [{ volumes: {}, interval: '500ms', timeout: '2s' }] };

async function hostFuse(name: string, directory = join(lab.directory, 'fuse')): Promise<HostFuse> {
  const fuse = await HostFuse.mount(directory, name);
  onTestFinished(() => fuse.dispose());
  return fuse;
}

async function running(name: string, volume: unknown, document: WorkloadDocument): Promise<Bystander> {
  const process = { run: 'exec sleep 1000000', stop_timeout: '500ms' };
  const worker = await Bystander.ready(lab, name, inject('engineImage'), { process, ...document, container: { volumes: [volume] } });
  onTestFinished(() => worker.agent.service.stop());
  return worker;
}

const isVolumeCheck = ({ data }: { readonly data: Readonly<Record<string, unknown>> }): boolean => data['check'] === 'volumes';

const reasonSays = (worker: Bystander, words: string): Promise<unknown> =>
  waitFor(async () => (await worker.status()).reason.includes(words), { what: `"${words}"`, timeoutMs: 30_000, everyMs: 100 });

/** It has been mounted again on the host: a new container has it, without anybody's doing. */
async function isMadeAnew(worker: Bystander, mark: number, file: string): Promise<void> {
  await worker.next(mark, 'workload.ready');
  await worker.phase('ready');
  await eventually(async () => expect(await worker.status()).toMatchObject({ generation: 2, restarts: { process: 0, container: 1 } }), {
    what: 'the second generation',
  });
  expect(await worker.exec('cat', file)).toBe('content\n');
  expect(await worker.next(mark, 'restart.scheduled')).toMatchObject({ data: { code: 'volume-lost', level: 'container' } });
}

test('killed and mounted again, in a container that nobody has given a check: reported while it is dead on the host, then a new container', async () => {
  const fuse = await hostFuse('killed');
  const worker = await running('volume-killed', `${fuse.mountPoint}:/data2`, {});
  const [before, mark] = [await worker.container(), await worker.mark()];
  await fuse.kill();
  const failed = await worker.next(mark, 'check.failed', isVolumeCheck);
  expect(failed).toMatchObject({ data: { code: 'volume-lost' } });
  expect(failed.message).toContain(`/data2: Transport endpoint is not connected; on the host ${fuse.mountPoint} is no better`);
  await worker.phase('degraded');
  fuse.unmount();
  await reasonSays(worker, `no FUSE mount is at ${fuse.mountPoint} any more: mount it again there`);
  expect(await worker.container()).toMatchObject({ id: before.id, pid: before.pid });
  expect(await worker.kindsSince(mark)).not.toContain('restart.scheduled');
  await expect(worker.exec('cat', '/data2/file')).rejects.toThrow(/not connected/);

  await fuse.mountAgain();
  await isMadeAnew(worker, mark, '/data2/file');
  await eventually(
    async () => {
      const { items } = await lab.fleet.api.list<ApiIncident>('incidents', { host: worker.agent.host, workload: worker.workload });
      expect(items[0]).toMatchObject({ code: 'volume-lost', level: 'container', cause: expect.stringContaining('/data2') as string });
    },
    { what: 'the incident with its cause' },
  );
});

test('stopped, and another one mounted in its place: a new container when what is inside has been silent often enough', async () => {
  const fuse = await hostFuse('stopped');
  const worker = await running('volume-stopped', `${fuse.mountPoint}:/data2`, often);
  const mark = await worker.mark();
  fuse.stop();
  expect((await worker.next(mark, 'check.failed', isVolumeCheck)).message).toContain('no answer within 2.0 s');
  fuse.unmount();
  await fuse.mountAgain();
  await isMadeAnew(worker, mark, '/data2/file');
});

test('below a volume: found there as well', async () => {
  const directory = join(lab.directory, 'above');
  const fuse = await hostFuse('bucket', directory);
  const worker = await running('volume-above', `${directory}:/all`, often);
  const mark = await worker.mark();
  await fuse.kill();
  fuse.unmount();
  await fuse.mountAgain();
  await isMadeAnew(worker, mark, '/all/bucket/file');
  expect(await worker.running()).toHaveLength(1);
});

test('below a volume that follows the host (rslave): nothing is restarted', async () => {
  const directory = join(lab.directory, 'shared');
  mkdirSync(directory);
  execFileSync('mount', ['-t', 'tmpfs', 'relight-test', directory]);
  onTestFinished(() => void execFileSync('umount', ['-l', directory]));
  execFileSync('mount', ['--make-shared', directory]);
  const fuse = await hostFuse('bucket', directory);
  const volume = { type: 'bind', source: directory, target: '/all', bind: { propagation: 'rslave' } };
  const worker = await running('volume-rslave', volume, often);
  const [before, mark] = [await worker.container(), await worker.mark()];
  await fuse.kill();
  const failed = await worker.next(mark, 'check.failed', isVolumeCheck);
  fuse.unmount();
  await fuse.mountAgain();
  await worker.next(Number(failed.id), 'check.recovered', isVolumeCheck);
  await worker.phase('ready');
  expect(await worker.exec('cat', '/all/bucket/file')).toBe('content\n');
  expect(await worker.container()).toMatchObject({ id: before.id, pid: before.pid });
  expect(await worker.kindsSince(mark)).not.toContain('restart.scheduled');
  expect(await worker.status()).toMatchObject({ generation: 1, restarts: { process: 0, container: 0 } });
});

test('a spare that was prepared before has the dead one, too: it is refused, and one new container is enough', async () => {
  const fuse = await hostFuse('spare');
  const worker = await running('volume-spare', `${fuse.mountPoint}:/data2`, { ...often, spare: 'prepared' });
  await waitFor(async () => (await worker.control.status()).workloads[0]?.spare?.state === 'ready', {
    what: 'the spare to be ready',
    timeoutMs: 60_000,
    everyMs: 50,
  });
  const mark = await worker.mark();
  await fuse.kill();
  fuse.unmount();
  await fuse.mountAgain();
  const refused = await worker.next(mark, 'host.notice', ({ data }) => data['spare'] === 'refused');
  expect(refused.message).toContain('volume /data2: Transport endpoint is not connected');
  await worker.next(mark, 'workload.ready');
  expect(await worker.exec('cat', '/data2/file')).toBe('content\n');
  await eventually(async () => expect((await worker.status()).restarts).toMatchObject({ process: 0, container: 1 }), {
    what: 'one new container',
  });
});
