/** Disks, inodes and memory of a host → conditions. Pure. With hysteresis: what hovers around a limit must not flap. */
import type { HostMetrics } from '@relight/shared/status';
import { formatBytes } from '@relight/shared/units';
import type { ReportedCondition } from './condition-diff.ts';

type Disk = HostMetrics['disks'][number];

/** The field alerts at 5 % free. Over again only well above. */
export const limits = {
  diskLow: { raise: 0.05, clear: 0.07 },
  inodesLow: { raise: 0.05, clear: 0.07 },
  /** Bytes: below this the next log line or layer may be the one that fails. */
  diskFull: { raise: 16 * 1024 ** 2, clear: 128 * 1024 ** 2 },
  memory: { raise: 0.05, clear: 0.08 },
  /** Share of the last minute in which every runnable task waited for memory (PSI `full avg60`). */
  stalled: { raise: 0.2, clear: 0.1 },
} as const;

/** `raised`: the names and subjects of this source that are raised now. */
export function resourceConditions(
  metrics: HostMetrics,
  raised: readonly Pick<ReportedCondition, 'name' | 'subject'>[],
): ReportedCondition[] {
  const isRaised = (name: string, subject: string): boolean => raised.some((one) => one.name === name && one.subject === subject);
  return [...metrics.disks.flatMap((disk) => diskConditions(disk, isRaised)), ...memoryConditions(metrics, isRaised)];
}

type IsRaised = (name: string, subject: string) => boolean;

const limitOf = ({ raise, clear }: { readonly raise: number; readonly clear: number }, isRaised: boolean): number =>
  isRaised ? clear : raise;

function diskConditions({ path, totalBytes, freeBytes, inodesFree, inodesTotal }: Disk, isRaised: IsRaised): ReportedCondition[] {
  const found: ReportedCondition[] = [];
  const reason = `${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} free (${percent(freeBytes, totalBytes)})`;
  // A disk that is small altogether is not full because little is free.
  const fullAt = Math.min(limitOf(limits.diskFull, isRaised('disk-full', path)), totalBytes * 0.01);
  if (totalBytes > 0 && freeBytes < fullAt)
    found.push({ name: 'disk-full', subject: path, severity: 'critical', reason, advice: diskAdvice });
  else if (totalBytes > 0 && freeBytes <= totalBytes * limitOf(limits.diskLow, isRaised('disk-low', path) || isRaised('disk-full', path))) {
    found.push({ name: 'disk-low', subject: path, severity: 'warning', reason, advice: diskAdvice });
  }
  if (inodesFree !== undefined && inodesTotal !== undefined && inodesTotal > 0) {
    if (inodesFree <= inodesTotal * limitOf(limits.inodesLow, isRaised('inodes-low', path))) {
      found.push({
        name: 'inodes-low',
        subject: path,
        severity: inodesFree === 0 ? 'critical' : 'warning',
        reason: `${inodesFree} of ${inodesTotal} inodes free (${percent(inodesFree, inodesTotal)}): no new files when they are gone, whatever space is left`,
        advice: 'Find the directory with the many small files (du --inodes -x) and remove them.',
      });
    }
  }
  return found;
}

const diskAdvice =
  'Free space: old images and containers (docker system df, docker system prune), checkpoints, core dumps, /tmp. Relight removes nothing by itself.';

function memoryConditions(metrics: HostMetrics, isRaised: IsRaised): ReportedCondition[] {
  const { memoryAvailableBytes: available, memoryTotalBytes: total, memoryStalled: stalled } = metrics;
  const held = isRaised('memory-pressure', '');
  const short = available !== undefined && total !== undefined && total > 0 && available < total * limitOf(limits.memory, held);
  const stuck = stalled !== undefined && stalled >= limitOf(limits.stalled, held);
  if (!short && !stuck) return [];
  const parts = [
    ...(available === undefined || total === undefined ? [] : [`${formatBytes(available)} of ${formatBytes(total)} available`]),
    ...(stuck ? [`everything waited for memory ${Math.round(stalled * 100)} % of the last minute`] : []),
  ];
  return [
    {
      name: 'memory-pressure',
      subject: '',
      severity: 'warning',
      reason: parts.join('; '),
      advice: 'Lower what runs on this host, or give its containers memory limits: the kernel kills something soon.',
    },
  ];
}

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;

/** /proc/pressure/memory → the share of the last minute in which nothing could run for want of memory. Undefined: the kernel does not tell. */
export function parseMemoryStalled(pressure: string): number | undefined {
  const avg60 = /^full avg10=[\d.]+ avg60=([\d.]+) /m.exec(pressure)?.[1];
  return avg60 === undefined ? undefined : Number(avg60) / 100;
}
