/** From the engine's documents to our facts. Pure. */
import { runDirectoryTarget } from '../stages/runs.ts';
import type { ContainerFacts, ContainerStats, ContainerStatus, EngineInfo } from './engine.ts';

/** The part of `GET /containers/ID/json` that is read. */
export interface InspectDocument {
  readonly Id: string;
  readonly Name: string;
  readonly Created: string;
  readonly Image: string;
  readonly RestartCount?: number;
  readonly LogPath?: string;
  readonly State: {
    readonly Status: ContainerStatus;
    readonly Pid: number;
    readonly ExitCode: number;
    readonly OOMKilled: boolean;
    readonly Error: string;
    readonly StartedAt: string;
    readonly FinishedAt: string;
  };
  readonly Config: {
    readonly Image: string;
    readonly Tty: boolean;
    readonly User: string;
    readonly Labels: Readonly<Record<string, string>> | null;
  };
  readonly HostConfig: {
    readonly RestartPolicy?: { readonly Name: string };
    readonly LogConfig?: { readonly Type: string };
  };
  readonly Mounts?: readonly { readonly Source: string; readonly Destination: string }[];
}

export function containerFacts(document: InspectDocument): ContainerFacts {
  const { State: state, Config: config, HostConfig: host } = document;
  const startedAt = timeOrNull(state.StartedAt);
  return {
    id: document.Id,
    name: document.Name.replace(/^\//, ''),
    image: config.Image,
    imageId: document.Image,
    labels: config.Labels ?? {},
    status: state.Status,
    pid: state.Pid,
    createdAt: timeOrNull(document.Created) ?? 0,
    startedAt,
    finishedAt: finishedAt(state, startedAt),
    exitCode: exitCode(state, startedAt),
    oomKilled: state.OOMKilled,
    error: state.Error,
    restartPolicy: host.RestartPolicy?.Name || 'no',
    restartCount: document.RestartCount ?? 0,
    logDriver: host.LogConfig?.Type ?? '',
    logPath: document.LogPath ?? '',
    tty: config.Tty,
    user: config.User,
    runDirectory: document.Mounts?.find((mount) => mount.Destination === runDirectoryTarget)?.Source ?? '',
  };
}

/** One that the engine is about to start again by a restart policy has ended as well. */
const isOver = ({ Status }: InspectDocument['State']): boolean => Status === 'exited' || Status === 'dead' || Status === 'restarting';

/** The engine says 0 for a container that runs or never ran; a failed start leaves a code without a start time. */
function exitCode(state: InspectDocument['State'], startedAt: number | null): number | null {
  if (isOver(state)) return state.ExitCode;
  return startedAt === null && state.ExitCode !== 0 ? state.ExitCode : null;
}

/**
 * Start and end are stamped by different programs: a process that ends at once may end a millisecond before it started. Of
 * a running container it is the end of the run before.
 */
function finishedAt(state: InspectDocument['State'], startedAt: number | null): number | null {
  const finished = timeOrNull(state.FinishedAt);
  return isOver(state) && finished !== null && startedAt !== null ? Math.max(finished, startedAt) : finished;
}

/** The engine's zero time is the year 1. Nanoseconds are cut to milliseconds. */
function timeOrNull(text: string): number | null {
  const ms = Date.parse(text);
  return Number.isNaN(ms) || ms <= 0 ? null : ms;
}

/** The part of `GET /info` that is read. */
export interface InfoDocument {
  readonly ID: string;
  readonly ServerVersion: string;
  readonly LiveRestoreEnabled?: boolean;
  readonly Runtimes?: Readonly<Record<string, unknown>>;
  readonly CgroupVersion?: string;
  readonly DockerRootDir: string;
  readonly Driver?: string;
  readonly CgroupDriver?: string;
}

export function engineInfo(document: InfoDocument, apiVersion: string): EngineInfo {
  return {
    id: document.ID,
    version: document.ServerVersion,
    apiVersion,
    liveRestore: document.LiveRestoreEnabled ?? false,
    runtimes: Object.keys(document.Runtimes ?? {}),
    cgroupVersion: document.CgroupVersion ?? '1',
    rootDirectory: document.DockerRootDir,
    ...(document.Driver === undefined ? {} : { storageDriver: document.Driver }),
    ...(document.CgroupDriver === undefined ? {} : { cgroupDriver: document.CgroupDriver }),
  };
}

/** The part of `GET /containers/ID/stats` that is read. */
export interface StatsDocument {
  readonly cpu_stats?: { readonly cpu_usage?: { readonly total_usage?: number } };
  readonly memory_stats?: { readonly usage?: number; readonly limit?: number; readonly stats?: Readonly<Record<string, number>> };
  readonly pids_stats?: { readonly current?: number };
}

/** Null for a container that does not run: the engine answers with empty statistics. */
export function containerStats(document: StatsDocument): ContainerStats | null {
  const memory = document.memory_stats;
  if (memory?.usage === undefined) return null;
  // As `docker stats` counts: without the page cache that can be dropped at once. The first name is cgroup v1's, the second v2's.
  const reclaimable = memory.stats?.['total_inactive_file'] ?? memory.stats?.['inactive_file'] ?? 0;
  return {
    cpuNs: document.cpu_stats?.cpu_usage?.total_usage ?? 0,
    memoryBytes: reclaimable < memory.usage ? memory.usage - reclaimable : memory.usage,
    memoryLimitBytes: memory.limit ?? 0,
    pids: document.pids_stats?.current ?? 0,
  };
}
