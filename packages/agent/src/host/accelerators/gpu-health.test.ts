import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nvidiaSmi, samples, type FakeGpu } from '../../../../../test/support/nvidia-smi.ts';
import { gpuHealth } from './gpu-health.ts';
import type { GpuContext, GpuLook } from './gpu-look.ts';
import { parseNvidiaXml } from './nvidia-xml.ts';
import { judge } from './smi.ts';
import { rememberXid, stillMatter, type KnownXid } from './xid.ts';

const quiet: GpuContext = { expected: null, known: [], throttled: new Map(), xids: [], needed: true };
const reportOf = (xml: string): GpuLook => ({ kind: 'report', report: parseNvidiaXml(xml), complaint: null });
const gpu = (n: number, more: Partial<FakeGpu> = {}): FakeGpu => ({ uuid: `GPU-${n}`, pci: `00000000:0${n}:00.0`, ...more });
const gpusOf = (...gpus: readonly FakeGpu[]) => parseNvidiaXml(nvidiaSmi({ layout: 'v13', gpus })).gpus;
const found = (look: GpuLook, context: Partial<GpuContext> = {}) =>
  gpuHealth(look, { ...quiet, ...context }).conditions.map(({ name, subject, severity }) => [name, subject, severity]);
const failing = (stdout: string, exitCode: number) => judge({ exitCode, signal: null, stdout, stderr: '', spawnError: null });

describe('a report', () => {
  test('of sound cards raises nothing and holds nothing', () => {
    const { accelerators, conditions, block } = gpuHealth(reportOf(nvidiaSmi({ gpus: [gpu(0), gpu(1)] })), quiet);
    expect({ conditions, block }).toEqual({ conditions: [], block: null });
    expect(accelerators.map(({ kind, index, id, health, reason, action }) => [kind, index, id, health, reason, action])).toEqual([
      ['gpu', 0, 'GPU-0', 'ok', '', ''],
      ['gpu', 1, 'GPU-1', 'ok', '', ''],
    ]);
    expect(accelerators[0]?.metrics).toMatchObject({ temperatureCelsius: 31, utilisation: 0, processes: 0 });
  });

  test('fewer cards than the configuration expects', () => {
    const look = reportOf(nvidiaSmi({ gpus: [gpu(0)] }));
    expect(found(look, { expected: 2 })).toEqual([['gpu-missing', '', 'error']]);
    expect(gpuHealth(look, { ...quiet, expected: 2 }).conditions[0]?.reason).toBe('1 GPUs answer, the configuration expects 2');
    expect(found(look, { expected: 1, known: gpusOf(gpu(0), gpu(1)) })).toEqual([]);
  });

  test('a card that was there since the boot is missing by name, and the others are as they are', () => {
    const { accelerators, conditions } = gpuHealth(reportOf(nvidiaSmi({ gpus: [gpu(0)] })), { ...quiet, known: gpusOf(gpu(0), gpu(1)) });
    expect(conditions.map(({ name, subject }) => [name, subject])).toEqual([
      ['gpu-missing', ''],
      ['gpu-missing', 'GPU-1'],
    ]);
    expect(accelerators.map(({ id, health }) => [id, health])).toEqual([
      ['GPU-0', 'ok'],
      ['GPU-1', 'failed'],
    ]);
  });

  test('the driver counts more than it describes', () => {
    expect(found(reportOf(nvidiaSmi({ gpus: [gpu(0)], attached: 8 })))).toEqual([['gpu-missing', '', 'error']]);
  });

  test('errors of the memory, and what the driver asks for', () => {
    expect(found(reportOf(samples.h100Driver590))).toEqual([
      ['gpu-reset-needed', 'GPU-0d1e2f30-0000-4000-8000-000000005901', 'error'],
      ['gpu-ecc', 'GPU-0d1e2f30-0000-4000-8000-000000005901', 'error'],
      ['gpu-remap-pending', 'GPU-0d1e2f30-0000-4000-8000-000000005901', 'warning'],
      ['gpu-ecc', 'GPU-0d1e2f30-0000-4000-8000-000000005901', 'warning'],
    ]);
    const { block, accelerators } = gpuHealth(reportOf(samples.h100Driver590), quiet);
    expect(block).toMatchObject({ code: 'gpu-failed', message: 'GPU 1 must be reset' });
    expect(accelerators[1]).toMatchObject({ health: 'failed', metrics: { eccUncorrectable: 4, eccUncorrectableLifetime: 5 } });
  });

  test('a row that could not be remapped: replace the host, but what runs may run', () => {
    const remapped = '<remapped_row_pending>No</remapped_row_pending><remapped_row_failure>Yes</remapped_row_failure>';
    const { conditions, block } = gpuHealth(reportOf(nvidiaSmi({ gpus: [gpu(0, { remapped })] })), quiet);
    expect(conditions).toMatchObject([
      { name: 'gpu-remap-failed', severity: 'error', advice: 'Replace the host; the card is to be returned.' },
    ]);
    expect(block).toBeNull();
  });

  test('a slow-down counts when it lasts', () => {
    const look = reportOf(samples.t4Driver515);
    const uuid = 'GPU-0d1e2f30-0000-4000-8000-00000000001e';
    expect(found(look, { throttled: new Map([[uuid, 2]]) }).map(([name]) => name)).toEqual(['gpu-remap-pending']);
    expect(found(look, { throttled: new Map([[uuid, 3]]) }).map(([name]) => name)).toEqual(['gpu-remap-pending', 'gpu-throttled']);
  });

  test('cut off in the middle: nobody is missed', () => {
    const whole = nvidiaSmi({ gpus: [gpu(0), gpu(1)] });
    expect(found(reportOf(whole.slice(0, whole.length - 200)), { known: gpusOf(gpu(0), gpu(1)) }).map(([name]) => name)).toEqual([
      'gpu-probe-failed',
    ]);
  });
});

