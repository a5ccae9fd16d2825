/** /metrics: the fleet as it is now, and this process. */
import { ruleNames } from '../alerts/condition.ts';
import type { Fleet } from '../fleet.ts';
import type { Store } from '../store/store.ts';
import { hostStates, isWatched, levels, phases, type HostState } from '@relight/shared/phase';
import { acceleratorMetrics } from './accelerator-metrics.ts';
import { agentMetrics } from './agent-metrics.ts';
import { hostMetrics } from './host-metrics.ts';
import type { MetricFamily, MetricSample } from './metrics-text.ts';

const alertsMax = 100_000;

/** Counts by a closed set of values: those that do not occur are 0, so that a series never vanishes. */
function countBy(label: string, all: readonly string[], values: Iterable<string>): MetricSample[] {
  const counts = new Map(all.map((value) => [value, 0]));
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].map(([value, count]) => ({ labels: { [label]: value }, value: count }));
}

/** Whether what its agent said last still holds. Of one that this collector has not heard since its start, nobody knows better. */
const isKnown = (state: HostState): boolean => isWatched(state) || state === 'unknown';

/** The fleet as it is when the first family is asked for; each is made when it is asked for. */
export function* fleetMetrics(fleet: Fleet, store: Store): Generator<MetricFamily> {
  const hosts = fleet.hosts();
  const states = hosts.map((host) => host.state);
  yield { name: 'relight_hosts', help: 'Hosts by state.', type: 'gauge', samples: countBy('state', hostStates, states) };
  yield* hostMetrics(hosts);
  yield {
    name: 'relight_host_condition',
    help: '1 for everything that is wrong with a host.',
    type: 'gauge',
    samples: hosts.flatMap(({ name: host, conditions = [] }) =>
      conditions.map(({ name, subject, severity }) => ({ labels: { host, condition: name, subject, severity }, value: 1 })),
    ),
  };
  const workloads = hosts.flatMap((host) =>
    host.workloads.map((status) => ({ status, state: host.state, labels: { host: host.name, workload: status.name } })),
  );
  const phasesNow = workloads.map(({ status }) => status.phase);
  yield { name: 'relight_workloads', help: 'Workloads by phase.', type: 'gauge', samples: countBy('phase', phases, phasesNow) };
  yield {
    name: 'relight_workload_ready',
    help: '1 while every readiness check of the workload has passed, and somebody makes them.',
    type: 'gauge',
    samples: workloads.map(({ status, state, labels }) => ({ labels, value: status.phase === 'ready' && isKnown(state) ? 1 : 0 })),
  };
  yield {
    name: 'relight_workload_restarts_total',
    help: 'Restarts by level.',
    type: 'counter',
    samples: workloads.flatMap(({ status, labels }) =>
      levels.map((level) => ({ labels: { ...labels, level }, value: status.restarts[level] })),
    ),
  };
  yield* acceleratorMetrics(hosts);
  yield* agentMetrics(hosts);
  yield {
    name: 'relight_workload_starts_total',
    help: 'Attempts to become ready, and how many of them did; their ratio is the success rate.',
    type: 'counter',
    samples: workloads.flatMap(({ status: { recoveries }, labels }) =>
      recoveries === undefined
        ? []
        : [
            { labels: { ...labels, outcome: 'attempted' }, value: recoveries.attempted },
            { labels: { ...labels, outcome: 'ready' }, value: recoveries.succeeded },
          ],
    ),
  };
  yield { name: 'relight_alerts', help: 'Firing alerts by rule and severity.', type: 'gauge', samples: alertSamples(store) };
}

function alertSamples(store: Store): MetricSample[] {
  const counts = new Map<string, number>(
    ruleNames.flatMap((rule) => ['warning', 'critical'].map((severity) => [`${rule} ${severity}`, 0] as const)),
  );
  for (const { rule, severity } of store.alerts({ state: 'firing', limit: alertsMax })) {
    counts.set(`${rule} ${severity}`, (counts.get(`${rule} ${severity}`) ?? 0) + 1);
  }
  return [...counts].map(([key, value]) => {
    const [rule = '', severity = ''] = key.split(' ');
    return { labels: { rule, severity }, value };
  });
}

export function processMetrics(version: string): MetricFamily[] {
  const { rss, heapUsed } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  const one = (value: number): MetricSample[] => [{ value }];
  const startedAt = Date.now() / 1000 - process.uptime();
  return [
    { name: 'relight_build_info', help: 'Version of the collector.', type: 'gauge', samples: [{ labels: { version }, value: 1 }] },
    { name: 'process_cpu_seconds_total', help: 'CPU time used.', type: 'counter', samples: one((user + system) / 1e6) },
    { name: 'process_resident_memory_bytes', help: 'Resident memory.', type: 'gauge', samples: one(rss) },
    { name: 'process_start_time_seconds', help: 'Start of the process since the epoch.', type: 'gauge', samples: one(startedAt) },
    { name: 'nodejs_heap_size_used_bytes', help: 'Used JavaScript heap.', type: 'gauge', samples: one(heapUsed) },
  ];
}
