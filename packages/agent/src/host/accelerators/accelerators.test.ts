import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { fakeNvidiaSmi, nvidiaSmi } from '../../../../../test/support/nvidia-smi.ts';
import { waitFor } from '../../../../../test/support/wait.ts';
import { parseConfig } from '../../config/load.ts';
import type { SupervisorEvent } from '../../supervisor/event.ts';
import type { ReportedCondition } from '../condition-diff.ts';
import { parseXid } from '../kernel-log/xid.ts';
import { Accelerators, type WorkloadHandle } from './accelerators.ts';

const card = { uuid: 'GPU-0', pci: '00000000:3B:00.0' };
const mismatch = 'echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18';

const made: Accelerators[] = [];
afterEach(() => {
  for (const accelerators of made.splice(0)) accelerators.dispose();
});

function host() {
  const stateDir = mkdtempSync(join(tmpdir(), 'accelerators-'));
  const smi = fakeNvidiaSmi(join(stateDir, 'bin'));
  const workloads = [
    { name: 'train', container: { image: 'b', gpus: 'all' } },
    { name: 'web', container: { image: 'b' } },
  ];
  const spec = parseConfig(stringify({ version: 1, workloads }), '/etc/a.yaml', { hostname: 'h' });
  const clock = new ManualClock();
  const conditions = new Map<string, readonly ReportedCondition[]>();
  const sent: [workload: string, event: SupervisorEvent][] = [];
  const handles = new Map(
    spec.workloads.map(({ name, container }): [string, WorkloadHandle] => [
      name,
      { container, containerId: null, generation: 1, nextRun: 2, send: (event) => sent.push([name, event]) },
    ]),
  );
  const accelerators = new Accelerators({
    clock,
    spec,
    stateDir,
    bootId: 'boot',
    ownerId: 'owner',
    engine: { inspect: () => Promise.resolve(null) },
    path: `${smi.directory}:/usr/bin:/bin`,
    report: (source, list) => conditions.set(source, list),
    workloads: () => handles,
  });
  made.push(accelerators);
  const containerOf = (name: string) => handles.get(name)?.container ?? spec.workloads[0]?.container;
  const mayStart = async (name: string) => {
    const container = containerOf(name);
    if (container !== undefined) await accelerators.mayStart(container);
  };
  return { accelerators, clock, conditions, sent, smi, mayStart };
}

describe('a workload that uses GPUs', () => {
  test('is not started on a driver that does not match; one without GPUs is', async () => {
    const { mayStart, smi, conditions, accelerators } = host();
    smi.says(mismatch);
    await expect(mayStart('train')).rejects.toMatchObject({
      code: 'gpu-driver-mismatch',
      recoverable: false,
      advice: expect.stringContaining('Reboot') as string,
    });
    await mayStart('web');
    expect(conditions.get('gpu')?.map(({ name }) => name)).toEqual(['gpu-driver-mismatch']);
    expect(accelerators.tools).toBe('nvidia-smi, without a report');
  });

  test('goes on by itself when the driver is right again', async () => {
    const { accelerators, clock, sent, smi, mayStart } = host();
    smi.says(mismatch);
    await expect(mayStart('train')).rejects.toThrow('different versions');
    smi.prints(nvidiaSmi({ gpus: [card] }));
    clock.advance(30_000);
    await waitFor(() => sent.length > 0, { what: 'the workload to hear of it' });
    expect(sent).toEqual([['train', { type: 'inputs-changed', what: ['the GPUs of the host'], container: false }]]);
    await mayStart('train');
    expect(accelerators.list()).toMatchObject([{ kind: 'gpu', id: 'GPU-0', health: 'ok' }]);
    expect(accelerators.tools).toBe('nvidia-smi, driver 550.90.07, CUDA 12.4');
  });

  test('whose processes are asked for is not answered by a look that began before the question', async () => {
    const { accelerators, mayStart, smi } = host();
    const [asked, go] = [join(smi.directory, 'asked'), join(smi.directory, 'go')];
    smi.prints(nvidiaSmi({ gpus: [card] }));
    smi.says(`cp ${smi.directory}/nvidia-smi.xml ${asked}; while [ ! -e ${go} ]; do sleep 0.01; done; cat ${asked}`);
    const starting = mayStart('train');
    await waitFor(() => existsSync(asked), { what: 'the first look' });
    smi.prints(nvidiaSmi({ gpus: [{ ...card, processes: [{ pid: 4_711 }] }] }));
    const answer = accelerators.report();
    writeFileSync(go, '');
    expect(await answer).toMatchObject({ gpus: [{ processes: [{ pid: 4_711 }] }] });
    await starting;
  });

  test('may be started where the driver is asked anew because it was wrong a moment ago', async () => {
    const { smi, mayStart } = host();
    smi.says(mismatch);
    await expect(mayStart('train')).rejects.toThrow('different versions');
    smi.prints(nvidiaSmi({ gpus: [card] }));
    await mayStart('train');
  });

  test('hears of an Xid that concerns it, once and not from the past', async () => {
    const { accelerators, clock, sent, smi, mayStart } = host();
    smi.prints(nvidiaSmi({ gpus: [card] }));
    await mayStart('train');
    const line = (text: string) => {
      const fact = parseXid(`NVRM: Xid (PCI:0000:3b:00): ${text}`);
      if (fact === null) throw new Error('no Xid');
      return fact;
    };
    accelerators.xid(line('31, pid=0, Ch 8'), clock.now(), true);
    expect(sent).toEqual([]);
    accelerators.xid(line('31, pid=0, Ch 8'), clock.now(), false);
    expect(sent).toMatchObject([['train', { type: 'accelerator', code: 'gpu-xid', level: 'process', recoverable: true }]]);
    await mayStart('train');
    accelerators.xid(line('79, GPU has fallen off the bus.'), clock.now(), true);
    expect(sent).toHaveLength(1);
    await expect(mayStart('train')).rejects.toMatchObject({ code: 'gpu-failed' });
    expect(accelerators.list()).toMatchObject([{ health: 'failed', reason: expect.stringContaining('Xid 79') as string }]);
  });
});

test('a host without nvidia-smi and without TPUs has nothing to say', async () => {
  const { accelerators, mayStart, conditions } = host();
  expect(await accelerators.report()).toBe('this host has no nvidia-smi');
  await mayStart('train');
  expect([accelerators.list().filter(({ kind }) => kind === 'gpu'), conditions.get('gpu'), accelerators.tools]).toEqual([
    [],
    [],
    'no nvidia-smi on this host',
  ]);
});
