/**
 * CPU, memory and pids of every workload's container, straight from its cgroup files: five reads, where the engine's own
 * `stats` call costs a request and, on older engines, a second of waiting. The engine is asked only where the files cannot
 * be reached.
 */
import type { Clock } from '@relight/shared/clock';
import type { WorkloadMetrics } from '@relight/shared/status';
import { readFileSync } from 'node:fs';
import type { ContainerStats } from '../engine/engine.ts';
import { type CgroupDirectories, type CgroupReading, locateCgroup, parseCgroup, parseMemberships } from './cgroup.ts';
import { present, rate } from './metrics.ts';
import { type MountEntry, parseMountinfo } from '../stages/proc.ts';

export interface MeasuredContainer {
  readonly id: string;
  /** Host pid of the first process. */
  readonly pid: number;
}

export interface WorkloadMetricsOptions {
  readonly clock: Clock;
  /** The engine's answer; null when there is no such container. A failure costs this sample, nothing else. */
  readonly stats: (containerId: string) => Promise<ContainerStats | null>;
  /** A limit above it is no limit: containers without one are measured against the host. */
  readonly hostMemoryBytes: number;
  readonly procRoot?: string;
}

interface Tracked {
  readonly pid: number;
  /** Null: ask the engine. */
  readonly directories: CgroupDirectories | null;
  readonly cpu: { readonly at: number; readonly ns: number } | null;
}

export class WorkloadMetricsSampler {
  readonly #options: WorkloadMetricsOptions;
  readonly #procRoot: string;
  #tracked = new Map<string, Tracked>();
  #cgroupMounts: readonly MountEntry[] | null = null;

  constructor(options: WorkloadMetricsOptions) {
    this.#options = options;
    this.#procRoot = options.procRoot ?? '/proc';
  }

  /** By the keys given (workload names). Containers that are not named any more are forgotten. Never rejects. */
  async sample(containers: ReadonlyMap<string, MeasuredContainer>): Promise<ReadonlyMap<string, WorkloadMetrics>> {
    const tracked = new Map<string, Tracked>();
    const samples = await Promise.all(
      [...containers].map(async ([name, container]): Promise<[string, WorkloadMetrics][]> => {
        const known = this.#tracked.get(container.id);
        const before = known?.pid === container.pid ? known : { pid: container.pid, directories: null, cpu: null };
        const directories = before.directories ?? this.#locate(container);
        const reading = await this.#read(container.id, directories);
        if (reading === null) return [];
        const at = this.#options.clock.monotonic();
        const cpu = reading.cpuNs === undefined ? null : { at, ns: reading.cpuNs };
        tracked.set(container.id, { pid: container.pid, directories, cpu });
        const nsPerSecond = before.cpu === null ? undefined : rate(before.cpu.ns, cpu?.ns, at - before.cpu.at);
        return [[name, this.#metrics(reading, nsPerSecond)]];
      }),
    );
    this.#tracked = tracked;
    return new Map(samples.flat());
  }

  #metrics(reading: CgroupReading, nsPerSecond: number | undefined): WorkloadMetrics {
    return present({
      cpuCores: nsPerSecond === undefined ? undefined : nsPerSecond / 1e9,
      memoryBytes: reading.memoryBytes,
      memoryLimitBytes: Math.min(reading.memoryLimitBytes ?? Number.POSITIVE_INFINITY, this.#options.hostMemoryBytes),
      pids: reading.pids,
    });
  }

  #locate(container: MeasuredContainer): CgroupDirectories | null {
    this.#cgroupMounts ??= parseMountinfo(readText(`${this.#procRoot}/self/mountinfo`)).filter(({ fsType }) => fsType.startsWith('cgroup'));
    return locateCgroup(parseMemberships(readText(`${this.#procRoot}/${container.pid}/cgroup`)), this.#cgroupMounts, container.id);
  }

  /** Null: it is gone, or nobody can tell just now. */
  async #read(id: string, directories: CgroupDirectories | null): Promise<CgroupReading | null> {
    if (directories === null) return this.#options.stats(id).catch(() => null);
    const v2 = directories.version === 2;
    const file = (directory: string | undefined, v1Name: string, v2Name: string): string =>
      directory === undefined ? '' : readText(`${directory}/${v2 ? v2Name : v1Name}`);
    const reading = parseCgroup({
      version: directories.version,
      memoryUsage: file(directories.memory, 'memory.usage_in_bytes', 'memory.current'),
      memoryStat: file(directories.memory, 'memory.stat', 'memory.stat'),
      memoryLimit: file(directories.memory, 'memory.limit_in_bytes', 'memory.max'),
      pids: file(directories.pids, 'pids.current', 'pids.current'),
      // The last: it alone is measured against the clock, which is looked at when all have been read.
      cpu: file(directories.cpu, 'cpuacct.usage', 'cpu.stat'),
    });
    return Object.keys(reading).length === 0 ? null : reading;
  }
}

/** '' for what is not there: the container may end between two reads. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
