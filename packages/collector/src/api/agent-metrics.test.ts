import { expect, test } from 'vitest';
import { epoch, hostRecord } from '../../../../test/support/fleet-records.ts';
import { agentMetrics } from './agent-metrics.ts';
import { hostMetrics } from './host-metrics.ts';
import { metricsText } from './metrics-text.ts';

const agent = {
  at: 1,
  receivedAt: epoch,
  uptimeMs: 60_000,
  cpuMs: 1_500,
  lookAgeMs: 2_000,
  configOk: false,
  oldestEventMs: 250,
  oldestLogMs: 4_000,
  eventBytes: 10,
  eventBytesMax: 100,
};
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
const agents = (...hosts: Parameters<typeof agentMetrics>[0]): string[] => lines(metricsText(agentMetrics(hosts)));

test('what an agent has said, in seconds and by the clock of the collector; what it has not said has no series', () => {
  const second = epoch / 1_000;
  expect(agents(hostRecord('a', { agent }))).toEqual([
    'relight_agent_build_info{host="a",version="0.1.0"} 1',
    `relight_agent_start_time_seconds{host="a"} ${second - 60}`,
    'relight_agent_cpu_seconds_total{host="a"} 1.5',
    `relight_agent_last_look_timestamp_seconds{host="a"} ${second - 2}`,
    'relight_agent_config_last_reload_successful{host="a"} 0',
    'relight_agent_delivery_lag_seconds{host="a"} 4',
    'relight_agent_outbox_bytes{host="a",queue="events"} 10',
    'relight_agent_outbox_limit_bytes{host="a",queue="events"} 100',
  ]);
});

test.each(['unknown', 'disconnected', 'suspect', 'dead', 'rebooting', 'stopped', 'expected'] as const)(
  'nothing of an agent whose host is %s, but when the host was last heard',
  (state) => {
    const host = hostRecord('a', { state, agent, gaps: { count: 2, lines: 40, bytes: 100, lastAt: 1, lastReason: 'rotated' } });
    expect(agents(host)).toEqual([]);
    expect(lines(metricsText(hostMetrics([host])))).toEqual([
      `relight_host_state{host="a",state="${state}"} 1`,
      `relight_host_last_seen_timestamp_seconds{host="a"} ${epoch / 1_000}`,
      'relight_host_log_gaps_total{host="a"} 2',
      'relight_host_log_gap_lines_total{host="a"} 40',
      'relight_host_log_gap_bytes_total{host="a"} 100',
    ]);
  },
);

test('an agent that says nothing of itself is known by its version alone', () => {
  expect(agents(hostRecord('a', { agent: null }), hostRecord('b'))).toEqual([
    'relight_agent_build_info{host="a",version="0.1.0"} 1',
    'relight_agent_build_info{host="b",version="0.1.0"} 1',
  ]);
});
