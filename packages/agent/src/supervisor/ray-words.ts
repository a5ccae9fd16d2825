/**
 * Pure. Why a raylet or a GCS failed stands in its own log, between a stack trace and a page of advice; `ray start` itself ends
 * with "The current node timed out during startup" or "Remaining processes will be killed". Found here: the sentence that tells.
 */

/** `ray start` has given up on a daemon and shows nothing of what that one wrote, or not all of it. */
export function blamesDaemon(lines: readonly string[]): boolean {
  return lines.some((line) =>
    /The current node timed out during startup|Failed to start GCS\b|Failed to connect to GCS within \d+ seconds/.test(line),
  );
}

const reasonsMax = 5;
const lengthMax = 400;

/** What Ray's daemons say of their own failure, each with its name before it, oldest first. Empty: nothing, or this is not Ray. */
export function daemonReasons(lines: readonly string[]): readonly string[] {
  const reasons = lines.map(reasonOf).filter((reason) => reason !== null);
  // Said twice: gRPC knows why as well.
  const known = reasons.some((reason) => reason.startsWith(listening)) ? reasons.filter((reason) => !unexplained.test(reason)) : reasons;
  return [...new Set(known)].slice(-reasonsMax);
}

/** Of `[2026-11-22 04:40:07,698 C 173 173] (raylet) grpc_server.cc:134: Check failed: …`; E is an error, C the end. */
const ownLine = /^\[\d{4}-\d\d-\d\d [\d:,]+ [EC] \d+ \d+\] \((\w+)\) [\w./-]+:\d+:\s+(.+)$/;
/** gRPC's, which has no name in it. */
const listenLine = /^E\d{4} [\d:.]+\s+\d+ \S+\]\s+.*No address added out of total \d+ resolved for '([^']+)'/;
/** What `ray start --block` says of a child. */
const endedLine = /- END (\w+)\.\w+ tail \(exit code\(s\)=(.+?)\) ?-/;
const listening = 'Ray cannot listen on ';
const unexplained = /^\w+: cannot listen on port \d+$/;
const frame = /^(?:PC: )?@\s+0x/;

function reasonOf(line: string): string | null {
  const [, address] = listenLine.exec(line) ?? [];
  if (address !== undefined) return `${listening}${address}: ${refusal(line)}`;
  const [, ended, how] = endedLine.exec(line) ?? [];
  if (ended !== undefined) return `${ended} ended with exit code ${how ?? ''}`;
  const [, daemon, said = ''] = ownLine.exec(line) ?? [];
  if (daemon === undefined || frame.test(said)) return null;
  const [, port] = /Failed to start the grpc server\. The specified port is (\d+)/.exec(said) ?? [];
  return `${daemon}: ${port === undefined ? withoutAdvice(said) : `cannot listen on port ${port}`}`.slice(0, lengthMax);
}

/** A machine without IPv6 says so each time; that is never why. */
function refusal(line: string): string {
  const errors = [...line.matchAll(/os_error:"([^"]+)"/g)].map(([, error = '']) => error);
  return errors.find((error) => !error.startsWith('Address family not supported')) ?? errors[0] ?? 'refused';
}

const withoutAdvice = (said: string): string =>
  said.replace(/An unexpected system state has occurred\..* work with you to fix it\.\s*/, '');
