import { ManualClock } from '@relight/shared/manual-clock';
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { eventually, waitFor } from '../../../../test/support/wait.ts';
import { Systemd } from './systemd.ts';

let directory: string;
let clock: ManualClock;
let errors: string[];

/** A `systemd-notify` that writes down whom it was told to tell what. */
function start(env: NodeJS.ProcessEnv, script = 'line=$(printf "%s|" "$NOTIFY_SOCKET" "$@"); echo "$line" >> "$0.log"'): Systemd {
  const program = join(directory, 'systemd-notify');
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  env['PATH'] = `${directory}:/usr/bin:/bin`;
  return new Systemd({ env, clock, onError: (message) => errors.push(message) });
}

const told = (): string[] =>
  existsSync(join(directory, 'systemd-notify.log')) ? readFileSync(join(directory, 'systemd-notify.log'), 'utf8').trim().split('\n') : [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-systemd-'));
  clock = new ManualClock();
  errors = [];
});

describe('systemd', () => {
  test('is told ready, status and stopping, and the commands of the agent do not inherit its socket', async () => {
    const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: '/run/notify' };
    const systemd = start(env);
    expect(Object.keys(env)).toEqual(['PATH']);
    systemd.ready('2 workloads');
    await eventually(() => expect(told()).toEqual(['/run/notify|READY=1|STATUS=2 workloads|']), { what: 'ready to be told' });
    systemd.status('one\nREADY=1');
    await waitFor(() => told().length === 2, { what: 'the status to be told' });
    await systemd.stopping();
    expect(told().slice(1)).toEqual(['/run/notify|STATUS=one READY=1|', '/run/notify|STOPPING=1|']);
    expect(clock.pendingTimers).toBe(0);
  });

  test('feeds the watchdog three times per period, from ready to stopping', async () => {
    const systemd = start({ NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '30000000', WATCHDOG_PID: String(process.pid) });
    expect(clock.pendingTimers).toBe(0);
    systemd.ready('up');
    await waitFor(() => told().length === 1, { what: 'ready to be told' });
    for (let n = 2; n <= 4; n += 1) {
      await waitFor(
        () => {
          clock.advance(10_000);
          return told().length >= n;
        },
        { what: `word ${n}` },
      );
    }
    expect(told()[1]).toBe('/run/notify|WATCHDOG=1|');
    await systemd.stopping();
    expect(clock.pendingTimers).toBe(0);
  });

  test("leaves another process's watchdog alone", () => {
    start({ NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' }).ready('up');
    expect(clock.pendingTimers).toBe(0);
  });

  test('without systemd nothing is spawned', async () => {
    const systemd = start({});
    systemd.ready('up');
    await systemd.stopping();
    expect({ told: told(), errors }).toEqual({ told: [], errors: [] });
  });

  test('a failure is told once', async () => {
    const systemd = start({ NOTIFY_SOCKET: '/run/notify' }, 'exit 3');
    await systemd.stopping();
    await systemd.stopping();
    expect(errors).toEqual(['systemd-notify STOPPING=1: exit 3']);
  });
});
