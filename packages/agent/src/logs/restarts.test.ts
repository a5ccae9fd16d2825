import { ManualClock } from '@relight/shared/manual-clock';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRunFiles, runRootOf } from '../stages/run-files.ts';
import { FollowingShipper } from './following-shipper.ts';

let stateDir = '';
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'relight-restarts-'));
});
afterEach(() => rmSync(stateDir, { recursive: true }));

interface Left {
  readonly files: number;
  /** Of inotify, through which a growing file wakes the agent. */
  readonly watches: number;
}

/** A process that writes one line and ends, every 10 s. */
function restart(times: number, delivering: boolean): Left {
  const clock = new ManualClock();
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined } as unknown as Logger;
  const shipper = new FollowingShipper({ directory: join(stateDir, 'logs'), clock, logger, delivering, rateLimit: () => null });
  for (let n = 1; n <= times; n += 1) {
    const files = createRunFiles(runRootOf(stateDir), { runId: `owner/w/1/${n}/process/`, kind: 'process', name: '' });
    shipper.follow({ key: files.segment, path: files.log, format: 'raw' });
    writeFileSync(files.log, 'one line\n');
    writeFileSync(files.status, '1');
    clock.advance(10_000);
    shipper.finish(files.segment);
  }
  const left = { files: readdirSync(runRootOf(stateDir), { recursive: true }).length, watches: inotifyWatches() - before };
  shipper.close();
  return left;
}

let before = 0;
beforeEach(() => {
  before = inotifyWatches();
});

/** Of this process, from /proc/self/fdinfo. */
function inotifyWatches(): number {
  const infos = readdirSync('/proc/self/fdinfo').map((fd) => {
    try {
      return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
    } catch {
      return ''; // the descriptor of this very listing
    }
  });
  return infos
    .join('')
    .split('\n')
    .filter((line) => line.startsWith('inotify wd:')).length;
}

test('without a collector, what restarts leave on the disk is bounded', () => {
  // Ten runs are kept, six more are within the grace of a minute, and one has just ended; each a log and a status.
  expect(restart(150, false).files).toBeLessThanOrEqual(2 + 2 * (10 + 6 + 2));
});

test('while the collector is away every log waits for it, but a run that is over is watched no more', () => {
  const { files, watches } = restart(50, true);
  expect(files).toBe(2 + 2 * 50);
  expect(watches).toBeLessThanOrEqual(1);
});
