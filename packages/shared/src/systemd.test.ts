import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../../../test/support/wait.ts';
import { ManualClock } from './manual-clock.ts';
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

/** Whole lines: the file is there before the first of them. */
const told = (): string[] =>
  existsSync(join(directory, 'systemd-notify.log'))
    ? readFileSync(join(directory, 'systemd-notify.log'), 'utf8').split('\n').slice(0, -1)
    : [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-systemd-'));
  clock = new ManualClock();
  errors = [];
});

describe('systemd', () => {
  test('is told ready, status and stopping, and the commands of the service do not inherit its socket', async () => {
    const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: '/run/notify' };
    const systemd = start(env);
    expect(Object.keys(env)).toEqual(['PATH']);
    systemd.ready('2 workloads');
    await eventually(() => expect(told()).toEqual(['/run/notify|READY=1|STATUS=2 workloads|']), { what: 'ready to be told' });
    systemd.status('one\nREADY=1');
    clock.advance(1_000);
    await eventually(() => expect(told()).toHaveLength(2), { what: 'what systemd is told' });
    await systemd.stopping();
    expect(told().slice(1)).toEqual(['/run/notify|STATUS=one READY=1|', '/run/notify|STOPPING=1|']);
    expect(clock.pendingTimers).toBe(0);
  });

  test('of many changes in a second only the last status is told, and one that is no change not at all', async () => {
    const systemd = start({ NOTIFY_SOCKET: '/run/notify' });
    systemd.ready('up');
    systemd.status('up');
    expect(clock.pendingTimers).toBe(0);
    for (const status of ['pulling', 'creating', 'ready']) systemd.status(status);
    clock.advance(1_000);
    await eventually(() => expect(told()).toEqual(['/run/notify|READY=1|STATUS=up|', '/run/notify|STATUS=ready|']), {
      what: 'what systemd is told',
    });
    expect(clock.pendingTimers).toBe(0);
  });

  test('a longer period for the start is not overtaken by the one that was told before, however long that takes', async () => {
    // The first one ends when it may, and writes down only then what it was given.
    const script = 'case "$1" in READY=1) while [ ! -e "$0.go" ]; do sleep 0.01; done;; esac; echo "$*" >> "$0.log"';
    const systemd = start({ NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '60000000' }, script);
    systemd.ready('waits');
    const started = systemd.starting(120_000);
    // Whoever is told at the same time has written it down by then.
    for (let others = 0; others < 3; others += 1) execFileSync('sh', ['-c', ':']);
    await new Promise(setImmediate);
    writeFileSync(join(directory, 'systemd-notify.go'), '');
    await started;
    expect(told()).toEqual(['READY=1 STATUS=waits WATCHDOG_USEC=60000000', 'WATCHDOG=1 WATCHDOG_USEC=120000000']);
  });

  test('the watchdog is fed by progress alone, four times per period at most, and not before ready', async () => {
    const systemd = start({ NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '40000000', WATCHDOG_PID: String(process.pid) });
    systemd.progress();
    systemd.ready('up');
    await eventually(() => expect(told()).toHaveLength(1), { what: 'what systemd is told' });
    // Time alone feeds nothing.
    clock.advance(39_000);
    expect(clock.pendingTimers).toBe(0);
    systemd.progress();
    await eventually(() => expect(told().at(-1)).toBe('/run/notify|WATCHDOG=1|'), { what: 'what systemd is told' });
    for (const so of [3, 4]) {
      for (let second = 0; second < 10; second += 1) {
        clock.advance(1_000);
        systemd.progress();
      }
      await eventually(() => expect(told()).toHaveLength(so), { what: 'what systemd is told' });
    }
    await systemd.stopping();
    clock.advance(20_000);
    systemd.progress();
    await systemd.stopping();
    expect(told().slice(1)).toEqual([
      ...Array.from({ length: 3 }, () => '/run/notify|WATCHDOG=1|'),
      ...Array.from({ length: 2 }, () => '/run/notify|STOPPING=1|'),
    ]);
  });

  test("leaves another process's watchdog alone", async () => {
    const systemd = start({ NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' });
    systemd.ready('up');
    await eventually(() => expect(told()).toHaveLength(1), { what: 'what systemd is told' });
    clock.advance(30_000);
    systemd.progress();
    await systemd.stopping();
    expect(told()).toEqual(['/run/notify|READY=1|STATUS=up|', '/run/notify|STOPPING=1|']);
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

  test('a process that cannot even be tried is told as well, and ends nothing', async () => {
    // Thrown by Node, as ENOMEM is, and not emitted.
    const systemd = start({ NOTIFY_SOCKET: '/run/notify\0' });
    systemd.ready('up');
    await systemd.stopping();
    expect(errors).toEqual([expect.stringMatching(/^systemd-notify READY=1: .*null byte/)]);
  });
});
