/**
 * Whom a file system of this host concerns: a disk that nothing of ours lies on explains no failure of ours, whatever its state.
 * Pure, by the mount tables.
 */
import { isFuse, type MountEntry } from '../stages/proc.ts';
import { mountOf } from './proc.ts';

/** `host`: every workload, for the state directory or the engine's data lies there. */
export type Concern = 'host' | readonly string[];

export interface Tables {
  /** As the agent sees them. */
  readonly host: readonly MountEntry[];
  readonly stateDir: string;
  /** The engine's data; null: the engine has not told yet. */
  readonly engineRoot: string | null;
  readonly containers: readonly { readonly workload: string; readonly mounts: readonly MountEntry[] }[];
}

/** Workloads by the device of a file system that their containers have, or had while it was mounted. */
export type Users = ReadonlyMap<string, ReadonlySet<string>>;

/** A container that has fallen of its disk has no table any more: who used it before is kept. */
export function usersOf({ host, containers }: Pick<Tables, 'host' | 'containers'>, before: Users): Users {
  const there = new Set(host.map(({ device }) => device));
  const users = new Map([...before].filter(([device]) => there.has(device)).map(([device, names]) => [device, new Set(names)] as const));
  for (const { workload, mounts } of containers) {
    for (const { device } of mounts.filter((mount) => isDisk(mount) && there.has(mount.device))) {
      const names = users.get(device) ?? new Set();
      users.set(device, names.add(workload));
    }
  }
  return users;
}

/** `isMeant`: the mounts on this host of the file system that is asked about. */
export function concernOf(isMeant: (mount: MountEntry) => boolean, { host, stateDir, engineRoot }: Tables, users: Users): Concern {
  const devices = new Set(host.filter(isMeant).map(({ device }) => device));
  if ([stateDir, engineRoot].some((path) => path !== null && devices.has(mountOf(host, path)?.device ?? ''))) return 'host';
  return [...new Set([...devices].flatMap((device) => [...(users.get(device) ?? [])]))];
}

/** A mount of a FUSE program has checks of its own; overlays and the kernel's file systems are nobody's disk. */
export const isDisk = (mount: MountEntry): boolean => !isFuse(mount) && !notDisks.has(mount.fsType);

const notDisks: ReadonlySet<string> = new Set('overlay proc sysfs cgroup cgroup2 devpts mqueue devtmpfs securityfs'.split(' '));
