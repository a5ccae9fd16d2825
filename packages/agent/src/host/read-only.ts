/**
 * A file system that became read-only under whoever writes there: a disk after errors, or somebody's `mount -o remount,ro`, of which
 * the kernel log says nothing. The mount tables tell, and no path is touched. Pure.
 *
 * In a container it shows as a mount that may be written to on a file system that may not. In one that was made afterwards the mount
 * is read-only, too, as where nobody ever wanted to write (`/usr`): there it counts what was seen before.
 */
import { isFuse, type MountEntry } from '../stages/proc.ts';
import type { ReportedCondition } from './condition-diff.ts';
import { isReadOnly } from './kernel-log/block-mounts.ts';
import { mountOf } from './proc.ts';

export interface Tables {
  /** As the agent sees them. */
  readonly host: readonly MountEntry[];
  readonly stateDir: string;
  readonly containers: readonly { readonly workload: string; readonly mounts: readonly MountEntry[] }[];
}

export interface Before {
  /** Mount points that were reported: they are for as long as they stay read-only. */
  readonly raised: readonly string[];
  /** Devices that a container could write to, as `writableIn` found them. */
  readonly writable: ReadonlySet<string>;
}

/** Named by their mount points, as a person on the host knows them. */
export function readOnlyConditions({ host, stateDir, containers }: Tables, { raised, writable }: Before): ReportedCondition[] {
  const users = new Map<string, { readonly mount: MountEntry; readonly who: string[] }>();
  const note = (mount: MountEntry, who: string): void => {
    const known = users.get(mount.mountPoint) ?? { mount, who: [] };
    users.set(mount.mountPoint, { mount, who: [...known.who, who] });
  };
  const state = mountOf(host, stateDir);
  if (state !== undefined && (isReadOnly(state) || !mayWrite(state)))
    note(state, `the state directory ${stateDir}, so supervision goes on without its memory`);
  for (const { workload, mounts } of containers) {
    for (const mount of mounts.filter((each) => isDisk(each) && isReadOnly(each) && (mayWrite(each) || writable.has(each.device))))
      note(onHost(host, mount), `${workload} (${mount.mountPoint} in its container)`);
  }
  for (const subject of raised) {
    const mount = host.findLast(({ mountPoint }) => mountPoint === subject);
    if (mount !== undefined && isReadOnly(mount) && !users.has(subject)) users.set(subject, { mount, who: [] });
  }
  return [...users.values()].map(({ mount, who }) => conditionOf(mount, who));
}

/** Devices of file systems that take something, and that a container may write to. */
export const writableIn = ({ containers }: Tables): string[] =>
  containers.flatMap(({ mounts }) =>
    mounts.filter((mount) => isDisk(mount) && mayWrite(mount) && !isReadOnly(mount)).map(({ device }) => device),
  );

/** The mount may; its file system may not. */
const mayWrite = ({ options = [] }: MountEntry): boolean => !options.includes('ro');

/** A mount of a FUSE program has checks of its own; overlays and the kernel's file systems are nobody's disk. */
const isDisk = (mount: MountEntry): boolean => !isFuse(mount) && !notDisks.has(mount.fsType);

const notDisks: ReadonlySet<string> = new Set('overlay proc sysfs cgroup cgroup2 devpts mqueue devtmpfs securityfs'.split(' '));

/** The whole file system where it is mounted as such; a bound part of it has no better name. */
function onHost(host: readonly MountEntry[], mount: MountEntry): MountEntry {
  const same = host.filter(({ device }) => device === mount.device);
  return same.find(({ root }) => root === '/') ?? same[0] ?? mount;
}

function conditionOf({ mountPoint, source, fsType }: MountEntry, who: readonly string[]): ReportedCondition {
  const users = who.length === 0 ? '' : `; used by ${[...new Set(who)].join(', ')}`;
  return {
    name: 'read-only-filesystem',
    subject: mountPoint,
    severity: 'critical',
    reason: `${mountPoint} (${source}, ${fsType}) has become read-only${users}`,
    advice: `If somebody did that by hand: mount -o remount,rw ${mountPoint}. Otherwise look at the disk (dmesg): it stays so until a reboot or a repair.`,
  };
}
