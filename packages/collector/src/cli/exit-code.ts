import type { ErrorCode } from '@relight/shared/errors';

/** 0 done, 1 the thing asked about is not so, 2 wrong usage or configuration, 3 the collector could not be reached. */
export type ExitCode = 0 | 1 | 2 | 3 | 130;

const usageCodes: ReadonlySet<ErrorCode> = new Set([
  'usage',
  'config-invalid',
  'config-unreadable',
  'unauthorized',
  'forbidden',
  'too-large',
]);
const unreachableCodes: ReadonlySet<ErrorCode> = new Set([
  'collector-unreachable',
  'certificate-refused',
  'too-many-failures',
  'protocol',
  'overloaded',
  'store-failed',
  'internal',
]);

export function exitCodeOf(code: ErrorCode): ExitCode {
  if (usageCodes.has(code)) return 2;
  return unreachableCodes.has(code) ? 3 : 1;
}
