/** /dev/kmsg, read without ever waiting: every read() is one record. */
import { closeSync, constants, openSync, readSync } from 'node:fs';

export const lost = Symbol('lost');

export interface KernelLogReader {
  /** The next record as the kernel hands it out; null: there is none yet. `lost`: records were overwritten before they were read. */
  next(): string | typeof lost | null;
  close(): void;
}

/** The kernel refuses a smaller buffer than the record (EINVAL); its own are at most about 8 KiB with the dictionary. */
const recordBytesMax = 16_384;

/** Begins at the oldest record that the kernel still has. Throws errno errors: ENOENT in a container, EPERM without CAP_SYSLOG. */
export function openKernelLog(path = '/dev/kmsg'): KernelLogReader {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const buffer = Buffer.allocUnsafe(recordBytesMax);
  const next = (): string | typeof lost | null => {
    try {
      const length = readSync(fd, buffer, 0, recordBytesMax, null);
      return length === 0 ? null : buffer.toString('utf8', 0, length);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN') return null;
      if (code === 'EPIPE' || code === 'EINVAL') return lost;
      throw error;
    }
  };
  try {
    // Opening is allowed to everybody on some kernels, reading is not: better told now.
    const first = next();
    let pending: string | typeof lost | null = first;
    return {
      next: () => {
        const record = pending ?? next();
        pending = null;
        return record;
      },
      close: () => closeSync(fd),
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
