import { ManualClock } from '@relight/shared/manual-clock';
import { beforeEach, expect, it } from 'vitest';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import { tokenRecord } from '../../../../test/support/token-record.ts';
import { RefusalBook, refusalsInAllMax, refusalsMax, refusalsWindowMs } from './refusal-book.ts';

let clock: ManualClock;
let store: MemoryStore;
let book: RefusalBook;
beforeEach(() => {
  clock = new ManualClock();
  store = new MemoryStore();
  book = new RefusalBook({ store, clock });
});
const refuse = (id: string, address: string, host: string | null = null): Promise<boolean> =>
  book.write({ token: tokenRecord({ id, host }), address }, { action: 'agent.connect', target: 'h' }, 'no');

it('writes so many for a token from an address, then says how many it has not written', async () => {
  for (let i = 0; i < refusalsMax; i += 1) expect(await refuse('stolen', '10.0.0.1')).toBe(true);
  for (let i = 0; i < 7; i += 1) expect(await refuse('stolen', '10.0.0.1')).toBe(false);
  expect(store.auditRows).toHaveLength(refusalsMax);
  clock.advance(refusalsWindowMs);
  expect(await refuse('stolen', '10.0.0.1')).toBe(true);
  expect(store.auditRows[0]).toMatchObject({ actor: 'stolen', outcome: 'refused', detail: { reason: 'no', notWrittenBefore: 7 } });
  expect(await refuse('stolen', '10.0.0.1')).toBe(true);
  expect(store.auditRows[0]?.detail).toEqual({ reason: 'no' });
});

it('hides nothing of another token, or of the same one from elsewhere', async () => {
  for (let i = 0; i <= refusalsMax; i += 1) await refuse('mine', '10.0.0.1');
  expect(await refuse('stolen', '10.0.0.1')).toBe(true);
  expect(await refuse('mine', '10.0.0.2')).toBe(true);
});

it('writes no more of one token from however many addresses, and says how many it has not written', async () => {
  const addresses = Array.from({ length: 2 * refusalsInAllMax }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
  for (const address of addresses) await refuse('stolen', address);
  expect(store.auditRows).toHaveLength(refusalsInAllMax);
  expect(await refuse('mine', '10.9.9.9')).toBe(true);
  clock.advance(refusalsWindowMs);
  expect(await refuse('stolen', '10.8.8.8')).toBe(true);
  expect(store.auditRows[0]?.detail).toEqual({ reason: 'no', notWrittenInAll: refusalsInAllMax });
});

it('counts the tokens of one host together, which it may renew without end', async () => {
  for (let i = 0; i < 2 * refusalsInAllMax; i += 1) await refuse(`token-${i}`, '10.0.0.1', 'h');
  expect(store.auditRows).toHaveLength(refusalsInAllMax);
  expect(await refuse('another', '10.0.0.1', 'h2')).toBe(true);
});

it('one address uses up little of what there is for all', async () => {
  for (let i = 0; i < 2 * refusalsInAllMax; i += 1) await refuse('stolen', '10.0.0.1');
  expect(await refuse('stolen', '10.0.0.2')).toBe(true);
});