describe('no report', () => {
  const known = gpusOf(gpu(0), gpu(1));

  test('a driver that does not match its libraries holds what uses GPUs, and every card says why', () => {
    const look = failing('Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.90\n', 18);
    const { accelerators, conditions, block } = gpuHealth(look, { ...quiet, known });
    expect(conditions).toMatchObject([{ name: 'gpu-driver-mismatch', subject: '', severity: 'error' }]);
    expect(block?.code).toBe('gpu-driver-mismatch');
    expect(accelerators.map(({ health, action }) => [health, action.startsWith('Reboot the host')])).toEqual([
      ['failed', true],
      ['failed', true],
    ]);
  });

  test('a lost card is named by its address', () => {
    const look = failing(
      'Unable to determine the device handle for GPU 0000:01:00.0: GPU is lost.  Reboot the system to recover this GPU\n',
      15,
    );
    const { accelerators, conditions, block } = gpuHealth(look, { ...quiet, known });
    expect(conditions).toMatchObject([{ name: 'gpu-lost', subject: 'GPU-1', reason: 'GPU 1 is lost' }]);
    expect(accelerators.map(({ health }) => health)).toEqual(['ok', 'failed']);
    expect(block?.code).toBe('gpu-failed');
  });

  test('a lost card beside the report of the others', () => {
    const look = judge({
      exitCode: 15,
      signal: null,
      stdout: nvidiaSmi({ gpus: [gpu(0)], attached: 2 }),
      stderr: 'Unable to determine the device handle for GPU1: 0000:01:00.0: Unknown Error\n',
      spawnError: null,
    });
    expect(found(look, { known }).map(([name, subject]) => `${name} ${subject}`)).toEqual([
      'gpu-lost GPU-1',
      'gpu-missing ',
      'gpu-missing GPU-1',
    ]);
  });

  test('a probe that cannot be killed', () => {
    const { conditions, block } = gpuHealth({ kind: 'stuck' }, { ...quiet, known });
    expect(conditions).toMatchObject([
      { name: 'gpu-probe-stuck', reason: 'nvidia-smi does not end: the driver hangs', advice: 'Reboot the host.' },
    ]);
    expect(block?.code).toBe('gpu-failed');
  });

  test('tools without a card, where nobody wants one, are no trouble', () => {
    const look = failing("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", 9);
    expect(found(look, { needed: false })).toEqual([]);
    expect(found(look, { needed: true })).toEqual([['gpu-probe-failed', '', 'error']]);
    expect(found(failing('No devices were found\n', 6), { needed: false })).toEqual([]);
  });

  test('anything else is told in its own words', () => {
    expect(gpuHealth(failing('Segmentation fault', 139), quiet).conditions[0]?.reason).toBe('nvidia-smi fails: Segmentation fault');
    expect(failing('', 3)).toMatchObject({ kind: 'fault', fault: 'other', message: 'exit code 3' });
  });
});

