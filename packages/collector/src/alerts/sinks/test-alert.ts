/**
 * A test alert, as the sinks get every other one: same form, same connection, same time to answer. It goes past the queue, for whoever
 * asks wants an answer now, and it is not stored: it is no alert.
 */
import type { Clock } from '@relight/shared/clock';
import type { AlertRecord } from '../../store/store.ts';
import { sendOnce } from './delivery.ts';
import type { TestAbout, TestAnswer } from './sink-desk.ts';
import type { SendResult, Sink } from './sink.ts';

interface TestDeps {
  readonly clock: Clock;
  /** Our own end. */
  readonly stop: AbortSignal;
  readonly onResult: (sink: string, result: SendResult) => void;
}

/** Alertmanager takes it for over by then (its own default, `resolve_timeout`); it would wait for one that never comes. */
const lastsMs = 5 * 60_000;

export function testSinks({ clock, stop, onResult }: TestDeps, sinks: readonly Sink[], about: TestAbout): Promise<TestAnswer[]> {
  const alert = testAlert(about, clock.now());
  return Promise.all(
    sinks.map(async (sink) => {
      const began = clock.monotonic();
      const result = await sendOnce(clock, sink, { body: sink.format(alert, { told: null, at: alert.startsAt }) }, stop);
      if (!stop.aborted) onResult(sink.name, result);
      const reason = result.outcome === 'delivered' ? null : result.reason;
      return { delivered: reason === null, reason, tookMs: Math.round(clock.monotonic() - began) };
    }),
  );
}

function testAlert({ severity, by }: TestAbout, now: number): AlertRecord {
  return {
    id: `RelightTest::${now}`,
    rule: 'RelightTest',
    severity,
    host: '',
    workload: null,
    state: 'firing',
    startsAt: now,
    endsAt: now + lastsMs,
    summary: `TEST of the way of Relight's alerts to this receiver${by === null ? '' : `, asked for by ${by}`}: nothing is wrong, nothing has to be done`,
    labels: { alertname: 'RelightTest', test: 'true' },
    data: {},
  };
}
