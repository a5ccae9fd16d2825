import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '@relight/shared/clock';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { patientClock } from '../../../../../test/support/patient-clock.ts';
import { waitFor } from '../../../../../test/support/wait.ts';
import type { ContainerFacts } from '../../engine/engine.ts';
import type { TpuRequest } from '../../stages/stage.ts';
import { formatRunId } from '../../supervisor/run-id.ts';
import type { ReportedCondition } from '../condition-diff.ts';
import { holdersOf } from './device-holders.ts';
import { listTpus } from './tpu-devices.ts';
import { Tpus } from './tpus.ts';

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** A process that has `path` open. */
async function holding(path: string, runId?: string): Promise<ChildProcess> {
  const env = { PATH: process.env['PATH'], ...(runId === undefined ? {} : { RELIGHT_RUN: runId }) };
  const child = spawn('sh', ['-c', 'exec 3<"$1"; echo open; exec sleep 1000', 'sh', path], { stdio: ['ignore', 'pipe', 'inherit'], env });
  children.push(child);
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await waitFor(() => said.includes('open'), { what: 'the process to have it open' });
  await waitFor(() => readFileSync(`/proc/${child.pid}/comm`, 'utf8') === 'sleep\n', { what: 'it to have its name' });
  return child;
}

/** /dev, /sys and /tmp of a host with TPUs of this PCI id. */
function host(more: { readonly accel?: number; readonly groups?: readonly string[]; readonly device?: string } = {}) {
  const root = mkdtempSync(join(tmpdir(), 'tpu-'));
  const roots = { dev: join(root, 'dev'), sys: join(root, 'sys'), tmp: join(root, 'tmp') };
  for (const directory of [roots.dev, roots.tmp, join(roots.dev, 'vfio')]) mkdirSync(directory, { recursive: true });
  for (let n = 0; n < (more.accel ?? 0); n += 1) writeFileSync(join(roots.dev, `accel${n}`), '');
  writeFileSync(join(roots.dev, 'vfio/vfio'), '');
  for (const group of more.groups ?? []) {
    writeFileSync(join(roots.dev, 'vfio', group), '');
    const pci = join(roots.sys, 'bus/pci/devices', `0000:00:0${group}.0`);
    mkdirSync(pci, { recursive: true });
    writeFileSync(join(pci, 'vendor'), '0x1ae0\n');
    writeFileSync(join(pci, 'device'), `${more.device ?? '0x0063'}\n`);
    symlinkSync(`../../../../kernel/iommu_groups/${group}`, join(pci, 'iommu_group'));
  }
  return roots;
}

describe('the TPUs of a host', () => {
  test('have their own device nodes', () => {
    expect(listTpus(host({ accel: 4 })).map(({ index, path, model }) => [index, path, model])).toEqual(
      [0, 1, 2, 3].map((n) => [n, `/dev/accel${n}`, 'TPU']),
    );
  });

  test('or IOMMU groups, in the order of their numbers, and only those of a TPU', () => {
    const roots = host({ groups: ['0', '1', '3'], device: '0x006f' });
    writeFileSync(join(roots.dev, 'vfio/7'), '');
    expect(listTpus(roots).map(({ path, model }) => [path, model])).toEqual([
      ['/dev/vfio/0', 'TPU v6e'],
      ['/dev/vfio/1', 'TPU v6e'],
      ['/dev/vfio/3', 'TPU v6e'],
    ]);
  });

  test('are none where there are none', () => {
    expect(listTpus(host())).toEqual([]);
    expect(listTpus({ dev: '/nowhere', sys: '/nowhere' })).toEqual([]);
  });
});

test('holders are found by what they have open, with the run that their environment names', async () => {
  const { dev } = host({ accel: 2 });
  const runId = formatRunId({ owner: 'o', workload: 'w', generation: 1, n: 1, kind: 'process', name: '' });
  const [plain, ours] = [await holding(join(dev, 'accel0')), await holding(join(dev, 'accel1'), runId)];
  await holding('/dev/null');
  const found = await holdersOf(new Set([join(dev, 'accel0'), join(dev, 'accel1')]), patientClock);
  expect(found.map(({ pid, devices, runId: run }) => [pid, devices, run])).toEqual(
    [
      [plain.pid, [join(dev, 'accel0')], null],
      [ours.pid, [join(dev, 'accel1')], runId],
    ].toSorted(([a], [b]) => Number(a) - Number(b)),
  );
  expect(found.every(({ name }) => name === 'sleep')).toBe(true);
});

