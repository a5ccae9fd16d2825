import { expect, test } from 'vitest';
import { checkJournal, journalRate } from './journal.ts';

test.each([
  ['nothing is set', [], { interval: '30s', burst: '10000' }],
  ['both are set', ['[Journal]\nRateLimitIntervalSec=1min\nRateLimitBurst = 500\n'], { interval: '1min', burst: '500' }],
  ['a later file has the last word', ['[Journal]\nRateLimitBurst=1\n', '[Journal]\nRateLimitBurst=2\n'], { interval: '30s', burst: '2' }],
  ['an empty value is the default', ['[Journal]\nRateLimitBurst=1\n', '[Journal]\nRateLimitBurst=\n'], { interval: '30s', burst: '10000' }],
  [
    'comments and other sections say nothing',
    ['#RateLimitBurst=1\n[Journal]\n#RateLimitBurst=0\n[Other]\nRateLimitBurst=0\n'],
    { interval: '30s', burst: '10000' },
  ],
  ['it is off by its interval', ['[Journal]\nRateLimitIntervalSec=0\n'], null],
  ['with a unit, too', ['[Journal]\nRateLimitIntervalSec=0s\n'], null],
  ['it is off by its burst', ['[Journal]\nRateLimitBurst=0\n'], null],
])('the rate limit of journald: %s', (_, texts, rate) => {
  expect(journalRate(texts)).toEqual(rate);
});

test('whoever logs there is told how much arrives, and what to do', () => {
  expect(checkJournal('w', null)).toEqual([]);
  const [finding] = checkJournal('w', { interval: '30', burst: '10000' });
  expect(finding?.level).toBe('warning');
  expect(finding?.what).toContain('w: its container logs to journald, which drops');
  expect(finding?.what).toContain('beyond 10000 lines in 30 s ');
  expect(finding?.fix).toContain('RateLimitIntervalSec=0');
});
