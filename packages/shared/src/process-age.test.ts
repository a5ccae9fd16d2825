import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { processAgeMs } from './process-age.ts';

/** Of the kernel, in which both times are rounded. */
const ticksMs = 30;

test('of a process as long as it says itself, of one that is gone nothing; its name may hold anything', () => {
  // How long it takes from the birth of a process to the beginning of its own clock, nobody knows on a busy machine.
  const ownMs = process.uptime() * 1_000;
  expect(processAgeMs(process.pid)).toBeGreaterThan(ownMs - ticksMs);
  const before = performance.now();
  const child = spawn('sleep', ['600']);
  onTestFinished(() => void child.kill('SIGKILL'));
  const ageMs = processAgeMs(child.pid ?? 0);
  expect(ageMs).toBeGreaterThanOrEqual(-ticksMs);
  expect(ageMs).toBeLessThan(performance.now() - before + ticksMs);
  const proc = mkdtempSync(join(tmpdir(), 'relight-proc-'));
  mkdirSync(join(proc, '7'));
  writeFileSync(join(proc, '7/stat'), `7 (a) b (c) S ${'0 '.repeat(18)}4200 0 0\n`);
  writeFileSync(join(proc, 'uptime'), '50.00 100.00\n');
  expect(processAgeMs(7, proc)).toBe(8_000);
  expect(processAgeMs(8, proc)).toBeNull();
});