describe('making a TPU free', () => {
  /** Time passes at once where only a driver is waited for. */
  const releaseMs = 4_500;
  const hasty: Clock = { ...patientClock, after: (ms, fn) => patientClock.after(ms === releaseMs ? 20 : ms, fn) };
  const removed: string[] = [];
  const request: TpuRequest = {
    workload: 'w',
    containerId: 'a'.repeat(64),
    generation: 2,
    nextRun: 9,
    afterBusy: false,
    removeInContainer: (path) => {
      removed.push(path);
      return Promise.resolve();
    },
  };
  const { signal } = new AbortController();
  const orphanRun = formatRunId({ owner: 'us', workload: 'w', generation: 1, n: 3, kind: 'process', name: '' });

  function tpus() {
    const roots = host({ accel: 1 });
    const conditions: (readonly ReportedCondition[])[] = [];
    const all = new Tpus({
      ...roots,
      clock: hasty,
      ownerId: 'us',
      ownerLabel: 'relight.agent',
      inspect: () => Promise.resolve(null),
      report: (list) => conditions.push(list),
    });
    removed.length = 0;
    return { roots, conditions, all, device: join(roots.dev, 'accel0'), lock: join(roots.tmp, 'libtpu_lockfile') };
  }

  test('kills an orphan of ours and nobody else, and keeps the lock file as long as somebody holds the device', async () => {
    const { all, device, lock } = tpus();
    writeFileSync(lock, '');
    const [orphan, foreign] = [await holding(device, orphanRun), await holding(device)];
    const { killed, foreign: others } = await all.free(request, signal);
    expect(killed).toEqual([`sleep (pid ${orphan.pid}) on the host, of workload w`]);
    expect(others).toEqual([`sleep (pid ${foreign.pid}) on the host`]);
    await waitFor(() => orphan.signalCode === 'SIGKILL', { what: 'the orphan to be gone' });
    expect(foreign.exitCode ?? foreign.signalCode).toBeNull();
    expect([existsSync(lock), removed]).toEqual([true, []]);
  });

  test('removes a lock file that nobody holds, on the host and in the container', async () => {
    const { all, device, lock } = tpus();
    writeFileSync(lock, '');
    await holding(device, orphanRun);
    await all.free(request, signal);
    expect([existsSync(lock), removed]).toEqual([false, ['/tmp/libtpu_lockfile']]);
  });

  test('leaves a lock file that somebody has open', async () => {
    const { all, lock } = tpus();
    writeFileSync(lock, '');
    const starting = await holding(lock);
    expect((await all.free({ ...request, afterBusy: true }, signal)).foreign).toEqual([`sleep (pid ${starting.pid}) on the host`]);
    expect([existsSync(lock), removed]).toEqual([true, []]);
  });

  test('touches nothing before a start with nobody in the way', async () => {
    const { all, lock } = tpus();
    writeFileSync(lock, '');
    expect(await all.free(request, signal)).toEqual({ killed: [], foreign: [] });
    expect([existsSync(lock), removed]).toEqual([true, []]);
  });

  test('fails, and kills nobody, when the engine cannot say what is dead', async () => {
    const { roots, device } = tpus();
    const orphan = await holding(device, orphanRun);
    // As if it were in a container of which only the engine knows whether it lives.
    const procRoot = join(roots.tmp, 'proc');
    const entry = join(procRoot, String(orphan.pid));
    mkdirSync(join(entry, 'fd'), { recursive: true });
    symlinkSync(device, join(entry, 'fd/3'));
    writeFileSync(join(entry, 'cgroup'), `0::/docker/${'b'.repeat(64)}\n`);
    for (const file of ['stat', 'environ']) writeFileSync(join(entry, file), readFileSync(`/proc/${orphan.pid}/${file}`));
    const inspect = vi.fn<(id: string) => Promise<ContainerFacts | null>>(() => Promise.reject(new Error('the engine does not answer')));
    const all = new Tpus({ ...roots, procRoot, clock: hasty, ownerId: 'us', ownerLabel: 'l', inspect, report: () => {} });
    await expect(all.free(request, signal)).rejects.toThrow('the engine does not answer');
    expect(inspect).toHaveBeenCalledWith('b'.repeat(64));
    expect(orphan.exitCode ?? orphan.signalCode).toBeNull();
  });

  test('a busy one is a condition with its holder until the workload works again', async () => {
    const { all, device, conditions } = tpus();
    const foreign = await holding(device);
    const { message } = await all.quarantine(request);
    expect(message).toBe(`the TPU is held by sleep (pid ${foreign.pid}) on the host`);
    expect(conditions.at(-1)).toMatchObject([{ name: 'tpu-busy', subject: 'w', severity: 'error', reason: message }]);
    expect(all.list()).toMatchObject([{ health: 'failed', reason: message, metrics: { holders: 1 } }]);
    all.release('w');
    expect(conditions.at(-1)).toEqual([]);
    expect(all.list()).toMatchObject([{ health: 'ok', reason: '', action: '' }]);
  });
});
