/**
 * The do-not-touch guard: a file that somebody puts down before working on the machine. While it is there, and not too old,
 * nothing is recovered; its text is the reason. Its age ends it, so that a forgotten one does not disable a host for good.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs';

export interface HandsOff {
  /** For a person: what the file says, and until when it holds. */
  readonly reason: string;
  /** When it ends by age, epoch milliseconds by the wall clock; in the past when it has ended. */
  readonly until: number;
  readonly active: boolean;
}

/** Marks the pauses that the file makes: those of an operator are left alone. */
const pausePrefix = 'hands off: ';

interface Pause {
  readonly reason: string;
  readonly until: number | null;
}

/**
 * What a workload is to be told; null: nothing. `pause` is its present one. `offsetMs`: what is to be added to wall time to get
 * the supervisors' time.
 */
export function pauseFor(
  handsOff: HandsOff | null,
  pause: Pause | null,
  offsetMs: number,
): ({ readonly type: 'pause' } & Pause) | { readonly type: 'resume' } | null {
  const ours = pause?.reason.startsWith(pausePrefix) === true;
  if (handsOff === null) return ours ? { type: 'resume' } : null;
  if (pause !== null && !ours) return null;
  const reason = `${pausePrefix}${handsOff.reason}`;
  const until = Math.round(handsOff.until + offsetMs);
  // A step of the wall clock is no new pause.
  const same = pause !== null && pause.reason === reason && pause.until !== null && Math.abs(pause.until - until) < 1_000;
  return same ? null : { type: 'pause', reason, until };
}

export interface GuardSpec {
  readonly file: string;
  readonly maxAgeMs: number;
}

const textBytesMax = 500;

/** Null: nobody asks for it. A file that cannot be read counts all the same: it was put there on purpose. */
export function readHandsOff({ file, maxAgeMs }: GuardSpec, wallNow: number): HandsOff | null {
  let descriptor: number;
  try {
    // Neither a link nor a pipe may send us elsewhere or make us wait.
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const stat = lstatSync(file, { throwIfNoEntry: false });
    if (stat === undefined) return null;
    const until = stat.mtimeMs + maxAgeMs;
    return { reason: `${file} cannot be read (${(error as NodeJS.ErrnoException).code})`, until, active: wallNow < until };
  }
  try {
    const stat = fstatSync(descriptor);
    const until = stat.mtimeMs + maxAgeMs;
    return { reason: textOf(descriptor, stat.isFile()) || 'no reason was given', until, active: wallNow < until };
  } finally {
    closeSync(descriptor);
  }
}

function textOf(descriptor: number, isFile: boolean): string {
  if (!isFile) return '';
  const bytes = Buffer.alloc(textBytesMax);
  const length = readSync(descriptor, bytes, 0, textBytesMax, 0);
  return bytes
    .toString('utf8', 0, length)
    .replaceAll(/[\s\p{Cc}\uFFFD]+/gu, ' ')
    .trim();
}
