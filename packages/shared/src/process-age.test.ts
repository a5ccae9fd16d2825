import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { processAgeMs } from './process-age.ts';

test('of a process as long as it says itself, of one that is gone nothing; its name may hold anything', () => {
  // A tick of the kernel, and what the clock of a process begins late.
  expect(Math.abs((processAgeMs(process.pid) ?? 0) - process.uptime() * 1_000)).toBeLessThan(1_000);
  const proc = mkdtempSync(join(tmpdir(), 'relight-proc-'));
  mkdirSync(join(proc, '7'));
  writeFileSync(join(proc, '7/stat'), `7 (a) b (c) S ${'0 '.repeat(18)}4200 0 0\n`);
  writeFileSync(join(proc, 'uptime'), '50.00 100.00\n');
  expect(processAgeMs(7, proc)).toBe(8_000);
  expect(processAgeMs(8, proc)).toBeNull();
});
