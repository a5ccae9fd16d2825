/**
 * What agents measure of themselves, for /metrics. Only of hosts that are connected: what an agent said before it fell silent is not how
 * it is, and a series that ends says so to Prometheus.
 */
import { waitingMs, type AgentMetrics } from '@relight/shared/agent-metrics';
import type { HostRecord } from '../store/store.ts';
import type { MetricFamily, MetricSample } from './metrics-text.ts';

type Reported = NonNullable<HostRecord['agent']>;
type Value = (agent: Reported) => number | undefined;

const seconds =
  (key: NumberKey): Value =>
  (agent) => {
    const ms = agent[key];
    return ms === undefined ? undefined : ms / 1_000;
  };
const plain =
  (key: NumberKey): Value =>
  (agent) =>
    agent[key];
/** An age as the moment, by the collector's clock. */
const moment =
  (key: NumberKey): Value =>
  (agent) => {
    const ageMs = agent[key];
    return ageMs === undefined ? undefined : (agent.receivedAt - ageMs) / 1_000;
  };
type NumberKey = { [K in keyof AgentMetrics]-?: AgentMetrics[K] extends number | undefined ? K : never }[keyof AgentMetrics];

const single: readonly (readonly [name: string, type: 'counter' | 'gauge', help: string, value: Value])[] = [
  ['start_time_seconds', 'gauge', 'When the process of the agent began, since the epoch.', moment('uptimeMs')],
  ['cpu_seconds_total', 'counter', 'CPU time that the agent has used.', seconds('cpuMs')],
  ['resident_memory_bytes', 'gauge', 'Resident memory of the agent.', plain('residentBytes')],
  ['heap_used_bytes', 'gauge', 'Used JavaScript heap of the agent.', plain('heapUsedBytes')],
  ['event_loop_lag_seconds', 'gauge', 'The longest standstill of the agent in its last 10 s.', seconds('loopLagMs')],
  [
    'event_loop_stalled_seconds_total',
    'counter',
    'Standstills of the agent of a quarter of a second and more, in sum.',
    seconds('stalledMs'),
  ],
  ['last_look_timestamp_seconds', 'gauge', 'When the agent last looked at its containers, since the epoch.', moment('lookAgeMs')],
  ['look_duration_seconds', 'gauge', 'How long the last look at the containers took.', seconds('lookMs')],
  ['engine_calls_total', 'counter', 'Calls of the container engine that have ended.', plain('engineCalls')],
  ['engine_call_errors_total', 'counter', 'Calls of the container engine that failed.', plain('engineErrors')],
  ['engine_call_seconds_total', 'counter', 'Time that calls of the container engine took, in sum.', seconds('engineCallMs')],
  [
    'config_last_reload_successful',
    'gauge',
    '1 while the configuration file, as it is now, is what the agent goes by.',
    ({ configOk }) => (configOk === undefined ? undefined : Number(configOk)),
  ],
  [
    'config_last_reload_success_timestamp_seconds',
    'gauge',
    'When the configuration that holds was read, since the epoch.',
    moment('configAgeMs'),
  ],
  ['connections_total', 'counter', 'Connections to the collector that the agent has had, this one included.', plain('connects')],
  ['connection_failures_total', 'counter', 'Tries of the agent to reach the collector that came to nothing.', plain('connectFailures')],
  [
    'delivery_lag_seconds',
    'gauge',
    'How long what waits longest for the collector has waited; 0: nothing waits.',
    (agent) => waitingMs(agent) / 1_000,
  ],
  ['outbox_events', 'gauge', 'Events that the collector has not acknowledged.', plain('events')],
  ['outbox_dropped_events_total', 'counter', 'Events given up because there was no room for them.', plain('eventsDropped')],
  ['log_waiting_bytes', 'gauge', 'Bytes of logs that are written and not acknowledged, whoever keeps them.', plain('logWaitingBytes')],
  ['log_lines_sent_total', 'counter', 'Lines of logs handed to the connection, again after a break included.', plain('sentLines')],
  ['log_bytes_sent_total', 'counter', 'Bytes of log text handed to the connection, before compression.', plain('sentBytes')],
];

const queues = ['events', 'logs'] as const;
const byQueue: readonly (readonly [name: string, help: string, values: Readonly<Record<(typeof queues)[number], Value>>])[] = [
  ['outbox_bytes', 'What the agent keeps on its disk until it is acknowledged.', { events: plain('eventBytes'), logs: plain('logBytes') }],
  [
    'outbox_limit_bytes',
    'What it may keep; beyond it the oldest is given up.',
    { events: plain('eventBytesMax'), logs: plain('logBytesMax') },
  ],
];

/** Each family is made when it is asked for. */
export function* agentMetrics(hosts: readonly HostRecord[]): Generator<MetricFamily> {
  const current = hosts.flatMap(({ name, state, agent, agentVersion }) =>
    state === 'connected' ? [{ labels: { host: name }, agent: agent ?? null, version: agentVersion ?? 'unknown' }] : [],
  );
  const reporting = current.flatMap(({ labels, agent }) => (agent === null ? [] : [{ labels, agent }]));
  const sample = (labels: NonNullable<MetricSample['labels']>, value: number | undefined): MetricSample[] =>
    value === undefined ? [] : [{ labels, value }];
  yield {
    name: 'relight_agent_build_info',
    help: 'Version of the agent.',
    type: 'gauge',
    samples: current.map(({ labels, version }) => ({ labels: { ...labels, version }, value: 1 })),
  };
  for (const [name, type, help, value] of single) {
    const samples = reporting.flatMap(({ labels, agent }) => sample(labels, value(agent)));
    yield { name: `relight_agent_${name}`, help, type, samples };
  }
  const byQueueLabels = reporting.map(({ labels, agent }) => ({
    agent,
    labels: { events: { ...labels, queue: 'events' }, logs: { ...labels, queue: 'logs' } },
  }));
  for (const [name, help, values] of byQueue) {
    const samples = byQueueLabels.flatMap(({ labels, agent }) => queues.flatMap((queue) => sample(labels[queue], values[queue](agent))));
    yield { name: `relight_agent_${name}`, help, type: 'gauge', samples };
  }
}
