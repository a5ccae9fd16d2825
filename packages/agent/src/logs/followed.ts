/** One of the log files that the shipper follows, and what is known of its troubles. */
import { errorMessage } from '@relight/shared/errors';
import type { Logger } from 'pino';
import type { SegmentTail } from './segment-tail.ts';

/** Without a collector the files are all there is. */
const keptRunsAlone = 10;
/** Of one that is over: whoever can put a permission or a limit right has done it by then. */
const unreadMsMax = 10 * 60_000;

export interface Followed {
  readonly tail: SegmentTail;
  order: number;
  /** The last trouble with it, so that each is said once. */
  trouble: string | null;
  /**
   * Why a look at it failed, and since when (monotonic; from its end on, if it is over) none has found it; null: what it holds
   * is known. `gone`: the latest look found nothing there. Looks alone decide: bytes that were known before may be sent meanwhile.
   */
  unread: { readonly why: string; readonly since: number; readonly gone: boolean } | null;
}

/**
 * While the collector is away for days, the finished runs of a process that crashes again and again wait by the thousand:
 * they are neither watched nor looked at. One that could not be read, or not yet, is looked at until it can.
 */
export const mayGrow = ({ tail, trouble, unread }: Followed): boolean =>
  !tail.finished || trouble !== null || unread?.gone === false || tail.file.pending;

/** Each is said once. */
export function noteTrouble(followed: Followed, error: unknown, logger: Pick<Logger, 'warn'>): void {
  const trouble = errorMessage(error);
  if (followed.trouble === trouble) return;
  followed.trouble = trouble;
  const { id, source } = followed.tail;
  logger.warn({ segment: id, path: source.path, error: trouble }, 'a log file cannot be read');
}

/** After a look. One that finds no file where there was one that could not be read has not read it either. */
export function noteLook(followed: Followed, monotonic: number): void {
  const { tail, trouble, unread } = followed;
  if (trouble !== null) followed.unread = { why: trouble, since: monotonic, ...unread, gone: false };
  else if (tail.file.opened) followed.unread = null;
  else if (unread !== null && !tail.file.pending) followed.unread = { ...unread, gone: true };
}

/** Where there was something when it was looked at last, and nothing is now. */
export function noteGone(followed: Followed | undefined, monotonic: number): void {
  if (followed?.tail.file.opened !== false || followed.unread !== null) return;
  followed.unread = { why: 'it is not there any more', since: monotonic, gone: true };
}

/** Of one that is over and unread: it is gone, or has been tried for long enough. */
export const restIsLost = ({ gone, since }: NonNullable<Followed['unread']>, monotonic: number): boolean =>
  gone || monotonic - since >= unreadMsMax;

/** Without a collector finished runs stay followed, so that the budget holds for them, up to a number. */
export function isOldRun({ order, tail }: Followed, all: Iterable<Followed>): boolean {
  const { source, workload } = tail.key;
  const newer = [...all].filter(
    (other) => other.tail.finished && other.order > order && other.tail.key.source === source && other.tail.key.workload === workload,
  );
  return tail.finished && newer.length >= keptRunsAlone;
}
