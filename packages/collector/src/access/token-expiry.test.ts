import { ManualClock } from '@relight/shared/manual-clock';
import { beforeEach, expect, it } from 'vitest';
import { tokenRecord } from '../../../../test/support/token-record.ts';
import type { CollectorEvent, TokenRecord } from '../store/store.ts';
import { expiresSoon, TokenExpiry } from './token-expiry.ts';

const dayMs = 86_400_000;
let clock: ManualClock;
let tokens: TokenRecord[];
let warnings: string[];
let events: CollectorEvent[];
let expiry: TokenExpiry;

const lasting = (days: number, more: Partial<TokenRecord> = {}): TokenRecord =>
  tokenRecord({ id: 'tok', kind: 'operator', name: 'ann', createdAt: clock.now(), expiresAt: clock.now() + days * dayMs, ...more });
const pass = (days: number): void => {
  for (let hour = 0; hour < days * 24; hour += 1) clock.advance(dayMs / 24);
};

beforeEach(() => {
  clock = new ManualClock();
  tokens = [];
  warnings = [];
  events = [];
  expiry = new TokenExpiry({
    store: { tokens: () => tokens },
    clock,
    warn: (message) => void warnings.push(message),
    tell: (event) => void events.push(event),
  });
});

it('tells every day of the last fortnight that an operator token runs out, and once that it has', () => {
  tokens = [lasting(90)];
  const end = new Date(clock.now() + 90 * dayMs).toISOString();
  expiry.start();
  pass(75);
  expect(warnings).toEqual([]);
  pass(3);
  expect(warnings).toEqual(Array.from({ length: 3 }, () => `the operator token tok (ann) expires at ${end}`));
  pass(20);
  expect(warnings.filter((text) => text.includes('expires at'))).toHaveLength(14);
  expect(warnings.filter((text) => text.includes('expired at'))).toHaveLength(1);
  expect(events).toHaveLength(15);
  expect(events.at(0)).toMatchObject({ kind: 'host.notice', severity: 'warning', data: { token: 'tok' } });
  expect(events.at(-1)).toMatchObject({ severity: 'error', message: `the operator token tok (ann) expired at ${end}` });
  expiry.close();
});

it('tells of an agent token that a person has made, with its host; not of one that its agent renews', () => {
  tokens = [
    lasting(8, { id: 'made', kind: 'agent', name: null, host: 'h1' }),
    lasting(8, { id: 'joined', kind: 'agent', agentId: 'agent-1' }),
  ];
  expiry.start();
  pass(7);
  expect(new Set(events.map(({ host, data }) => `${host} ${String(data['token'])}`))).toEqual(new Set(['h1 made']));
});

it.each([
  ['revoked', { revokedAt: 1 }],
  ['for ever', { expiresAt: null }],
  ['a join token', { kind: 'join' as const, usesLeft: 3 }],
])('tells nothing of one that is %s', (_, more) => {
  tokens = [lasting(20, more)];
  expiry.start();
  pass(25);
  expect(warnings).toEqual([]);
});

it('tells nothing of a token that was made for a day: it is meant to end', () => {
  tokens = [lasting(1)];
  expiry.start();
  pass(2);
  expect(warnings).toEqual([]);
});

it('is in the metrics as long as it is valid', () => {
  tokens = [lasting(2)];
  const value = (clock.now() + 2 * dayMs) / 1_000;
  expiry.start();
  expect(expiry.families()).toMatchObject([{ samples: [{ labels: { token: 'tok', kind: 'operator', name: 'ann' }, value }] }]);
  pass(3);
  expect(expiry.families()).toMatchObject([{ samples: [] }]);
});

it('begins in the last quarter of a short life', () => {
  const token = lasting(4);
  expect(expiresSoon(token, clock.now() + 2.9 * dayMs)).toBe(false);
  expect(expiresSoon(token, clock.now() + 3.1 * dayMs)).toBe(true);
});
