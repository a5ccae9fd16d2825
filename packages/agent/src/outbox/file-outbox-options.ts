/** What an outbox on a disk is given, and how large it is when nobody says otherwise. */
import type { Clock } from '@relight/shared/clock';
import type { Logger } from 'pino';
import { directoryDisk, type OutboxDisk } from './disk.ts';

export interface FileOutboxOptions {
  readonly directory: string;
  readonly newEpoch: () => string;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Of all files together, of which each that is not written on any more counts at least 4 KiB. Default 64 MiB. */
  readonly bytesMax?: number;
  /** Of one file. Default 256 KiB. */
  readonly fileBytesMax?: number;
  /** Of the events that wait for a full disk. Default 1 MiB. */
  readonly memoryBytesMax?: number;
  /** Between two fsyncs under load. Default 50 ms. */
  readonly syncMs?: number;
  readonly disk?: OutboxDisk;
}

export interface WholeOptions extends Required<FileOutboxOptions> {
  /**
   * So much a file counts at least, as on the disk: lives that end soon each leave one of a few hundred bytes, and each is looked into at
   * every start. 4 KiB, the block of ext4 and xfs; less only where files are smaller than 256 KiB.
   */
  readonly fileBytesMin: number;
}

export function withDefaults(options: FileOutboxOptions): WholeOptions {
  const { bytesMax = 64 * 1024 ** 2, memoryBytesMax = 1024 ** 2, disk = directoryDisk(options.directory) } = options;
  const fileBytesMax = Math.min(256 * 1024, Math.ceil(bytesMax / 8));
  const whole = { fileBytesMax, syncMs: 50, ...options, bytesMax, memoryBytesMax, disk };
  return { ...whole, fileBytesMin: Math.min(4_096, Math.ceil(whole.fileBytesMax / 64)) };
}
