/**
 * The host's metrics, every 10 s. Six small files of /proc, read at once, and statfs on disks that are named; a sample costs
 * well under a millisecond of CPU. What cannot be read is absent from the sample.
 *
 * statfs on a dead FUSE or network file system never returns. So only file systems known to be local are asked (the mount
 * table tells, without touching the path), and a disk whose last answer is still out is not asked again.
 */
import { onBeat } from '@relight/shared/beat';
import type { Clock, Timer } from '@relight/shared/clock';
import type { HostMetrics } from '@relight/shared/status';
import { readFileSync, type StatsFs } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseMemoryStalled } from './resources.ts';
import { type CpuTicks, mountOf, parseCpuTicks, parseLoad1, parseMemory, parseNetworkBytes } from './proc.ts';
import { parseMountinfo, type MountEntry } from '../stages/proc.ts';

export const metricsIntervalMs = 10_000;
/** Shares and rates over less than this say more about the moment of sampling than about the host. */
const windowMsMin = 1_000;
/** A local disk answers in microseconds; one that does not is left out of this sample. */
const statfsDeadlineMs = 1_000;
const localTypes = new Set('ext2 ext3 ext4 xfs btrfs zfs f2fs bcachefs jfs reiserfs overlay tmpfs ramfs vfat exfat ntfs3'.split(' '));

type Disk = HostMetrics['disks'][number];

export interface MetricsOptions {
  readonly clock: Clock;
  /** Absolute paths, one per disk of interest: state directory, engine root. Two on one disk count once. */
  readonly disks: readonly string[];
  readonly procRoot?: string;
  readonly residentBytes?: () => number;
  readonly statfs?: (path: string) => Promise<StatsFs>;
}

interface Counters {
  readonly at: number;
  readonly cpu: CpuTicks | undefined;
  readonly network: { readonly receive: number; readonly transmit: number } | undefined;
}

export class MetricsSampler {
  readonly #clock: Clock;
  #disks: readonly string[];
  readonly #procRoot: string;
  readonly #residentBytes: () => number;
  readonly #statfs: (path: string) => Promise<StatsFs>;
  readonly #outstanding = new Set<string>();
  #last: Counters;
  /** Hosts have hundreds of mounts, and the same ones for days. */
  #mounts: { readonly text: string; readonly list: readonly MountEntry[] } = { text: '', list: [] };
  #timer: Timer | null = null;

  constructor(options: MetricsOptions) {
    this.#clock = options.clock;
    this.#disks = [...new Set(options.disks.map((path) => resolve(path)))];
    this.#procRoot = options.procRoot ?? '/proc';
    this.#residentBytes = options.residentBytes ?? (() => process.memoryUsage.rss());
    this.#statfs = options.statfs ?? ((path) => statfs(path));
    this.#last = this.#readCounters();
  }

  /** One more disk of interest, known only now: the engine's root. */
  watchDisk(path: string): void {
    this.#disks = [...new Set([...this.#disks, resolve(path)])];
  }

  /** Samples at once and then every 10 s, until disposed. */
  start(onSample: (metrics: HostMetrics) => void): void {
    const tick = async (): Promise<void> => {
      const timer = onBeat(this.#clock, metricsIntervalMs, () => void tick());
      this.#timer = timer;
      const sample = await this.sample();
      if (this.#timer === timer) onSample(sample);
    };
    void tick();
  }

  dispose(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** Rates and shares are over the time since the previous sample (or since construction). Never rejects. */
  async sample(): Promise<HostMetrics> {
    const before = this.#last;
    const now = this.#readCounters();
    this.#last = now;
    const elapsed = now.at - before.at;
    const memory = parseMemory(this.#read('meminfo'));
    return {
      at: this.#clock.now(),
      ...present({
        load1: parseLoad1(this.#read('loadavg')),
        cpuUsed: elapsed < windowMsMin ? undefined : cpuShare(before.cpu, now.cpu),
        memoryTotalBytes: memory.totalBytes,
        memoryAvailableBytes: memory.availableBytes,
        memoryStalled: parseMemoryStalled(this.#read('pressure/memory')),
        networkReceiveBytesPerSecond: rate(before.network?.receive, now.network?.receive, elapsed),
        networkTransmitBytesPerSecond: rate(before.network?.transmit, now.network?.transmit, elapsed),
        agentResidentBytes: this.#residentBytes(),
      }),
      disks: await this.#sampleDisks(),
    };
  }

  #readCounters(): Counters {
    return {
      at: this.#clock.monotonic(),
      cpu: parseCpuTicks(this.#read('stat')),
      network: parseNetworkBytes(this.#read('net/dev')),
    };
  }

  /** '' for a file that is not there: containers and hardened hosts hide parts of /proc. */
  #read(name: string): string {
    try {
      return readFileSync(`${this.#procRoot}/${name}`, 'latin1');
    } catch {
      return '';
    }
  }

  async #sampleDisks(): Promise<Disk[]> {
    if (this.#disks.length === 0) return [];
    const text = this.#read('self/mountinfo');
    if (text !== this.#mounts.text) this.#mounts = { text, list: parseMountinfo(text) };
    const seen = new Set<string>();
    const asked = this.#disks.flatMap((path) => {
      const mount = mountOf(this.#mounts.list, path);
      if (mount === undefined || !localTypes.has(mount.fsType) || seen.has(mount.mountPoint)) return [];
      seen.add(mount.mountPoint);
      return [this.#sampleDisk(path)];
    });
    return (await Promise.all(asked)).filter((disk) => disk !== null);
  }

  async #sampleDisk(path: string): Promise<Disk | null> {
    if (this.#outstanding.has(path)) return null;
    this.#outstanding.add(path);
    const { promise: late, resolve: giveUp } = Promise.withResolvers<null>();
    const timer = this.#clock.after(statfsDeadlineMs, () => giveUp(null));
    const answer = this.#statfs(path).then(
      (stats): Disk => ({
        path,
        totalBytes: stats.blocks * stats.bsize,
        freeBytes: stats.bavail * stats.bsize,
        // Btrfs and some others have no inodes to run out of, and say 0 of 0.
        ...(stats.files > 0 ? { inodesFree: stats.ffree, inodesTotal: stats.files } : {}),
      }),
      () => null,
    );
    void answer.finally(() => this.#outstanding.delete(path));
    try {
      return await Promise.race([answer, late]);
    } finally {
      timer.cancel();
    }
  }
}

/** 0…1; undefined when no time has passed or a counter ran backwards. */
export function cpuShare(before: CpuTicks | undefined, now: CpuTicks | undefined): number | undefined {
  if (before === undefined || now === undefined) return undefined;
  const total = now.total - before.total;
  const busy = now.busy - before.busy;
  return total > 0 && busy >= 0 ? Math.min(1, busy / total) : undefined;
}

/** Per second; undefined when hardly any time has passed or the counter began anew (an interface went away). */
export function rate(before: number | undefined, now: number | undefined, elapsedMs: number): number | undefined {
  if (before === undefined || now === undefined || elapsedMs < windowMsMin || now < before) return undefined;
  return ((now - before) * 1_000) / elapsedMs;
}

/** Without the undefined ones: absent, not null, is the wire's word for "could not be read". */
export function present<T extends Record<string, number | undefined>>(values: T): { [K in keyof T]?: number } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: number };
}
