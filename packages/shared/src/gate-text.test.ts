import { expect, test } from 'vitest';
import { gateText } from './gate-text.ts';
import type { HostGateStatus } from './status.ts';

const now = 1_000_000;
const gate: HostGateStatus = {
  state: 'waiting',
  since: now - 12_000,
  reason: "the host's gate: apt-get (pid 812) holds the lock",
  deadlineAt: now + 888_000,
  conditions: [
    { name: 'boot', ok: true, message: 'up for 3 h' },
    { name: 'package manager', ok: false, message: 'apt-get (pid 812) holds the lock' },
    { name: 'pending reboot', ok: false, message: 'a reboot is required', waived: true },
  ],
};

test('while it waits: for how long, how much longer at most, and how each condition is', () => {
  expect(gateText(gate, now)).toEqual([
    ['gate', "waiting for 12.0 s, at most 14 m 48 s more: the host's gate: apt-get (pid 812) holds the lock"],
    ['  boot', 'ok: up for 3 h'],
    ['  package manager', 'WAITS: apt-get (pid 812) holds the lock'],
    ['  pending reboot', 'waived: a reboot is required'],
  ]);
  expect(gateText({ ...gate, deadlineAt: null }, now)[0]?.[1]).toMatch(/^waiting for 12\.0 s: /);
});

test('while it is open: one row, with what it no longer waits for', () => {
  expect(gateText({ ...gate, state: 'open', conditions: [] }, now)).toEqual([['gate', 'open for 12.0 s']]);
  expect(gateText({ ...gate, state: 'open' }, now)).toEqual([['gate', 'open for 12.0 s, although a reboot is required']]);
});
