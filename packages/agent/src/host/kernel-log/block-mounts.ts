/** Where block devices are mounted, and which of these mounts can be written to, as far as the mount table tells. */
import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { parseMountinfo, type MountEntry } from '../../stages/proc.ts';

/** The kernel's own name of a device number (`253:0` is `dm-0`); null when it is no block device. */
export type NameOfDevice = (device: string) => string | null;

export interface BlockMount {
  /** The names that the kernel log has for its device: `sda1`, `dm-0`. */
  readonly names: readonly string[];
  readonly mountPoint: string;
  readonly writable: boolean;
}

/** Pure. The file system takes nothing any more. ext4 says `emergency_ro` (from Linux 6.15) or `shutdown` beside `rw`. */
export function isReadOnly({ superOptions = [] }: MountEntry): boolean {
  return superOptions.some((option) => option === 'ro' || option === 'emergency_ro' || option === 'shutdown');
}

/** Pure. An XFS that has shut itself down is still listed as `rw`, so of XFS it is never said that it is writable. */
export function blockMountsOf(mounts: readonly MountEntry[], nameOf: NameOfDevice): BlockMount[] {
  return mounts.flatMap((mount) => {
    const names = namesOf(mount, nameOf);
    return names.length === 0 ? [] : [{ names, mountPoint: mount.mountPoint, writable: mount.fsType !== 'xfs' && !isReadOnly(mount) }];
  });
}

/** Pure. */
export function namesOf({ device, source }: MountEntry, nameOf: NameOfDevice): readonly string[] {
  const names = [nameOf(device), source.startsWith('/dev/') ? basename(source) : null];
  return [...new Set(names.filter((name) => name !== null))];
}

export const nameOfDevice: NameOfDevice = (device) => {
  try {
    return basename(readlinkSync(`/sys/dev/block/${device}`));
  } catch {
    return null;
  }
};

export const blockMounts = (): BlockMount[] => blockMountsOf(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')), nameOfDevice);
