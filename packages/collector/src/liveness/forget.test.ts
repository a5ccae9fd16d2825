import { expect, it } from 'vitest';
import { readConfig } from '../config.ts';
import { forgottenBy, wasSet } from './forget.ts';

const { forget: rules } = readConfig({
  file: 'c.yaml',
  text: 'version: 1\nforget: [{label: "pool=spot", after: 1h}, {label: "pool", after: 30d}]',
});
const hour = 3_600_000;
const host = { state: 'dead', stateSince: 0, labels: { pool: 'spot' } } as const;

it.each([
  ['dead for as long as the rule says', host, hour, '1h'],
  ['stopped for as long', { ...host, state: 'stopped' }, hour, '1h'],
  ['not for as long', host, hour - 1, null],
  ['silent, which is not gone', { ...host, state: 'suspect' }, 10 * hour, null],
  ['rebooting', { ...host, state: 'rebooting' }, 10 * hour, null],
  ['expected', { ...host, state: 'expected' }, 10 * hour, null],
  ['not heard of since the collector was started', { ...host, state: 'unknown' }, 10 * hour, null],
  ['of another pool: the first rule that fits counts', { ...host, labels: { pool: 'v5e' } }, 10 * hour, null],
  ['of no pool', { ...host, labels: {} }, 10_000 * hour, null],
] as const)('%s', (_, subject, now, after) => {
  const rule = forgottenBy(subject, rules, now);
  expect(rule === null ? null : `${rule.afterMs / hour}h`).toBe(after);
});

it('waits until the clock has run evenly for as long as the rule says, whatever the clock makes of the time before', () => {
  const decided = (evenMs: number) => forgottenBy(host, rules, 100 * hour, evenMs)?.afterMs ?? null;
  expect([decided(0), decided(hour - 1), decided(hour)]).toEqual([null, null, hour]);
});

it.each([
  ['runs as the other one', 500, 500, false],
  ['is slewed', 530, 500, false],
  ['ran while this process stood still', 300_000, 300_000, false],
  ['is a minute off', 60_500, 500, false],
  ['is put forward', 60_501, 500, true],
  ['is put back', -60_001, 0, true],
  ['went on while the machine slept', 8 * hour, 500, true],
] as const)('the wall clock %s', (_, wall, mono, set) => {
  expect(wasSet({ wall: 7_000, mono: 90 }, { wall: 7_000 + wall, mono: 90 + mono })).toBe(set);
});

it('forgets nobody without a rule', () => {
  expect(forgottenBy(host, readConfig(null).forget, Number.MAX_SAFE_INTEGER)).toBeNull();
});
