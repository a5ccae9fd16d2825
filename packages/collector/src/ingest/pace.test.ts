import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { defaultPace, Pace } from './pace.ts';

function world() {
  const clock = new ManualClock();
  const warnings: string[] = [];
  return { clock, warnings, pace: new Pace({ clock, warn: (message) => void warnings.push(message) }) };
}

test('who sends more than the pace waits as long as that takes, and nobody else does', () => {
  const { clock, pace } = world();
  const { burstBytes, bytesPerSecond } = defaultPace;
  let read = 0;
  for (let waited = 0; waited < 10_000;) {
    const waitMs = pace.spend('hostile', 100_000);
    expect(pace.spend('honest', 1_000)).toBe(0);
    read += 100_000;
    waited += waitMs;
    clock.advance(waitMs);
  }
  expect(read).toBeLessThanOrEqual(burstBytes + 10.2 * bytesPerSecond);
  expect(read).toBeGreaterThan(0.8 * (burstBytes + 10 * bytesPerSecond));
});

test('whoever has run up debts for a host over many connections makes it wait for seconds, not for ever', () => {
  const { clock, pace } = world();
  // Each of them has one message read before it waits.
  for (let second = 0; second < 60; second += 1) {
    for (let connection = 0; connection < 10; connection += 1) pace.spend('robbed', 1024 * 1024);
    clock.advance(1_000);
  }
  const waitMs = pace.spend('robbed', 1_000);
  expect(waitMs).toBeGreaterThan(2_900);
  expect(waitMs).toBeLessThanOrEqual(4_000);
  clock.advance(waitMs);
  expect(pace.spend('robbed', 1_000)).toBeLessThan(10);
});

test('before a hello many connections together are not read faster than one', () => {
  const { pace } = world();
  for (let connection = 0; connection < 500; connection += 1) pace.spend('', 1024 * 1024);
  expect(pace.spend('', 0)).toBeGreaterThan(120_000);
});

test('small messages cost more than their bytes: a few hundred a second', () => {
  const { clock, pace } = world();
  let messages = 0;
  for (let waited = 0; waited < 10_000; messages += 1) {
    const waitMs = pace.spend('hostile', 80);
    waited += waitMs;
    clock.advance(waitMs);
  }
  expect(messages).toBeLessThan(3_000);
});

test('an honest agent waits for nothing: ten heartbeats of fifty workloads a second, for an hour', () => {
  const { clock, pace, warnings } = world();
  for (let beat = 0; beat < 36_000; beat += 1) {
    expect(pace.spend('honest', 40_000)).toBe(0);
    clock.advance(100);
  }
  expect(warnings).toEqual([]);
});

test('all that an agent keeps for a collector that was away is read within a minute, and nobody is accused', () => {
  const { clock, pace, warnings } = world();
  const began = clock.monotonic();
  for (let sent = 0; sent < 150 * 1024 * 1024; sent += 200_000) clock.advance(pace.spend('honest', 200_000));
  expect(clock.monotonic() - began).toBeLessThan(60_000);
  expect(warnings).toEqual([]);
});

test('who goes on and on is named, once in ten minutes', () => {
  const { clock, pace, warnings } = world();
  const attack = (ms: number): void => {
    for (const until = clock.monotonic() + ms; clock.monotonic() < until;) {
      clock.advance(pace.spend('hostile', 1_000_000));
      pace.forget();
    }
  };
  attack(55_000);
  expect(warnings).toEqual([]);
  attack(120_000);
  expect(warnings).toEqual([expect.stringMatching(/^hostile sends more messages than any honest host: .* 4\.0 MiB a second$/)]);
  attack(600_000);
  expect(warnings).toHaveLength(2);
  clock.advance(1_000_000);
  attack(55_000);
  expect(warnings).toHaveLength(2);
});
