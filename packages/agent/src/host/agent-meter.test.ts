import { agentMetricsSchema } from '@relight/shared/agent-metrics';
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { AgentMeter, processNumbers, type MeterSources } from './agent-meter.ts';
import { LoopLag } from './loop-lag.ts';

const numbers = { uptimeMs: 1_000.4, cpuMs: 12.6, residentBytes: 60, heapUsedBytes: 20 };

function meterOf(clock: ManualClock, more: Partial<MeterSources> = {}): AgentMeter {
  const sources: MeterSources = {
    look: () => ({ endedAt: clock.monotonic() - 3_000, tookMs: 12 }),
    calls: () => ({ ended: 5, failed: 1, ms: 80.2 }),
    config: () => ({ ok: true, readAt: clock.now() - 60_000 }),
    uplink: () => ({ connects: 2, failures: 1, waiting: 4 }),
    events: () => ({ bytes: 100, bytesMax: 1_000, oldestAt: clock.now() - 500, dropped: 3 }),
    logs: () => ({ bytes: 7, bytesMax: 70, waitingBytes: 9, oldestAt: null, sentLines: 11, sentBytes: 110 }),
    ...more,
  };
  return new AgentMeter(clock, sources, () => numbers);
}

test('what is known goes into one sample, in whole milliseconds and bytes; what there is not is absent', () => {
  const clock = new ManualClock();
  const meter = meterOf(clock);
  expect(meter.last).toBeNull();
  meter.measure();
  expect(meter.last).toEqual({
    at: clock.now(),
    uptimeMs: 1_000,
    cpuMs: 13,
    residentBytes: 60,
    heapUsedBytes: 20,
    loopLagMs: 0,
    stalledMs: 0,
    lookAgeMs: 3_000,
    lookMs: 12,
    engineCalls: 5,
    engineErrors: 1,
    engineCallMs: 80,
    configOk: true,
    configAgeMs: 60_000,
    connects: 2,
    connectFailures: 1,
    events: 4,
    eventBytes: 100,
    eventBytesMax: 1_000,
    oldestEventMs: 500,
    eventsDropped: 3,
    logBytes: 7,
    logBytesMax: 70,
    logWaitingBytes: 9,
    sentLines: 11,
    sentBytes: 110,
  });
});

test('an agent without a collector, before its first look, has nothing that waits', () => {
  const clock = new ManualClock();
  const meter = meterOf(clock, { look: () => null, uplink: () => null, config: () => ({ ok: false, readAt: clock.now() }) });
  meter.measure();
  expect(Object.keys(meter.last ?? {}).toSorted()).toEqual(
    'at configAgeMs configOk cpuMs engineCallMs engineCalls engineErrors heapUsedBytes loopLagMs residentBytes stalledMs uptimeMs'.split(
      ' ',
    ),
  );
});

test('what waits and becomes less is caught up with, as far as samples of one connection tell', () => {
  const clock = new ManualClock();
  const state = { connects: 1, oldestAt: clock.now() - 60_000, sentBytes: 0 };
  const meter = meterOf(clock, {
    uplink: () => ({ connects: state.connects, failures: 0, waiting: 0 }),
    events: () => ({ bytes: 0, bytesMax: 1_000, oldestAt: null, dropped: 0 }),
    logs: () => ({ bytes: 7, bytesMax: 70, waitingBytes: 9, oldestAt: state.oldestAt, sentLines: 0, sentBytes: state.sentBytes }),
  });
  const sample = (oldestMs: number, sentBytes: number) => {
    clock.advance(10_000);
    Object.assign(state, { oldestAt: clock.now() - oldestMs, sentBytes });
    meter.measure();
    return meter.catchingUp;
  };
  meter.measure();
  expect(meter.catchingUp).toEqual({ bytesPerSecond: null, leftMs: null });
  expect(sample(40_000, 50_000)).toEqual({ bytesPerSecond: 5_000, leftMs: 20_000 });
  expect(sample(50_000, 50_000)).toBeNull();
  state.connects = 2;
  expect(sample(60_000, 50_000)).toEqual({ bytesPerSecond: null, leftMs: null });
  expect(sample(300, 90_000)).toBeNull();
});

test('a clock that was set back makes nothing that a collector would refuse', () => {
  const clock = new ManualClock();
  const meter = meterOf(clock, { config: () => ({ ok: true, readAt: clock.now() + 3_600_000 }) });
  meter.measure();
  expect(meter.last).toMatchObject({ configAgeMs: 0 });
  expect(agentMetricsSchema.parse(JSON.parse(JSON.stringify(meter.last)))).toEqual(meter.last);
});

test('the numbers of this process are numbers', () => {
  for (const value of Object.values(processNumbers())) expect(value).toBeGreaterThan(0);
});

test('a standstill is as long as the timer is late; the longest is told once, those that count in sum', () => {
  const clock = new ManualClock();
  let stoodStill = 0;
  const lag = new LoopLag({ ...clockOf(clock), monotonic: () => clock.monotonic() + stoodStill });
  lag.start();
  clock.advance(1_000);
  expect(lag.take()).toEqual({ longestMs: 0, stalledMs: 0 });
  stoodStill += 2_500;
  clock.advance(1_000);
  stoodStill += 100;
  clock.advance(1_000);
  expect(lag.take()).toEqual({ longestMs: 2_500, stalledMs: 2_500 });
  stoodStill += 400;
  clock.advance(1_000);
  expect(lag.take()).toEqual({ longestMs: 400, stalledMs: 2_900 });
  lag.dispose();
  stoodStill += 9_000;
  clock.advance(5_000);
  expect(lag.take()).toEqual({ longestMs: 0, stalledMs: 2_900 });
});

const clockOf = (clock: ManualClock): { now: () => number; after: ManualClock['after'] } => ({
  now: () => clock.now(),
  after: (ms, callback) => clock.after(ms, callback),
});