describe('Xids', () => {
  const xid: KnownXid = { code: 119, address: '0000:01:00.0', at: 1_000, reason: 'GSP RPC timeout', advice: 'Reset the GPU.', held: true };

  test('are told with their card, and hold what uses GPUs', () => {
    const { accelerators, conditions, block } = gpuHealth(reportOf(nvidiaSmi({ gpus: [gpu(0), gpu(1)] })), { ...quiet, xids: [xid] });
    expect(conditions).toEqual([]);
    expect(accelerators.map(({ health, reason }) => [health, reason])).toEqual([
      ['ok', ''],
      ['failed', 'GPU 1: Xid 119, GSP RPC timeout'],
    ]);
    expect(block).toMatchObject({ code: 'gpu-failed', advice: 'Reset the GPU.' });
  });

  test('a new driver that asks for nothing any more ends them; an old one is believed after an hour of good reports', () => {
    const [newer, older] = [nvidiaSmi({ layout: 'v13', gpus: [gpu(1)] }), nvidiaSmi({ layout: 'v12', gpus: [gpu(1)] })].map(parseNvidiaXml);
    if (newer === undefined || older === undefined) throw new Error('no reports');
    expect(stillMatter([xid], newer, 60_000)).toEqual([xid]);
    expect(stillMatter([xid], newer, 61_000)).toEqual([]);
    expect(stillMatter([xid], older, 61_000)).toEqual([xid]);
    expect(stillMatter([xid], older, 3_601_000)).toEqual([]);
    const resetting = parseNvidiaXml(nvidiaSmi({ layout: 'v13', gpus: [gpu(1, { recovery: 'Reset' })] }));
    expect(stillMatter([xid], resetting, 10 ** 9)).toEqual([xid]);
    expect(stillMatter([xid], parseNvidiaXml(nvidiaSmi({ gpus: [gpu(0)] })), 10 ** 9)).toEqual([xid]);
  });

  test('one a card and code is kept, the newest', () => {
    const again = { ...xid, at: 2_000 };
    expect(rememberXid([xid], again)).toEqual([again]);
    const flood = Array.from({ length: 100 }, (_, code) => ({ ...xid, code })).reduce(rememberXid, [] as readonly KnownXid[]);
    expect(flood).toHaveLength(32);
  });
});

test('whatever nvidia-smi does, there is an answer, and every trouble says what to do', () => {
  const output = fc.oneof(
    fc.string(),
    fc.constantFrom(...Object.values(samples)),
    fc.constantFrom('GPU is lost', 'ERR!', 'No devices were found'),
  );
  fc.assert(
    fc.property(output, fc.option(fc.nat(255)), fc.boolean(), fc.option(fc.nat(16)), (stdout, exitCode, needed, expected) => {
      const look = judge({ exitCode, signal: exitCode === null ? 'SIGSEGV' : null, stdout, stderr: '', spawnError: null });
      const { accelerators, conditions } = gpuHealth(look, { ...quiet, needed, expected });
      for (const { reason, advice } of conditions) expect([reason, advice]).not.toContain('');
      for (const { health, reason } of accelerators) expect(health === 'ok').toBe(reason === '');
    }),
  );
});
