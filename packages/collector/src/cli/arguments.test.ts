import { expect, test } from 'vitest';
import { count, duration, grep, kinds, label, selectors, severityList, target, timeBefore } from './arguments.ts';

test('times: how long ago, ISO-8601, or a date', () => {
  const time = timeBefore(Date.parse('2026-01-31T12:00:00Z'));
  expect(time('10m')).toBe('2026-01-31T11:50:00.000Z');
  expect(time('1h30m')).toBe('2026-01-31T10:30:00.000Z');
  expect(time('2026-01-30T00:00:00+01:00')).toBe('2026-01-29T23:00:00.000Z');
  for (const wrong of ['', 'yesterday', '5', '10 m', '2026-13-01']) expect(() => time(wrong)).toThrow('Expected');
});

test('lists of kinds and severities say what was meant', () => {
  expect(kinds('container.died,workload.ready', ['host.dead'])).toEqual(['host.dead', 'container.died', 'workload.ready']);
  expect(() => kinds('container.dies')).toThrow('Did you mean container.died?');
  expect(() => severityList('warn')).toThrow('Allowed: info, warning, error, critical.');
});

test('targets, labels, selectors, numbers and durations', () => {
  expect(target('tpu-0')).toEqual({ host: 'tpu-0', workload: null });
  expect(target('tpu-0/ray')).toEqual({ host: 'tpu-0', workload: 'ray' });
  for (const wrong of ['', '/', 'a/', '/b', 'a/b/c']) expect(() => target(wrong)).toThrow('HOST/WORKLOAD');
  expect(label('pool=v5e', { zone: 'a' })).toEqual({ zone: 'a', pool: 'v5e' });
  expect(() => label('pool')).toThrow('KEY=VALUE');
  expect(selectors('zone!=b', 'pool=v5e')).toBe('pool=v5e,zone!=b');
  expect(() => selectors('a==b', undefined)).toThrow('selector');
  expect(count('0')).toBe(0);
  expect(() => count('-1')).toThrow('number');
  expect(duration('25m')).toBe('25m');
  for (const wrong of ['25', '0', '25min', '']) expect(() => duration(wrong)).toThrow('unit');
});

test('expressions are those that the collector takes', () => {
  expect(grep('(?i)error|warn')).toBe('(?i)error|warn');
  for (const wrong of ['(', 'a(?=b)', '*']) expect(() => grep(wrong)).toThrow('RE2 syntax');
  expect(() => grep('')).toThrow('expression');
});
