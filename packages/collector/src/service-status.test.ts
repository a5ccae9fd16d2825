import { expect, test } from 'vitest';
import { serviceStatus } from './service-status.ts';

const url = 'https://0.0.0.0:7460';

test('without hosts it says where it listens, with hosts how many are in which state', () => {
  expect(serviceStatus({ url, hosts: [], trouble: null })).toBe('listening on https://0.0.0.0:7460');
  const hosts = [{ state: 'dead' }, { state: 'connected' }, { state: 'connected' }] as const;
  expect(serviceStatus({ url, hosts, trouble: null })).toBe('listening on https://0.0.0.0:7460; 3 host(s): 2 connected, 1 dead');
});

test('a store in trouble is said there as well', () => {
  expect(serviceStatus({ url, hosts: [{ state: 'connected' }], trouble: 'nothing can be stored since noon: disk full' })).toBe(
    'listening on https://0.0.0.0:7460; 1 host(s): 1 connected; nothing can be stored since noon: disk full',
  );
});
