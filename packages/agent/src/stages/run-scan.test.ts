import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, expect, test } from 'vitest';
import { waitFor } from '../../../../test/support/wait.ts';
import { readRunIds } from './run-scan.ts';

const path = process.env['PATH'];
afterEach(() => {
  process.env['PATH'] = path;
});

/** Processes with these environments; null: reading it never ends. */
function processes(environments: Readonly<Record<number, string | null>>): string {
  const procRoot = mkdtempSync(join(tmpdir(), 'relight-scan-'));
  for (const [pid, environment] of Object.entries(environments)) {
    mkdirSync(join(procRoot, pid));
    const file = join(procRoot, pid, 'environ');
    if (environment === null) execFileSync('mkfifo', [file]);
    else writeFileSync(file, environment);
  }
  return procRoot;
}

/** A grep that does this first; `$0.go` and the like are files beside it. */
function grepThat(does: string): string {
  const bin = mkdtempSync(join(tmpdir(), 'relight-bin-'));
  const grep = execFileSync('sh', ['-c', 'command -v grep'], { encoding: 'utf8' }).trim();
  writeFileSync(join(bin, 'grep'), `#!/bin/sh\n${does}\nexec ${grep} "$@"\n`);
  chmodSync(join(bin, 'grep'), 0o755);
  process.env['PATH'] = `${bin}:${path}`;
  return join(bin, 'grep');
}

test('on a machine so busy that the asking begins only after seconds every run is known', async () => {
  const procRoot = processes({ 7: 'A=1\0RELIGHT_RUN=one\0', 8: 'A=1\0', 9: 'RELIGHT_RUN=two\0B=\0' });
  const grep = grepThat('while [ ! -e "$0.go" ]; do sleep 0.01; done');
  const clock = new ManualClock();
  const asked = readRunIds(procRoot, [7, 8, 9], clock);
  clock.advance(9_000);
  writeFileSync(`${grep}.go`, '');
  expect([...(await asked)]).toEqual([
    [7, 'one'],
    [9, 'two'],
  ]);
});

test('that nothing is known is not told as that there is none: the asking never began', async () => {
  grepThat('while [ ! -e "$0.go" ]; do sleep 0.01; done');
  const clock = new ManualClock();
  let failure: unknown;
  void readRunIds(processes({ 7: 'RELIGHT_RUN=one\0' }), [7], clock).catch((thrown: unknown) => (failure = thrown));
  await waitFor(
    () => {
      clock.advance(10_000);
      return failure;
    },
    { what: 'it to be given up' },
  );
  expect(String(failure)).toContain('grep has not begun within 10 s');
});

test('a process that never answers takes a moment, and hides no other', async () => {
  const procRoot = processes({ 7: 'RELIGHT_RUN=one\0', 8: null, 9: 'RELIGHT_RUN=two\0' });
  const grep = grepThat('echo "$*" > "$0.asked"');
  const clock = new ManualClock();
  let found: ReadonlyMap<number, string> | undefined;
  void readRunIds(procRoot, [7, 8, 9], clock).then((runIds) => (found = runIds));
  const asks8 = (): boolean => existsSync(`${grep}.asked`) && readFileSync(`${grep}.asked`, 'utf8').includes('/8/');
  const waits: number[] = [];
  await waitFor(
    () => {
      // It has begun, and time passes only where nothing can come.
      if (clock.pendingTimers === 2 && asks8()) {
        waits.push(clock.monotonic());
        clock.advance(waits.length === 1 ? 1_000 : 100);
      }
      return found;
    },
    { what: 'the answer' },
  );
  // All of them, and then each for itself.
  expect(waits).toEqual([0, 1_000]);
  expect([...(found ?? [])]).toEqual([
    [7, 'one'],
    [9, 'two'],
  ]);
});
