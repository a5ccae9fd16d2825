import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { defaults } from '../../config/defaults.ts';
import { pauseFor, readHandsOff } from './hands-off.ts';
import { parseScheduled, saysGoingDown } from './pending-reboot.ts';
import { seeBoot, seeHandsOff, seePendingReboot, seeScheduledShutdown, type ReadingsOptions } from './readings.ts';

const now = Date.parse('2026-03-01T12:00:00Z');
const minute = 60_000;
let root: string;
let options: ReadingsOptions;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'relight-root-'));
  options = { spec: defaults.gate, guard: { file: join(root, 'hands-off'), maxAgeMs: 120 * minute }, root, procRoot: join(root, 'proc') };
});

function write(path: string, text: string, ageMs = 0): void {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  utimesSync(file, (now - ageMs) / 1_000, (now - ageMs) / 1_000);
}

describe('a pending reboot', () => {
  test('none', () => {
    expect(seePendingReboot(options, now)).toEqual({
      reading: { name: 'pending reboot', hold: 'settles', ok: true, message: 'none is asked for' },
    });
  });

  test('a young one is waited for and reported, with the packages that ask for it', () => {
    write('run/reboot-required', '*** System restart required ***\n', minute);
    write('run/reboot-required.pkgs', 'linux-image-6.8\nlinux-base\nlinux-base\nlibc6\ndbus\n');
    const seen = seePendingReboot(options, now);
    const reason = 'a reboot is required since 2026-03-01T11:59:00.000Z (linux-image-6.8, linux-base, libc6 …)';
    expect(seen.reading).toMatchObject({ ok: false, message: reason });
    expect(seen.condition).toMatchObject({ name: 'reboot-pending', severity: 'warning', reason });
  });

  test.each([
    ['older than the gate waits', 15 * minute, 'wait' as const],
    ['not to be waited for', minute, 'report' as const],
  ])('one that is %s is only reported', (_, ageMs, pendingReboot) => {
    write('var/run/reboot-required', '', ageMs);
    const seen = seePendingReboot({ ...options, spec: { ...defaults.gate, pendingReboot } }, now);
    expect(seen.reading).toMatchObject({ ok: true, message: expect.stringContaining('not waited for') });
    expect(seen.condition).toMatchObject({ name: 'reboot-pending', severity: 'warning' });
  });
});

describe('a scheduled shutdown', () => {
  const scheduled = (inMs: number, mode: string): void =>
    write('run/systemd/shutdown/scheduled', `USEC=${(now + inMs) * 1_000}\nWARN_WALL=1\nMODE=${mode}\nUID=0\n`);

  test.each([
    ['reboot', 'reboot-scheduled', 'a reboot is scheduled for 2026-03-01T12:10:00.000Z'],
    ['poweroff', 'shutdown-scheduled', 'a shutdown (poweroff) is scheduled for 2026-03-01T12:10:00.000Z'],
  ])('%s soon: waited for', (mode, name, reason) => {
    scheduled(10 * minute, mode);
    expect(seeScheduledShutdown(options, now)).toMatchObject({ reading: { ok: false, message: reason }, condition: { name, reason } });
  });

  test('one tomorrow holds nothing up, and one in the past is history', () => {
    scheduled(24 * 60 * minute, 'reboot');
    const tomorrow = seeScheduledShutdown(options, now);
    expect(tomorrow.reading).toMatchObject({ ok: true, message: expect.stringContaining('scheduled') });
    expect(tomorrow.condition).toBeUndefined();
    scheduled(-2 * minute, 'reboot');
    expect(seeScheduledShutdown(options, now).reading).toMatchObject({ ok: true, message: 'none' });
  });

  test('a rehearsal and a damaged file are nothing', () => {
    expect(parseScheduled('USEC=1\nMODE=dry-reboot\n')).toBeNull();
    expect(parseScheduled('MODE=reboot\n')).toBeNull();
    expect(parseScheduled('')).toBeNull();
  });

  test.each([
    ['System is booting up. Unprivileged users are not permitted to log in yet.', false],
    ['"The system is going down for reboot at Sun 2026-03-01 12:00:00 UTC!"', true],
    ['The system will power off now!', true],
    ['', false],
  ])('nologin: %s', (text, down) => {
    write('run/nologin', text);
    expect(saysGoingDown(root)).toBe(down);
  });
});

describe('the boot', () => {
  test('its id must stay', () => {
    write('proc/sys/kernel/random/boot_id', 'b-1\n');
    write('proc/uptime', '7325.10 1.0\n');
    expect(seeBoot(options, 'b-1')).toMatchObject({ bootId: 'b-1', reading: { ok: true, message: 'up for 2 h 02 m' } });
    expect(seeBoot(options, 'b-0')).toMatchObject({ bootId: 'b-1', reading: { ok: false, message: 'the boot id has changed' } });
  });
});

describe('hands off', () => {
  test('the text is the reason, and its age ends it', () => {
    expect(seeHandsOff(options, now)).toMatchObject({ handsOff: null, reading: { ok: true } });
    write('hands-off', 'Ana swaps\n a disk\n', 60 * minute);
    const message = 'hands off until 2026-03-01T13:00:00.000Z: Ana swaps a disk';
    expect(seeHandsOff(options, now)).toMatchObject({
      handsOff: { active: true },
      reading: { ok: false, hold: 'firm', message },
      condition: { name: 'hands-off', severity: 'info', reason: message },
    });
    expect(seeHandsOff(options, now + 60 * minute)).toMatchObject({
      handsOff: { active: false },
      reading: { ok: true },
      condition: { name: 'hands-off-expired', severity: 'warning' },
    });
  });

  test('an empty file, a directory and a link count as well, and the link is not followed', () => {
    write('hands-off', '');
    expect(readHandsOff(options.guard, now)).toMatchObject({ active: true, reason: 'no reason was given' });
    rmSync(options.guard.file);
    mkdirSync(options.guard.file);
    expect(readHandsOff(options.guard, Date.now())).toMatchObject({ active: true, reason: 'no reason was given' });
    rmSync(options.guard.file, { recursive: true });
    symlinkSync('/etc/shadow', options.guard.file);
    expect(readHandsOff(options.guard, Date.now())).toMatchObject({ active: true, reason: `${options.guard.file} cannot be read (ELOOP)` });
  });

  test('the pause that it makes follows the file; a pause by hand is left alone', () => {
    const handsOff = { reason: 'Ana', until: now + 1_000, active: true };
    const pause = pauseFor(handsOff, null, 500);
    expect(pause).toEqual({ type: 'pause', reason: 'hands off: Ana', until: now + 1_500 });
    const own = { reason: 'hands off: Ana', until: now + 1_500 };
    expect(pauseFor(handsOff, own, 520)).toBeNull();
    expect(pauseFor({ ...handsOff, until: now + 60_000 }, own, 500)).toMatchObject({ until: now + 60_500 });
    expect(pauseFor(null, own, 500)).toEqual({ type: 'resume' });
    const byHand = { reason: 'debugging', until: null };
    expect(pauseFor(handsOff, byHand, 500)).toBeNull();
    expect(pauseFor(null, byHand, 500)).toBeNull();
    expect(pauseFor(null, null, 500)).toBeNull();
  });
});
