/** What the shipper remembers over a restart of the agent: a small JSON file. Only a hint, the collector's word wins; but without it rotated files cannot be told apart. */
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { errorMessage } from '@relight/shared/errors';
import { parseSegmentId } from '@relight/shared/log-stream';
import * as z from 'zod';
import { replaceFile, replaceFileDurably } from '../host/atomic-file.ts';
import type { SegmentFile } from './log-shipper.ts';

const positionSchema = z.object({
  committed: z.number().int().nonnegative(),
  /** Bytes before this offset were given up because the budget was exceeded. */
  givenUp: z.number().int().nonnegative(),
  /** Bytes before this offset have no place on the disk any more. Absent: nobody has written it down. */
  freed: z.number().int().nonnegative().default(0),
  /** Bytes before this offset could not be read, which was decided when nobody wrote them any more. */
  lostTo: z.number().int().nonnegative().default(0),
  /** The file of a segment that was let go of, while the collector has not heard of what is missing. It is not read again. */
  owed: z
    .object({
      path: z.string(),
      format: z.enum(['raw', 'json-file']),
      rotates: z.boolean(),
      /** It was opened by whoever held it, and its path leads to it no more. Absent: nobody has written it down. */
      foreign: z.boolean().optional(),
    })
    .nullable()
    .default(null),
  pieces: z.array(
    z.object({
      inode: z.number(),
      base: z.number().int().nonnegative(),
      headBytes: z.number().int().nonnegative(),
      headCrc: z.number(),
    }),
  ),
});
export type Position = z.infer<typeof positionSchema>;

const fileSchema = z.object({ version: z.literal(1), segments: z.record(z.string(), positionSchema) });

/** Those of whom a gap is still to be told, although perhaps nobody will ever follow them again. */
export function owedFiles(positions: Readonly<Record<string, Position>>): SegmentFile[] {
  return Object.entries(positions).flatMap(([id, { owed, committed, givenUp, lostTo }]) =>
    owed === null || committed >= Math.max(givenUp, lostTo) ? [] : [owedFile(id, owed)],
  );
}

/** As it is written down. */
export function asOwed({ path, format, foreign }: SegmentFile, rotates: boolean): Position['owed'] {
  return { path, format, rotates, foreign: foreign !== undefined };
}

/** The path of a foreign one names a descriptor of an agent that is over: what stands there now, if anything, is another file. */
function owedFile(id: string, { path, format, rotates, foreign = path.startsWith('/proc/') }: NonNullable<Position['owed']>): SegmentFile {
  return { key: parseSegmentId(id), path, format, rotates, ...(foreign ? { foreign: { open: () => null } } : {}) };
}

/** `note` says why the file was not used. */
export function loadPositions(path: string): { positions: Record<string, Position>; note: string | null } {
  try {
    return { positions: fileSchema.parse(JSON.parse(fs.readFileSync(path, 'utf8'))).segments, note: null };
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return { positions: {}, note: absent ? null : errorMessage(error) };
  }
}

/** Atomic; without `durable`, after a power loss an older version may be found, which costs at most a counted gap. Throws errno errors. */
export function savePositions(path: string, segments: Readonly<Record<string, Position>>, durable = false): void {
  fs.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const write = durable ? replaceFileDurably : replaceFile;
  write(path, JSON.stringify({ version: 1, segments }));
}
