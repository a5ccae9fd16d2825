/** Pure: where a container's counters stand in the file system, for cgroup v1, v2 and both at once (hybrid). */
import type { MountEntry } from '../stages/proc.ts';

/** Directories to read; absent ones have no such controller here. */
export interface CgroupDirectories {
  readonly version: 1 | 2;
  readonly cpu?: string;
  readonly memory?: string;
  readonly pids?: string;
}

interface Membership {
  /** Empty for v2. */
  readonly controllers: readonly string[];
  readonly path: string;
}

/** /proc/PID/cgroup: `ID:CONTROLLERS:PATH`, v2 being `0::PATH`. */
export function parseMemberships(text: string): readonly Membership[] {
  return [...text.matchAll(/^\d+:([^:]*):(.+)$/gm)].map(([, controllers = '', path = '']) => ({
    controllers: controllers === '' ? [] : controllers.split(','),
    path,
  }));
}

/**
 * Null: not readable from here (another cgroup namespace, a cgroup parent that does not name the container), or the pid
 * belongs to someone else by now. The container's own directory is meant: its first process may have moved itself into a
 * sub-directory of it, as systemd does.
 */
export function locateCgroup(
  memberships: readonly Membership[],
  mounts: readonly MountEntry[],
  containerId: string,
): CgroupDirectories | null {
  const find = (controller: string): string | undefined => {
    const membership = memberships.find(({ controllers }) => controllers.includes(controller));
    const mount = mounts.find(({ fsType, superOptions }) => fsType === 'cgroup' && superOptions?.includes(controller) === true);
    return directory(membership, mount, containerId);
  };
  const v1 = { cpu: find('cpuacct'), memory: find('memory'), pids: find('pids') };
  if (v1.cpu !== undefined || v1.memory !== undefined) {
    return { version: 1, ...Object.fromEntries(Object.entries(v1).filter(([, path]) => path !== undefined)) };
  }
  const unified = directory(
    memberships.find(({ controllers }) => controllers.length === 0),
    mounts.find(({ fsType }) => fsType === 'cgroup2'),
    containerId,
  );
  return unified === undefined ? null : { version: 2, cpu: unified, memory: unified, pids: unified };
}

/** Where a container is frozen as a whole. */
export interface Freezer {
  readonly version: 1 | 2;
  /** The container's. */
  readonly directory: string;
  /** Of the process that the memberships are of: the same, or below it. */
  readonly home: string;
}

/** Null: for the reasons of `locateCgroup`. */
export function locateFreezer(memberships: readonly Membership[], mounts: readonly MountEntry[], containerId: string): Freezer | null {
  const among = (version: 1 | 2, membership: Membership | undefined, mount: MountEntry | undefined): Freezer | null => {
    const container = directory(membership, mount, containerId);
    if (membership === undefined || mount === undefined || container === undefined) return null;
    return { version, directory: container, home: below(mount, membership.path) ?? container };
  };
  const v1 = among(
    1,
    memberships.find(({ controllers }) => controllers.includes('freezer')),
    mounts.find(({ fsType, superOptions }) => fsType === 'cgroup' && superOptions?.includes('freezer') === true),
  );
  const unified = memberships.find(({ controllers }) => controllers.length === 0);
  return (
    v1 ??
    among(
      2,
      unified,
      mounts.find(({ fsType }) => fsType === 'cgroup2'),
    )
  );
}

function directory(membership: Membership | undefined, mount: MountEntry | undefined, containerId: string): string | undefined {
  if (membership === undefined || mount === undefined) return undefined;
  const parts = membership.path.split('/');
  const depth = parts.findIndex((part) => part.includes(containerId));
  if (depth < 0 || parts.includes('..')) return undefined;
  return below(mount, parts.slice(0, depth + 1).join('/'));
}

function below(mount: MountEntry, path: string): string | undefined {
  if (mount.root === '/') return mount.mountPoint + path;
  return path.startsWith(`${mount.root}/`) ? mount.mountPoint + path.slice(mount.root.length) : undefined;
}

export interface CgroupFiles {
  readonly version: 1 | 2;
  readonly cpu: string;
  readonly memoryUsage: string;
  readonly memoryStat: string;
  readonly memoryLimit: string;
  readonly pids: string;
}

export interface CgroupReading {
  /** CPU time used since the container began. */
  readonly cpuNs?: number;
  /** Without the page cache that the kernel would give back first, as `docker stats` counts. */
  readonly memoryBytes?: number;
  /** Absent: unlimited. */
  readonly memoryLimitBytes?: number;
  readonly pids?: number;
}

/** v1 says "unlimited" with the largest multiple of the page size below 2^63. */
const unlimitedFrom = 2 ** 62;

/** Content of the files, '' for one that could not be read. */
export function parseCgroup(files: CgroupFiles): CgroupReading {
  const v2 = files.version === 2;
  const usageUs = count(/^usage_usec (\d+)$/m.exec(files.cpu)?.[1]);
  const cpuNs = v2 ? (usageUs === undefined ? undefined : usageUs * 1_000) : count(files.cpu);
  const usage = count(files.memoryUsage);
  const cache = count((v2 ? /^inactive_file (\d+)$/m : /^total_inactive_file (\d+)$/m).exec(files.memoryStat)?.[1]) ?? 0;
  const limit = count(files.memoryLimit);
  const pids = count(files.pids);
  return {
    ...(cpuNs === undefined ? {} : { cpuNs }),
    ...(usage === undefined ? {} : { memoryBytes: Math.max(0, usage - cache) }),
    ...(limit === undefined || limit >= unlimitedFrom ? {} : { memoryLimitBytes: limit }),
    ...(pids === undefined ? {} : { pids }),
  };
}

/** A bare non-negative integer; `max` and '' are none. */
function count(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? '';
  return /^\d+$/.test(trimmed) ? Number(trimmed) : undefined;
}
