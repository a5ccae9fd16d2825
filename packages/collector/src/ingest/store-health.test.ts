import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { hostRecord } from '../../../../test/support/fleet-records.ts';
import type { Store } from '../store/store.ts';
import { StoreHealth } from './store-health.ts';

const began = 'nothing can be stored; agents keep what they have, and it is tried again every second';

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
  clock.advance(3_000);
  expect(said).toEqual([began, 'the store takes writes again, after 90 s']);
});

test('what a full disk takes in between does not end the trouble: it is over when nothing has failed for a while', async () => {
  const clock = new ManualClock();
  const said: string[] = [];
  const health = new StoreHealth({ clock, warn: (text) => said.push(text), info: (text) => said.push(text) });
  const putHost = (): Promise<void> => Promise.resolve();
  let full = true;
  const commitEvents = (): Promise<void> => (full ? Promise.reject(new RelightError('store-failed', 'disk is full')) : Promise.resolve());
  const store = health.watch({ putHost, commitEvents } as unknown as Store);
  const tryAll = async (): Promise<void> => {
    await Promise.allSettled([store.commitEvents('a', 'a', 'e', [], 0), store.putHost(hostRecord('a'))]);
    clock.advance(1_000);
  };
  for (let second = 0; second < 10; second += 1) {
    await tryAll();
    expect(health.trouble()?.message).toContain('disk is full');
  }
  full = false;
  for (let second = 0; second < 2; second += 1) {
    expect(health.trouble()).not.toBeNull();
    await tryAll();
  }
  expect(health.trouble()).toBeNull();
  expect(said).toEqual([began, 'the store takes writes again, after 9 s']);
});
