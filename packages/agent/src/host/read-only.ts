/**
 * A file system that became read-only under whoever writes there: a disk after errors, or somebody's `mount -o remount,ro`, of which
 * the kernel log says nothing. The mount tables tell, and no path is touched. Pure.
 *
 * In a container it shows as a mount that may be written to on a file system that may not. In one that was made afterwards the mount
 * is read-only, too, as where nobody ever wanted to write (`/usr`): there it counts what was seen before.
 */
import type { MountEntry } from '../stages/proc.ts';
import { concernOf, isDisk, type Concern, type Tables, type Users } from './concerns.ts';
import type { ReportedCondition } from './condition-diff.ts';
import { isReadOnly } from './kernel-log/block-mounts.ts';
import { mountOf } from './proc.ts';

export interface Before {
  /** Mount points that were reported: they are for as long as they stay read-only. */
  readonly raised: readonly string[];
  /** Devices that a container could write to, as `writableIn` found them. */
  readonly writable: ReadonlySet<string>;
  readonly users: Users;
}

/** Named by their mount points, as a person on the host knows them. */
export function readOnlyConditions(tables: Tables, { raised, writable, users }: Before): ReportedCondition[] {
  const { host, stateDir, containers } = tables;
  const found = new Map<string, Found>();
  const note = (mount: MountEntry, who: string, workload?: string): void => {
    const known = found.get(mount.mountPoint) ?? { mount, who: [], workloads: [] };
    const workloads = workload === undefined ? known.workloads : [...known.workloads, workload];
    found.set(mount.mountPoint, { mount, who: [...known.who, who], workloads });
  };
  const state = mountOf(host, stateDir);
  if (state !== undefined && (isReadOnly(state) || !mayWrite(state)))
    note(state, `the state directory ${stateDir}, so supervision goes on without its memory`);
  const isLost = (mount: MountEntry): boolean =>
    isDisk(mount) && !neverWritable.has(mount.fsType) && isReadOnly(mount) && (mayWrite(mount) || writable.has(mount.device));
  for (const { workload, mounts } of containers) {
    for (const mount of mounts.filter(isLost)) note(onHost(host, mount), `${workload} (${mount.mountPoint} in its container)`, workload);
  }
  for (const subject of raised) {
    const mount = host.findLast(({ mountPoint }) => mountPoint === subject);
    if (mount !== undefined && isReadOnly(mount) && !found.has(subject)) found.set(subject, { mount, who: [], workloads: [] });
  }
  return [...found.values()].map((each) => {
    const { mountPoint } = each.mount;
    const concern = concernOf((mount) => mount.mountPoint === mountPoint, tables, users);
    // An engine with mounts of its own has some that are not among the host's.
    return conditionOf(each, concern === 'host' ? concern : [...new Set([...concern, ...each.workloads])]);
  });
}

interface Found {
  readonly mount: MountEntry;
  readonly who: readonly string[];
  readonly workloads: readonly string[];
}

/** Devices of file systems that take something, and that a container may write to. */
export const writableIn = ({ containers }: Pick<Tables, 'containers'>): string[] =>
  containers.flatMap(({ mounts }) =>
    mounts.filter((mount) => isDisk(mount) && mayWrite(mount) && !isReadOnly(mount)).map(({ device }) => device),
  );

/** Images: nobody could ever write there, also where the mount does not say so (`mount -t squashfs` without `-o ro`). */
const neverWritable: ReadonlySet<string> = new Set(['squashfs', 'erofs', 'iso9660', 'cramfs', 'romfs']);

/** The mount may; its file system may not. */
const mayWrite = ({ options = [] }: MountEntry): boolean => !options.includes('ro');

/** The whole file system where it is mounted as such; a bound part of it has no better name. */
function onHost(host: readonly MountEntry[], mount: MountEntry): MountEntry {
  const same = host.filter(({ device }) => device === mount.device);
  return same.find(({ root }) => root === '/') ?? same[0] ?? mount;
}

function conditionOf({ mount: { mountPoint, source, fsType }, who }: Found, concerns: Concern): ReportedCondition {
  const users = who.length === 0 ? '' : `; used by ${[...new Set(who)].join(', ')}`;
  return {
    name: 'read-only-filesystem',
    subject: mountPoint,
    severity: 'critical',
    reason: `${mountPoint} (${source}, ${fsType}) has become read-only${users}`,
    advice: `If somebody did that by hand: mount -o remount,rw ${mountPoint}. Otherwise look at the disk (dmesg): it stays so until a reboot or a repair.`,
    data: { concerns },
  };
}
