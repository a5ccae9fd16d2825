/** What is advised about two machines with one machine id must not lock out anybody else. */
import { expect, test } from 'vitest';
import { contend, contested, type Holder } from './shared-identity.ts';

const holder: Holder = { host: 'h', address: '10.0.0.1', bootId: 'boot-1', since: 0, tokenId: 'tok1', tokenIsOwn: true };
const contender = contend(null, { host: 'copy', address: '10.0.0.2', bootId: 'boot-2' }, 1_000, 0);
const adviceWith = (tokenIsOwn: boolean): string => contested({ ...holder, tokenIsOwn }, contender, 0)[0]?.advice ?? '';

test('a token of its own is revoked with nothing more to think of', () => {
  expect(adviceWith(true)).toContain('relight-collector token revoke tok1 sends it away; then stop its agent, relight forget h,');
  expect(adviceWith(true)).not.toContain('every other agent');
});

test('of a token for any host it is said who else is locked out, and that each is to get its own before', () => {
  const advice = adviceWith(false);
  expect(advice).toContain('token revoke tok1 sends it away, and locks out every other agent that uses this token');
  expect(advice).toMatch(
    /first give each of those its own \(relight-collector token create --kind join, .*then stop its agent, relight forget h,/,
  );
  // What a condition may hold.
  expect(advice.length).toBeLessThan(2048);
});
