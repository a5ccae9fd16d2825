import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { waitFor } from '../../../../../test/support/wait.ts';
import { openForWriting } from '../database.ts';
import { migrate } from '../migrate.ts';
import { logDirectory } from './file-names.ts';
import type { MaintenanceData, MaintenanceRequest } from './maintenance-worker.ts';

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-maintenance-'));
  mkdirSync(logDirectory(dataDir));
  const db = openForWriting(dataDir);
  migrate(db, 1)();
  db.close();
});
afterEach(() => rmSync(dataDir, { recursive: true }));

/** Below it nobody has waited for a rest (1 s) to end, and above it a slow machine has. */
const atOnceMs = 600;

test('it goes on while it rests, and ends at once when it is told to', async () => {
  const tookMs: number[] = [];
  while (tookMs.length < 5 && !tookMs.some((ms) => ms < atOnceMs)) {
    const workerData: MaintenanceData = { role: 'relight-store-maintenance', dataDir };
    const worker = new Worker(new URL('./maintenance-worker.ts', import.meta.url), { workerData, execArgv: [] });
    const ended = once(worker, 'exit');
    const ask = (request: MaintenanceRequest): void => worker.postMessage(request, []);
    const idleMs = (): number => worker.performance.eventLoopUtilization().idle;
    // Twice: between them its loop has nothing but the rest and the port.
    for (const _ of ['first', 'again']) {
      const answer = once(worker, 'message');
      ask('seal');
      expect(await answer).toEqual(['sealed']);
      const before = idleMs();
      await waitFor(() => idleMs() > before, { what: 'it to rest' });
    }
    const began = performance.now();
    ask('close');
    expect(await ended).toEqual([0]);
    tookMs.push(performance.now() - began);
  }
  expect(Math.min(...tookMs)).toBeLessThan(atOnceMs);
});
