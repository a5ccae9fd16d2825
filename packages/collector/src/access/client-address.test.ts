import type { IncomingMessage } from 'node:http';
import { expect, it } from 'vitest';
import { ClientAddresses, parseNetwork } from './client-address.ts';
import { failuresMax, Failures } from './failures.ts';
import { ManualClock } from '@relight/shared/manual-clock';

const from = (remoteAddress: string, forwarded?: string) =>
  ({ socket: { remoteAddress }, headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded } }) as unknown as IncomingMessage;

it.each([
  ['nobody is trusted: the header is anybody’s', [], '10.0.0.1', '1.2.3.4', '10.0.0.1'],
  ['a trusted proxy names its client', ['10.0.0.0/8'], '10.0.0.1', '1.2.3.4', '1.2.3.4'],
  ['what the client has written itself stands before that', ['10.0.0.0/8'], '10.0.0.1', '9.9.9.9, 1.2.3.4', '1.2.3.4'],
  ['two proxies', ['10.0.0.0/8'], '10.0.0.1', '1.2.3.4, 10.0.0.2', '1.2.3.4'],
  ['no address in the header', ['10.0.0.1'], '10.0.0.1', 'unknown', '10.0.0.1'],
  ['a proxy without a header', ['10.0.0.1'], '10.0.0.1', undefined, '10.0.0.1'],
  ['IPv4 in IPv6', ['10.0.0.1'], '::ffff:10.0.0.1', '2001:db8::1', '2001:db8::1'],
  ['an IPv6 proxy', ['fd00::/8'], 'fd00::7', '1.2.3.4', '1.2.3.4'],
])('%s', (_, trusted, remote, header, address) => {
  expect(new ClientAddresses(trusted).of(from(remote, header))).toBe(address);
});

it.each(['10.0.0.0/33', '10.0.0', 'proxy.example', '10.0.0.0/8/8', '::1/129', ''])('%j is no network', (text) => {
  expect(parseNetwork(text)).toBeUndefined();
});

it('counts failures by address, and by /64 of IPv6', () => {
  const clock = new ManualClock();
  const failures = new Failures(clock);
  for (let i = 0; i < failuresMax; i += 1) expect(failures.failed(`2001:db8:0:7::${i}`)).toBe(true);
  expect(failures.failed('2001:db8:0:7:1:2:3:4')).toBe(false);
  expect(failures.retryAfterS('2001:db8:0:7::')).toBe(60);
  expect(failures.failed('2001:db8:0:8::1')).toBe(true);
  expect(failures.failed('10.0.0.1')).toBe(true);
  // As a socket of both families shows them: each one for itself.
  for (let i = 0; i < failuresMax; i += 1) expect(failures.failed('::ffff:10.0.0.2')).toBe(true);
  expect(failures.failed('10.0.0.2')).toBe(false);
  expect(failures.failed('::ffff:10.0.0.3')).toBe(true);
  clock.advance(60_000);
  expect(failures.failed('2001:db8:0:7::1')).toBe(true);
});
