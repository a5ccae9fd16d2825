/** One line of what a host last said of itself: `ready, load 0.3` or `2 of 3 ready, w2 back-off, load 7.1`. Pure. */
import type { HostMetrics, WorkloadStatus } from '@relight/shared/status';

export function lastKnown(workloads: readonly WorkloadStatus[], metrics: HostMetrics | null): string {
  const parts: string[] = [];
  const unready = workloads.filter(({ phase }) => phase !== 'ready');
  if (workloads.length === 1) parts.push(workloads[0]?.phase ?? '');
  else if (workloads.length > 1)
    parts.push(
      unready.length === 0 ? `all ${workloads.length} ready` : `${workloads.length - unready.length} of ${workloads.length} ready`,
    );
  if (workloads.length > 1) parts.push(...unready.slice(0, 3).map(({ name, phase }) => `${name} ${phase}`));
  if (metrics?.load1 !== undefined) parts.push(`load ${metrics.load1.toFixed(1)}`);
  return parts.length === 0 ? 'nothing' : parts.join(', ');
}
