import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { restartPolicy as policy } from '../../../../test/support/specs.ts';
import type { RestartPolicy } from '../config/spec.ts';
import { defaults } from '../config/defaults.ts';
import { decideRestart, noRestarts, retrySchedule, type RestartHistory } from './restart-policy.ts';

function delays(count: number, options: { stable: boolean; policy?: RestartPolicy; everyMs?: number }): number[] {
  let history: RestartHistory = noRestarts;
  return Array.from({ length: count }, (_, i) => {
    const decision = decideRestart(options.policy ?? policy, history, i * (options.everyMs ?? 100_000), options.stable && i === 0, 0.5);
    history = decision.history;
    return decision.delayMs;
  });
}

describe('delays', () => {
  test('at once after a stable run, then initial, doubling up to max', () => {
    expect(delays(9, { stable: true })).toEqual([0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  });

  test('without a stable run before, initial at first', () => {
    expect(delays(3, { stable: false })).toEqual([1_000, 2_000, 4_000]);
  });

  test('the budget exhausted: max from then on, and once said', () => {
    let history: RestartHistory = noRestarts;
    const decisions = Array.from({ length: 14 }, (_, i) => {
      const decision = decideRestart({ ...policy, budget: { count: 3, windowMs: 600_000 } }, history, i * 1_000, false, 0.5);
      history = decision.history;
      return decision;
    });
    expect(decisions.map((decision) => decision.delayMs).slice(0, 5)).toEqual([1_000, 2_000, 4_000, 60_000, 60_000]);
    expect(decisions.filter((decision) => decision.budgetJustExhausted)).toHaveLength(1);
  });

  test('a restart outside the window gives budget back', () => {
    expect(
      delays(6, { stable: false, policy: { ...policy, maxMs: 5_000, budget: { count: 1, windowMs: 60_000 } }, everyMs: 61_000 }),
    ).toEqual([1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
  });

  test('never negative, never beyond max with its jitter, never given up, whatever the policy and the history', () => {
    const policies = fc.record({
      initialMs: fc.integer({ min: 0, max: 60_000 }),
      maxMs: fc.integer({ min: 60_000, max: 3_600_000 }),
      factor: fc.double({ min: 1, max: 10, noNaN: true }),
      jitter: fc.double({ min: 0, max: 1, noNaN: true }),
      resetAfterMs: fc.integer({ min: 0, max: 600_000 }),
      budget: fc.record({ count: fc.integer({ min: 1, max: 50 }), windowMs: fc.integer({ min: 1, max: 600_000 }) }),
      escalateAfter: fc.option(fc.integer({ min: 1, max: 5 })),
    });
    const failures = fc.array(
      fc.record({
        afterMs: fc.nat(1_000_000),
        stable: fc.boolean(),
        random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      }),
      {
        maxLength: 1_200,
      },
    );
    fc.assert(
      fc.property(policies, failures, (policy, list) => {
        let history: RestartHistory = noRestarts;
        let now = 0;
        for (const failure of list) {
          now += failure.afterMs;
          const decision = decideRestart(policy, history, now, failure.stable, failure.random);
          expect(decision.delayMs).toBeGreaterThanOrEqual(0);
          expect(decision.delayMs).toBeLessThanOrEqual(Math.ceil(policy.maxMs * (1 + policy.jitter)));
          expect(decision.history.recent.length).toBeLessThanOrEqual(policy.budget.count + 1);
          expect(decision.why).not.toBe('');
          history = decision.history;
        }
        expect(history.failures).toBe(list.length);
      }),
      { numRuns: 200 },
    );
  });
});

describe('a schedule', () => {
  const preset = (name: keyof typeof defaults.restartPresets): RestartPolicy => ({
    ...defaults.restart.process,
    ...defaults.restartPresets[name],
  });

  test('of the field: 5, 5, 10, 20, 40, 60 s and on, ten tries in about five minutes', () => {
    const retries = retrySchedule(preset('http-startup'), 10, false);
    expect(retries.map(({ waitMs }) => waitMs / 1_000)).toEqual([5, 5, 10, 20, 40, 60, 60, 60, 60, 60]);
    expect(retries.at(-1)).toEqual({ attempt: 10, waitMs: 60_000, afterMs: 380_000, slow: false });
    expect(retrySchedule(preset('http-startup'), 2)[0]?.waitMs).toBe(0);
  });

  test('of hosts that reboot while they are set up: 30 s apart, longer after every third failure in a row', () => {
    const waits = retrySchedule(preset('slow-host'), 7, false).map(({ waitMs, slow }) => `${waitMs / 1_000}${slow ? ' slow' : ''}`);
    expect(waits).toEqual(['30', '30', '300', '30', '30', '300 slow', '300 slow']);
  });

  test('says what the decisions are, whatever the policy', () => {
    const policies = fc.record({
      delaysMs: fc.array(fc.integer({ min: 0, max: 60_000 }), { minLength: 1, maxLength: 8 }),
      after: fc.integer({ min: 2, max: 5 }),
      count: fc.integer({ min: 1, max: 12 }),
    });
    fc.assert(
      fc.property(policies, ({ delaysMs, after, count }) => {
        const given = { ...policy, delaysMs, cooldown: { after, ms: 50_000 }, budget: { count, windowMs: 3_600_000 } };
        const retries = retrySchedule(given, 12, false);
        let sum = 0;
        for (const [index, { attempt, waitMs, afterMs, slow }] of retries.entries()) {
          sum += waitMs;
          expect([attempt, afterMs, slow]).toEqual([index + 1, sum, index >= count]);
          const own = delaysMs[Math.min(index, delaysMs.length - 1)] ?? 0;
          expect(waitMs).toBe(slow ? given.maxMs : attempt % after === 0 ? Math.max(own, 50_000) : own);
        }
      }),
    );
  });
});
