/** What an outbox on a disk is given, and how large it is when nobody says otherwise. */
import type { Clock } from '@relight/shared/clock';
import type { Logger } from 'pino';
import { directoryDisk, type OutboxDisk } from './disk.ts';

export interface FileOutboxOptions {
  readonly directory: string;
  readonly newEpoch: () => string;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Of all files together. Default 64 MiB. */
  readonly bytesMax?: number;
  /** Of one file. Default 256 KiB. */
  readonly fileBytesMax?: number;
  /** Of the events that wait for a full disk. Default 1 MiB. */
  readonly memoryBytesMax?: number;
  /** Between two fsyncs under load. Default 50 ms. */
  readonly syncMs?: number;
  readonly disk?: OutboxDisk;
}

export type WholeOptions = Required<FileOutboxOptions>;

export function withDefaults(options: FileOutboxOptions): WholeOptions {
  const { bytesMax = 64 * 1024 ** 2, memoryBytesMax = 1024 ** 2, disk = directoryDisk(options.directory) } = options;
  const fileBytesMax = Math.min(256 * 1024, Math.ceil(bytesMax / 8));
  return { fileBytesMax, syncMs: 50, ...options, bytesMax, memoryBytesMax, disk };
}
