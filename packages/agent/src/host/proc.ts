/** Pure readers of the few /proc files that are sampled. Undefined or empty: the file does not have it. */
import type { MountEntry } from '../stages/proc.ts';

export function parseLoad1(loadavg: string): number | undefined {
  return numberOrUndefined(loadavg.split(' ')[0]);
}

/** Clock ticks since boot, all cores together. */
export interface CpuTicks {
  readonly busy: number;
  readonly total: number;
}

/** First line of /proc/stat: user nice system idle iowait irq softirq steal (guest is in user already). */
export function parseCpuTicks(stat: string): CpuTicks | undefined {
  const ticks = /^cpu +([\d ]+)$/m.exec(stat)?.[1]?.trim().split(' ').slice(0, 8).map(Number);
  if (ticks === undefined || ticks.length < 4) return undefined;
  const total = ticks.reduce((sum, n) => sum + n, 0);
  return { busy: total - (ticks[3] ?? 0) - (ticks[4] ?? 0), total };
}

/** Bytes; `kB` in /proc/meminfo means 1024. */
export function parseMemory(meminfo: string): { readonly totalBytes?: number; readonly availableBytes?: number } {
  const field = (name: string): number | undefined => {
    const kib = numberOrUndefined(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo)?.[1]);
    return kib === undefined ? undefined : kib * 1024;
  };
  const totalBytes = field('MemTotal');
  const availableBytes = field('MemAvailable');
  return { ...(totalBytes === undefined ? {} : { totalBytes }), ...(availableBytes === undefined ? {} : { availableBytes }) };
}

/** A container's traffic passes its veth, a bridge and the card: only the last one counts, or it would count three times. */
const inner = /^(?:lo|veth|docker|br-|virbr|cni|cali|flannel|cilium|lxc|podman|dummy|ifb)/;

/** Sums since boot. Undefined: no interface that leads out of the host. */
export function parseNetworkBytes(netDev: string): { readonly receive: number; readonly transmit: number } | undefined {
  let sums: { receive: number; transmit: number } | undefined;
  for (const [, name = '', numbers = ''] of netDev.matchAll(/^\s*([^\s:|]+):\s*([\d ]+)$/gm)) {
    if (inner.test(name)) continue;
    const columns = numbers.trim().split(/ +/).map(Number);
    sums = { receive: (sums?.receive ?? 0) + (columns[0] ?? 0), transmit: (sums?.transmit ?? 0) + (columns[8] ?? 0) };
  }
  return sums;
}

/** The mount an absolute path lies on, by its text alone: nothing is touched. */
export function mountOf(mounts: readonly MountEntry[], path: string): MountEntry | undefined {
  return mounts
    .filter(({ mountPoint }) => mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`))
    .reduce<MountEntry | undefined>(
      (best, mount) => (best === undefined || mount.mountPoint.length >= best.mountPoint.length ? mount : best),
      undefined,
    );
}

function numberOrUndefined(text: string | undefined): number | undefined {
  if (text === undefined || text.trim() === '') return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}
