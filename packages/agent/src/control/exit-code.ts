import type { ErrorCode } from '@relight/shared/errors';
import type { ExitCode } from './io.ts';

const usageCodes: ReadonlySet<ErrorCode> = new Set([
  'usage',
  'config-invalid',
  'config-unreadable',
  'not-supported-yet',
  'already-running',
]);
const unreachableCodes: ReadonlySet<ErrorCode> = new Set([
  'agent-unreachable',
  'engine-unreachable',
  'engine-timeout',
  'collector-unreachable',
  'certificate-refused',
  'protocol',
]);

/** What a command that failed with `code` exits with. */
export function exitCodeOf(code: ErrorCode): ExitCode {
  if (usageCodes.has(code)) return 2;
  return unreachableCodes.has(code) ? 3 : 1;
}
