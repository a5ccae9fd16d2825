import type { HostCondition, HostGateStatus } from '@relight/shared/status';
import { expect, test } from 'vitest';
import { announcedDeparture } from './announced.ts';

const condition = (name: string): HostCondition => ({ name, subject: '', severity: 'info', since: 1, reason: 'so it said', advice: '' });
const gate = (ok: boolean, waived?: boolean): HostGateStatus => ({
  state: ok ? 'open' : 'waiting',
  since: 1,
  reason: '',
  deadlineAt: null,
  conditions: [
    { name: 'boot', ok: true, message: 'up' },
    { name: 'pending reboot', ok, message: 'a reboot is required', ...(waived === undefined ? {} : { waived }) },
  ],
});

test.each([
  ['preemption', 'stopped', 'preemption was announced: so it said'],
  ['maintenance', 'rebooting', 'maintenance was announced: so it said'],
  ['reboot-scheduled', 'rebooting', 'a reboot was scheduled: so it said'],
  ['shutdown-scheduled', 'stopped', 'a shutdown was scheduled: so it said'],
])('%s: silence means %s', (name, state, reason) => {
  expect(announcedDeparture({ conditions: [condition('disk-low'), condition(name)] })).toEqual({ state, reason });
});

test('a gate that waits for a reboot announces it; one that has given up waiting does not', () => {
  expect(announcedDeparture({ gate: gate(false) })).toEqual({ state: 'rebooting', reason: 'it waited for a reboot: a reboot is required' });
  expect(announcedDeparture({ gate: gate(false, true) })).toBeNull();
  expect(announcedDeparture({ gate: gate(true) })).toBeNull();
});

test('a flag that has stood there for days announces nothing, nor does anything else', () => {
  expect(announcedDeparture({ conditions: [condition('reboot-pending'), condition('disk-low')], gate: null })).toBeNull();
  expect(announcedDeparture({})).toBeNull();
});
