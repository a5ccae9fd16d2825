/**
 * Whether a gcsfuse mount can reach its bucket. gcsfuse 3 mounts a bucket that does not exist, or that it may not read, and
 * answers statfs; the directory is then silently empty. Looking up one name that nobody has costs two requests and makes it
 * say so in its output.
 */
import type { MountSpec } from '../config/spec.ts';
import { classify, type Classification } from '../supervisor/classify.ts';
import { runChild } from './child.ts';
import { sentences } from './mount-program.ts';
import { normalPath } from './proc.ts';
import type { StageContext } from './stage.ts';

/** Metadata of a bucket takes tens of ms. Without an answer the mount is left to its checks: the network may be slow. */
const lookTimeoutMs = 2_000;

/** What only a person can mend; null: nothing of the kind. `output`: the last lines of the daemon. */
export async function unreachableBucket(
  spec: MountSpec,
  containerPid: number,
  output: () => Promise<readonly string[]>,
  { clock, signal }: Pick<StageContext, 'clock' | 'signal'>,
): Promise<Classification | null> {
  if (spec.type !== 'gcsfuse') return null;
  const child = await runChild({
    argv: ['stat', '--', `/proc/${containerPid}/root${normalPath(spec.target)}/.relight-looks-here`],
    clock,
    timeoutMs: lookTimeoutMs,
    signal,
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  });
  if (child.exitCode === 0) return null;
  const known = classify('mount', sentences(await output()), null);
  return known?.recoverable === false ? known : null;
}
