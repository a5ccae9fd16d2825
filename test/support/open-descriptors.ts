/** Descriptors of this process on files below a directory. */
import { readdirSync, readlinkSync } from 'node:fs';

export const openBelow = (directory: string): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
    } catch {
      // The one that the directory was read with.
      return false;
    }
  }).length;
