/** Which block devices are mounted writable, as far as the mount table tells. */
import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { parseMountinfo, type MountEntry } from '../../stages/proc.ts';

/**
 * Pure. An XFS that has shut itself down is still listed as `rw`, so XFS says nothing here; ext4 says `emergency_ro` (from Linux 6.15)
 * or `shutdown` beside `rw`. `nameOf` is the kernel's own name of a device number (`253:0` is `dm-0`), null when it is no block device.
 */
export function writableOf(mounts: readonly MountEntry[], nameOf: (device: string) => string | null): ReadonlySet<string> {
  const names = mounts
    .filter(({ fsType, superOptions = [] }) => {
      const options = new Set(superOptions);
      return fsType !== 'xfs' && options.has('rw') && !options.has('emergency_ro') && !options.has('shutdown');
    })
    .flatMap(({ device, source }) => [nameOf(device), source.startsWith('/dev/') ? basename(source) : null]);
  return new Set(names.filter((name) => name !== null));
}

export function writableDevices(): ReadonlySet<string> {
  return writableOf(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')), (device) => {
    try {
      return basename(readlinkSync(`/sys/dev/block/${device}`));
    } catch {
      return null;
    }
  });
}
