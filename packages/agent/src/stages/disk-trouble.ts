/** The host's disk refuses what a stage wants of it: said as what it is, not as a defect of ours. */
import { toRelightError, type ErrorCode } from '@relight/shared/errors';

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'disk-full',
  EDQUOT: 'disk-full',
  EROFS: 'read-only-filesystem',
  // A disk that is dying says this before its file system is made read-only.
  EIO: 'read-only-filesystem',
};

export function onDisk<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw toRelightError(thrown, codes[(thrown as NodeJS.ErrnoException).code ?? ''] ?? 'internal');
  }
}
