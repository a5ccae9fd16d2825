/**
 * Whether a gcsfuse mount can reach its bucket. gcsfuse 3 mounts a bucket that does not exist, or that it may not read, and
 * answers statfs; the directory is then silently empty. Looking up one name that nobody has costs two requests and makes it
 * say so in its output.
 */
import { delay } from '@relight/shared/clock';
import type { MountSpec } from '../config/spec.ts';
import { classify, type Classification } from '../supervisor/classify.ts';
import { runChild } from '@relight/shared/child';
import { sentences } from './mount-program.ts';
import { normalPath } from './proc.ts';
import type { StageContext } from './stage.ts';

/**
 * Metadata of a bucket takes tens of ms. gcsfuse repeats for ever what is refused with 401. Without a word by then the mount is
 * left to its checks: the network may be slow.
 */
const lookTimeoutMs = 2_000;
/** How often its output is read: what it says while it repeats counts at once. */
const listenMs = 100;
/**
 * Without implicit directories looking up a name asks for one object, and that a bucket does not exist looks like that the object
 * does not. Only the listing that gcsfuse begins beside the first look-up (to prefetch) is told apart, and says so later.
 */
const lateWordsMs = 400;

/** What only a person can mend; null: nothing of the kind. `output`: the last lines of the daemon. */
export async function unreachableBucket(
  spec: MountSpec,
  containerPid: number,
  output: () => Promise<readonly string[]>,
  { clock, signal }: Pick<StageContext, 'clock' | 'signal'>,
): Promise<Classification | null> {
  if (spec.type !== 'gcsfuse') return null;
  const heard = new AbortController();
  const looking = runChild({
    argv: ['stat', '--', `/proc/${containerPid}/root${normalPath(spec.target)}/.relight-looks-here`],
    clock,
    timeoutMs: lookTimeoutMs,
    signal: AbortSignal.any([signal, heard.signal]),
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  }).then(({ exitCode }) => ({ exitCode, at: clock.monotonic() }));
  try {
    for (;;) {
      const look = await Promise.race([looking, delay(clock, listenMs, signal)]);
      if (look?.exitCode === 0) return null;
      const known = classify('mount', sentences(await output()), null);
      if (known?.recoverable === false) return known;
      if (look === undefined) continue;
      if (spec.implicitDirs || clock.monotonic() - look.at >= lateWordsMs) return null;
      await delay(clock, listenMs, signal);
    }
  } finally {
    heard.abort();
  }
}
