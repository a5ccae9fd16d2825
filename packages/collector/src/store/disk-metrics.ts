/** The disk of the data directory, for /metrics. */
import { statfsSync } from 'node:fs';
import type { MetricFamily, MetricSample } from '../api/metrics-text.ts';

/** Bytes of the file system that holds `dataDir`: all, and what its account may still write. No sample where that cannot be told. */
export function diskMetrics(dataDir: string, stat: typeof statfsSync = statfsSync): MetricFamily[] {
  const disk = statOf(dataDir, stat);
  const gauge = (name: string, help: string, samples: MetricSample[]): MetricFamily => ({ name, help, type: 'gauge', samples });
  return [
    gauge('relight_store_disk_size_bytes', 'Size of the file system of the data directory.', disk.size),
    gauge('relight_store_disk_free_bytes', 'What can still be written to the file system of the data directory.', disk.free),
  ];
}

function statOf(dataDir: string, stat: typeof statfsSync): { readonly size: MetricSample[]; readonly free: MetricSample[] } {
  try {
    const { blocks, bavail, bsize } = stat(dataDir);
    return { size: [{ value: blocks * bsize }], free: [{ value: bavail * bsize }] };
  } catch {
    // The rest of the page is worth more than these two.
    return { size: [], free: [] };
  }
}
