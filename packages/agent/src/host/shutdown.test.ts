import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@relight/shared/clock';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, describe, expect, test } from 'vitest';
import { judgeShutdown, machineGoesDown, type ShutdownFacts } from './shutdown.ts';

const quiet: ShutdownFacts = { jobs: '', scheduled: null, goingDown: false, wallNow: 1_000_000 };
const minute = 60_000;

/** As systemd 252 prints it while `systemctl reboot` stops the services. */
const jobsOf = (target: string): string => `  2181 ${target}.target                 start waiting
  2204 relight-agent.service          stop  running
  2182 systemd-${target}.service      start waiting
  2189 shutdown.target                start waiting
  2190 umount.target                  start waiting
`;

describe('whether the machine goes down', () => {
  test.each([
    ['reboot', 'reboot'],
    ['kexec', 'reboot'],
    ['soft-reboot', 'reboot'],
    ['poweroff', 'poweroff'],
    ['halt', 'poweroff'],
  ] as const)('systemd is on its way to %s.target: %s', (target, expected) => {
    expect(judgeShutdown({ ...quiet, jobs: jobsOf(target) })).toBe(expected);
  });

  test('systemctl stop of the agent alone is no shutdown', () => {
    expect(judgeShutdown({ ...quiet, jobs: '  77 relight-agent.service stop running\n' })).toBe('no');
    expect(judgeShutdown({ ...quiet, jobs: 'No jobs running.\n' })).toBe('no');
    // A unit of a similar name, or one that is being stopped.
    expect(judgeShutdown({ ...quiet, jobs: '  77 my-reboot.target start waiting\n  78 reboot.target stop waiting\n' })).toBe('no');
  });

  test('shutdown.target alone', () => {
    expect(judgeShutdown({ ...quiet, jobs: '  2189 shutdown.target start waiting\n' })).toBe('reboot');
  });

  test.each([
    ['a reboot in two minutes', 2, 'reboot', 'reboot'],
    ['a poweroff in two minutes', 2, 'poweroff', 'poweroff'],
    ['a reboot in an hour', 60, 'reboot', 'no'],
  ] as const)('scheduled: %s', (_, minutes, mode, expected) => {
    expect(judgeShutdown({ ...quiet, scheduled: { at: quiet.wallNow + minutes * minute, mode } })).toBe(expected);
  });

  test('without an answer of systemd the words in nologin count', () => {
    expect(judgeShutdown({ ...quiet, jobs: null, goingDown: true })).toBe('reboot');
    expect(judgeShutdown({ ...quiet, jobs: null })).toBe('no');
    expect(judgeShutdown({ ...quiet, goingDown: true })).toBe('no');
  });
});

describe('asked of a machine', () => {
  const path = process.env['PATH'];
  afterEach(() => {
    process.env['PATH'] = path;
  });

  /** A machine with systemd whose systemctl is this script. */
  function machine(systemctl: string): string {
    const root = mkdtempSync(join(tmpdir(), 'relight-root-'));
    mkdirSync(join(root, 'run/systemd/system'), { recursive: true });
    mkdirSync(join(root, 'bin'));
    writeFileSync(join(root, 'bin/systemctl'), `#!/bin/sh\n${systemctl}\n`);
    chmodSync(join(root, 'bin/systemctl'), 0o755);
    process.env['PATH'] = `${join(root, 'bin')}:${path}`;
    return root;
  }

  test('the jobs of systemd', async () => {
    const root = machine(`[ "$1" = list-jobs ] && cat <<'END'\n${jobsOf('poweroff')}END`);
    expect(await machineGoesDown({ clock: new ManualClock(), root })).toBe('poweroff');
  });

  test('one that is slow, as on a machine where everything stops at once, is waited for: a reboot is not called a stop', async () => {
    const root = machine(`while [ ! -e "$0.go" ]; do sleep 0.01; done; cat <<'END'\n${jobsOf('reboot')}END`);
    const clock = new ManualClock();
    const asked = machineGoesDown({ clock, root });
    clock.advance(7_000);
    writeFileSync(join(root, 'bin/systemctl.go'), '');
    expect(await asked).toBe('reboot');
  });

  test('one that hangs is not waited for, and the files decide', async () => {
    const root = machine('exec sleep 60');
    writeFileSync(join(root, 'run/nologin'), 'The system is going down for reboot NOW!');
    const clock = new ManualClock();
    const asked = machineGoesDown({ clock, root });
    clock.advance(10_000);
    expect(await asked).toBe('reboot');
  });

  test('without systemd, and nothing said', async () => {
    expect(await machineGoesDown({ clock: systemClock, root: mkdtempSync(join(tmpdir(), 'relight-root-')) })).toBe('no');
  });
});
