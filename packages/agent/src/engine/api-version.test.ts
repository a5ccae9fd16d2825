import { expect, it } from 'vitest';
import { negotiateApiVersion, takesSeveralNetworks } from './api-version.ts';

it.each([
  ['20.10', '1.41', '1.12', '1.41'],
  ['25', '1.44', '1.24', '1.44'],
  ['28', '1.51', '1.24', '1.47'],
  ['29', '1.52', '1.44', '1.47'],
  ['one that dropped what was tested', '1.60', '1.50', '1.50'],
  ['one with a two-digit minor below the floor of strings', '1.100', '1.41', '1.47'],
])('engine %s: newest %s, oldest %s → %s', (_, newest, oldest, spoken) => {
  expect(negotiateApiVersion({ newest, oldest })).toBe(spoken);
});

it('refuses an engine before 20.10', () => {
  expect(() => negotiateApiVersion({ newest: '1.40', oldest: '1.12' })).toThrow(/API 1\.40, at least 1\.41/);
});

it('refuses what is no engine', () => {
  const { ApiVersion } = JSON.parse('{}') as { ApiVersion: string };
  expect(() => negotiateApiVersion({ newest: ApiVersion, oldest: '1.12' })).toThrow(/no container engine/);
});

it('knows which engines take several networks at create', () => {
  expect(['1.41', '1.43', '1.44', '1.47'].map(takesSeveralNetworks)).toEqual([false, false, true, true]);
});
