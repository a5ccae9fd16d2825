/** Hosts one by one for /metrics: how they are, when they were heard, and how far behind they are. What the collector itself knows. */
import type { HostRecord } from '../store/store.ts';
import type { MetricFamily } from './metrics-text.ts';

/** Each family is made when it is asked for. */
export function* hostMetrics(hosts: readonly HostRecord[]): Generator<MetricFamily> {
  const all = hosts.map((host) => ({ host, labels: { host: host.name } }));
  /** A host of which it is not known has no series. */
  const samples = (value: (host: HostRecord) => number | null): MetricFamily['samples'] =>
    all.flatMap(({ host, labels }) => {
      const known = value(host);
      return known === null ? [] : [{ labels, value: known }];
    });
  yield {
    name: 'relight_host_state',
    help: '1 for the state that a host is in.',
    type: 'gauge',
    samples: hosts.map(({ name: host, state }) => ({ labels: { host, state }, value: 1 })),
  };
  yield {
    name: 'relight_host_last_seen_timestamp_seconds',
    help: 'When a host was last heard, since the epoch.',
    type: 'gauge',
    samples: samples(({ lastSeenAt }) => (lastSeenAt === null ? null : lastSeenAt / 1_000)),
  };
  yield {
    name: 'relight_host_clock_skew_seconds',
    help: "How far a host's clock is ahead of the collector's, the way of the message included.",
    type: 'gauge',
    samples: samples(({ state, clockSkewMs }) => (state !== 'connected' || clockSkewMs === null ? null : clockSkewMs / 1_000)),
  };
  yield {
    name: 'relight_host_log_gaps_total',
    help: 'Counted holes in the logs of a host.',
    type: 'counter',
    samples: samples(({ gaps }) => gaps?.count ?? 0),
  };
  yield {
    name: 'relight_host_log_gap_lines_total',
    help: 'Lines that are missing in these holes, of those that say how many.',
    type: 'counter',
    samples: samples(({ gaps }) => gaps?.lines ?? 0),
  };
  yield {
    name: 'relight_host_log_gap_bytes_total',
    help: 'Bytes that are missing in these holes, of those that say how many.',
    type: 'counter',
    samples: samples(({ gaps }) => gaps?.bytes ?? 0),
  };
}
