import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { fakeNvidiaSmi, nvidiaSmi } from '../../../../../test/support/nvidia-smi.ts';
import { parseConfig } from '../../config/load.ts';
import type { EngineInfo } from '../../engine/engine.ts';
import { checkAccelerators } from './accelerators.ts';

const card = (n: number) => ({ uuid: `GPU-${n}abc`, pci: `00000000:0${n}:00.0` });
const info = (runtimes: readonly string[]): EngineInfo => ({
  id: 'e',
  version: '27',
  apiVersion: '1.47',
  liveRestore: true,
  runtimes,
  cgroupVersion: '2',
  rootDirectory: '/',
});

async function checked(
  container: Record<string, unknown>,
  path: string,
  runtimes: readonly string[] = ['runc', 'nvidia'],
  host: Record<string, unknown> = {},
) {
  const text = stringify({ version: 1, host, workloads: [{ name: 'w', container: { image: 'b', ...container } }] });
  const spec = parseConfig(text, '/etc/a.yaml', { hostname: 'h' });
  const findings = await checkAccelerators(spec, { engine: { info: () => Promise.resolve(info(runtimes)) }, path, running: new Set() });
  return findings.map(({ level, what }) => `${level}: ${what}`);
}

describe('GPUs that are asked for', () => {
  const fake = fakeNvidiaSmi(mkdtempSync(join(tmpdir(), 'preflight-')));
  const path = `${fake.directory}:/usr/bin:/bin`;

  test('are nobody’s business where nobody asks', async () => {
    expect(await checked({}, path)).toEqual([]);
  });

  test('are there', async () => {
    fake.prints(nvidiaSmi({ driver: '550.90.07', gpus: [card(0), card(1)] }));
    expect(await checked({ gpus: 'all' }, path)).toEqual([
      'ok: 2 GPUs answer, driver 550.90.07',
      'ok: the engine can give GPUs to containers',
    ]);
    expect(await checked({ gpus: ['1', 'GPU-0a', 'MIG-5'] }, path)).toHaveLength(2);
  });

  test('are too many, or others', async () => {
    fake.prints(nvidiaSmi({ gpus: [card(0)] }));
    expect(await checked({ gpus: 4 }, path)).toContain('error: w: gpus asks for 4; this host has 1');
    expect(await checked({ gpus: ['1', 'GPU-9'] }, path)).toContain('error: w: gpus asks for 1, GPU-9; this host has 1');
    expect(await checked({}, path, ['runc'], { accelerators: { gpus: 8 } })).toContain('error: 1 GPUs answer, the configuration expects 8');
  });

  test('have no driver, or one that does not match', async () => {
    expect(await checked({ gpus: 'all' }, '/nowhere')).toContain('error: this host has no nvidia-smi, so no GPU can be used or watched');
    fake.says('echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18');
    expect((await checked({ runtime: 'nvidia' }, path)).join()).toContain('different versions');
  });

  test('cannot be given to a container without the toolkit', async () => {
    fake.prints(nvidiaSmi({ gpus: [card(0)] }));
    expect((await checked({ gpus: 'all' }, path, ['runc'])).join()).toContain('error: the engine cannot give GPUs to containers');
    const tools = mkdtempSync(join(tmpdir(), 'toolkit-'));
    mkdirSync(tools, { recursive: true });
    writeFileSync(join(tools, 'nvidia-container-runtime-hook'), '#!/bin/sh\n', { mode: 0o755 });
    expect(await checked({ gpus: 'all' }, `${path}:${tools}`, ['runc'])).toContain('ok: the engine can give GPUs to containers');
  });
});
