import { expect, it } from 'vitest';
import { readConfig } from '../config.ts';
import { forgottenBy } from './forget.ts';

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

it('forgets nobody without a rule', () => {
  expect(forgottenBy(host, readConfig(null).forget, Number.MAX_SAFE_INTEGER)).toBeNull();
});
