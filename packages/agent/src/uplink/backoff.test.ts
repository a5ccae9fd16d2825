import fc from 'fast-check';
import { expect, test } from 'vitest';
import { closeCodes } from '@relight/shared/protocol';
import { endingOf, nextAttempt, stableMs } from './backoff.ts';

test('full jitter: anywhere between nothing and a bound that doubles up to 30 s', () => {
  let failures = 0;
  const bounds = Array.from({ length: 8 }, () => {
    const next = nextAttempt(failures, { kind: 'failed' }, 0.999_999);
    failures = next.failures;
    return Math.round(next.delayMs / 1_000);
  });
  expect(bounds).toEqual([2, 4, 8, 16, 30, 30, 30, 30]);
  expect(nextAttempt(5, { kind: 'failed' }, 0).delayMs).toBe(0);
});

test('only a stable connection resets the count', () => {
  expect(nextAttempt(4, { kind: 'lost', connectedMs: stableMs - 1 }, 0.5).failures).toBe(5);
  expect(nextAttempt(4, { kind: 'lost', connectedMs: stableMs }, 0.5)).toEqual({ failures: 0, delayMs: 500 });
});

test('never before the time that the collector asked for, and within bounds whatever happens', () => {
  const ending = fc.oneof(
    fc.record({ kind: fc.constant('failed' as const) }),
    fc.record({ kind: fc.constant('lost' as const), connectedMs: fc.nat() }),
    fc.record({ kind: fc.constant('told' as const), ms: fc.nat() }),
    fc.record({ kind: fc.constant('hopeless' as const) }),
  );
  fc.assert(
    fc.property(fc.nat(10_000), ending, fc.double({ min: 0, max: 0.999, noNaN: true }), (failures, end, random) => {
      const { delayMs } = nextAttempt(failures, end, random);
      expect(delayMs).toBeLessThanOrEqual(10 * 60_000 + 30_000);
      expect(delayMs).toBeGreaterThanOrEqual(end.kind === 'told' ? Math.min(end.ms, 10 * 60_000) : end.kind === 'hopeless' ? 27_000 : 0);
    }),
  );
});

test('what the end of a connection means: refused for good, told to wait, lost, or never there', () => {
  const broken = { code: 1006, reason: '' };
  expect(endingOf({ ...broken, status: 401 }, null)).toEqual({ kind: 'hopeless' });
  expect(endingOf({ ...broken, code: closeCodes.cloned }, 5)).toEqual({ kind: 'hopeless' });
  expect(endingOf({ ...broken, status: 503, retryAfterMs: 3_000 }, null)).toEqual({ kind: 'told', ms: 3_000 });
  expect(endingOf(broken, 5)).toEqual({ kind: 'lost', connectedMs: 5 });
  expect(endingOf(broken, null)).toEqual({ kind: 'failed' });
});
