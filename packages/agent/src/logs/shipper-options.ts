/** What the shipper of log files is told when it is made. */
import type { Clock } from '@relight/shared/clock';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { Logger } from 'pino';
import type { Redact } from './frame-queue.ts';
import type { PunchHole } from './hole-puncher.ts';
import type { RateLimit } from './rate-limiter.ts';

export interface FollowingShipperOptions {
  /** Holds `segments.json`. */
  readonly directory: string;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** False: no collector is configured. */
  readonly delivering: boolean;
  readonly rateLimit: (key: SegmentKey) => RateLimit | null;
  readonly redact?: (key: SegmentKey) => Redact;
  /** Of unsent bytes over all files. Default: 512 MiB, at most 5 % of the disk of `directory` and half of what is free there. */
  readonly bytesMax?: number;
  readonly punchHole?: PunchHole;
  /** Runs that are over, of which files are held open. Default: 2,000. */
  readonly heldMax?: number;
}
