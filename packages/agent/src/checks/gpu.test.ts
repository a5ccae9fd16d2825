import { systemClock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { describe, expect, test } from 'vitest';
import { nvidiaSmi } from '../../../../test/support/nvidia-smi.ts';
import type { Engine, ExecResult } from '../engine/engine.ts';
import { parseNvidiaXml } from '../host/accelerators/nvidia-xml.ts';
import { gpu } from './gpu.ts';
import type { ProbeContext } from './probe.ts';
import { RayNodeMemory } from './ray-node.ts';

const report = parseNvidiaXml(nvidiaSmi({ gpus: [{ uuid: 'GPU-0', pci: '00000000:01:00.0' }] }));
const says = (stdout: string, exitCode = 0): Promise<ExecResult> => Promise.resolve({ stdout, stderr: '', exitCode });
const lost = () => says('Failed to initialize NVML: Unknown Error\n', 255);

/** The command in the container is what a test decides about; the rest of the engine is not asked. */
async function ask(exec: () => Promise<ExecResult>, host: typeof report | string = report, automatic = false) {
  const context: ProbeContext = {
    engine: { exec } as unknown as Engine,
    clock: systemClock,
    containerId: 'f'.repeat(64),
    containerPid: 1,
    shell: null,
    vars: {},
    timeoutMs: 1_000,
    signal: new AbortController().signal,
    ray: new RayNodeMemory(systemClock),
    gpus: { report: () => Promise.resolve(host) },
  };
  const { durationMs: _, ...result } = await gpu({ kind: 'gpu', automatic }, context);
  return result;
}

describe('the GPUs of a container', () => {
  test('are there', async () => {
    expect(await ask(() => says('GPU 0: NVIDIA H100 (UUID: GPU-0)\nGPU 1: NVIDIA H100 (UUID: GPU-1)\n'))).toEqual({
      ok: true,
      message: '2 GPUs',
    });
  });

  test('are lost while the host’s work: a failure of that name', async () => {
    expect(await ask(lost)).toEqual({
      ok: false,
      message: "Failed to initialize NVML: Unknown Error (the host's nvidia-smi works)",
      code: 'gpu-lost',
    });
  });

  test('are lost because the host’s are: told only', async () => {
    expect(await ask(lost, 'the NVIDIA kernel module and libraries differ')).toMatchObject({ ok: false, reportOnly: true });
    expect((await ask(() => says('', 9))).reportOnly).toBe(true);
  });

  test('cannot be asked for: told, or no matter of a check that nobody wrote', async () => {
    const missing = () => Promise.reject(new RelightError('exec-failed', 'exec: "nvidia-smi": executable file not found in $PATH'));
    expect(await ask(missing)).toMatchObject({
      ok: false,
      reportOnly: true,
      message: expect.stringContaining('not in the container') as string,
    });
    expect(await ask(missing, report, true)).toMatchObject({ ok: true });
  });

  test('an engine that fails says nothing about them', async () => {
    expect(await ask(() => Promise.reject(new RelightError('engine-unreachable', 'gone')))).toMatchObject({ ok: false, unanswered: true });
  });

  test('a look that does not end is told; the next one is made when nothing of it is left', async () => {
    const late = () => Promise.reject(new RelightError('stage-timeout', 'nvidia-smi did not end within 1000 ms'));
    expect(await ask(late)).toMatchObject({ ok: false, reportOnly: true, message: 'nvidia-smi in the container did not end within 1.0 s' });
    expect(await ask(() => says('GPU 0: x\n'))).toMatchObject({ ok: true });
  });
});
