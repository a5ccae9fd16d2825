import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { hostRecord } from '../../../../test/support/fleet-records.ts';
import type { Store } from '../store/store.ts';
import { StoreHealth } from './store-health.ts';

test('trouble lasts as long as writes fail; a verdict without a fresh failure is none', async () => {
  const clock = new ManualClock();
  const said: string[] = [];
  const health = new StoreHealth({ clock, warn: (text) => said.push(text), info: (text) => said.push(text) });
  let full = true;
  const putHost = (): Promise<void> => (full ? Promise.reject(new RelightError('store-failed', 'disk is full')) : Promise.resolve());
  const store = health.watch({ putHost } as unknown as Store);
  const write = (): Promise<void> => store.putHost(hostRecord('a'));
  for (let second = 0; second < 60; second += 1) {
    await expect(write()).rejects.toThrow('disk is full');
    clock.advance(1_000);
  }
  expect(health.trouble()?.message).toContain('disk is full');
  clock.advance(30_000);
  expect(health.trouble()).toBeNull();
  full = false;
  await write();
  expect(said).toEqual([
    'nothing can be stored; agents keep what they have, and it is tried again every second',
    'the store takes writes again, after 90 s',
  ]);
});
