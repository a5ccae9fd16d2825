/** GPUs and TPUs for /metrics: how they are and what they do, as their hosts last said. */
import type { Accelerator } from '@relight/shared/status';
import type { HostRecord } from '../store/store.ts';
import type { MetricFamily } from './metrics-text.ts';

const healths: Readonly<Record<Accelerator['health'], number>> = { ok: 0, degraded: 1, failed: 2 };

const measured: readonly (readonly [metric: string, name: string, help: string])[] = [
  ['utilisation', 'relight_accelerator_utilisation_ratio', 'Share of the time in which the accelerator worked, 0 to 1.'],
  ['memoryUsedBytes', 'relight_accelerator_memory_used_bytes', 'Memory of the accelerator in use.'],
  ['memoryTotalBytes', 'relight_accelerator_memory_bytes', 'Memory of the accelerator.'],
  ['temperatureCelsius', 'relight_accelerator_temperature_celsius', 'Temperature of the accelerator.'],
  ['powerWatts', 'relight_accelerator_power_watts', 'Power that the accelerator draws.'],
  ['eccUncorrectable', 'relight_accelerator_ecc_uncorrectable', 'Memory errors that could not be corrected since the driver was loaded.'],
];

/** Each family is made when it is asked for. */
export function* acceleratorMetrics(hosts: readonly HostRecord[]): Generator<MetricFamily> {
  const all = hosts.flatMap(({ name: host, accelerators = [] }) =>
    accelerators.map((accelerator) => ({
      accelerator,
      labels: { host, kind: accelerator.kind, index: String(accelerator.index), id: accelerator.id },
    })),
  );
  yield {
    name: 'relight_accelerator_health',
    help: '0: ok, 1: degraded, 2: failed.',
    type: 'gauge',
    samples: all.map(({ accelerator, labels }) => ({ labels, value: healths[accelerator.health] })),
  };
  for (const [metric, name, help] of measured) {
    const samples = all.flatMap(({ accelerator, labels }) => {
      const value = accelerator.metrics[metric];
      return value === undefined ? [] : [{ labels, value }];
    });
    yield { name, help, type: 'gauge', samples };
  }
}
