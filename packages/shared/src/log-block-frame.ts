/**
 * The wire and storage form of log lines: one compressed run of lines of one segment.
 *
 *   frame  = u32 little-endian header length | header (JSON, UTF-8) | body
 *   body   = data (one zstd frame)           | filter (one zstd skippable frame; older agents send none)
 *   data   = u32 little-endian meta length   | meta (log-block-meta.ts) | text
 *   text   = the bytes of the lines, each followed by one \n
 *   filter = u32 0x184D2A50 | u32 length     | token filter of the text (token-filter.ts); all little-endian
 *
 * The filter stands behind the data, because Node's decoder reads only the first frame. The agent compresses, the collector
 * stores the body as it came, its filter apart, and decompresses only for a reader.
 */
import { crc32 } from 'node:zlib';
import * as z from 'zod';
import { RelightError } from './errors.ts';
import { segmentKeySchema } from './log-stream.ts';

/** Events and heartbeats never wait long behind a frame of this size. */
export const blockFrameBytesMax = 256 * 1024;
/** Of text. A block that exceeds the frame's limit all the same is cut again, smaller. */
export const blockRawBytesMax = 1024 * 1024;
/** A longer line is cut and marked truncated. As a block of its own it fits a frame also when it cannot be compressed. */
export const lineBytesMax = 64 * 1024;
/** What a decoder accepts after decompression, because a small body can unpack to any size. */
export const blockUnpackedBytesMax = 4 * 1024 * 1024;

const skippableMagic = 0x184d2a50;
const skippableHeadBytes = 8;

export const blockHeaderSchema = z.object({
  v: z.literal(1),
  segment: segmentKeySchema,
  /** Byte range [from, to) of the segment that this block covers. */
  from: z.number().int().nonnegative(),
  to: z.number().int().positive(),
  lines: z.number().int().positive(),
  /** Epoch milliseconds of the first and last line. */
  firstAt: z.number(),
  lastAt: z.number(),
  /** Bytes of text before compression. */
  rawBytes: z.number().int().nonnegative(),
  /** CRC-32 of the whole body, filter included. Absent from older agents and from what the collector has put together. */
  crc: z.number().int().min(0).max(0xffffffff).optional(),
  /** Length of the skippable frame at the end of the body, its 8 bytes of head included. Absent: there is no filter. */
  filterBytes: z.number().int().min(skippableHeadBytes).optional(),
});
export type BlockHeader = z.infer<typeof blockHeaderSchema>;

export interface Block {
  readonly header: BlockHeader;
  readonly body: Uint8Array;
}

export function encodeBlock(block: Block): Buffer {
  const header = Buffer.from(JSON.stringify(block.header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return Buffer.concat([length, header, block.body]);
}

/** Splits a binary frame without touching the body. Throws `protocol` when the frame is damaged; the body is for `verifyBlock`. */
export function decodeBlock(frame: Buffer): Block {
  const length = frame.length >= 4 ? frame.readUInt32LE(0) : Number.NaN;
  if (!(length <= frame.length - 4)) throw new RelightError('protocol', 'log block: the header is longer than the frame');
  let json: unknown;
  try {
    json = JSON.parse(frame.toString('utf8', 4, 4 + length));
  } catch (cause) {
    throw new RelightError('protocol', 'log block: the header is not JSON', { cause });
  }
  const parsed = blockHeaderSchema.safeParse(json);
  if (!parsed.success) throw new RelightError('protocol', `log block: ${z.prettifyError(parsed.error)}`);
  if (parsed.data.to <= parsed.data.from) throw new RelightError('protocol', 'log block: empty byte range');
  return { header: parsed.data, body: frame.subarray(4 + length) };
}

/** Throws `protocol` when the body is not what its sender made it. Needs the whole body; without `crc` only the filter's place is looked at. */
export function verifyBlock(block: Block): void {
  const { crc, from, to } = block.header;
  if (crc !== undefined && crc32(block.body) !== crc) throw new RelightError('protocol', `log block ${from}–${to}: the checksum is wrong`);
  splitFilter(block);
}

/** What is stored apart. Throws `protocol` when the filter is not where the header says. */
export function splitFilter({ header, body }: Block): { readonly data: Uint8Array; readonly filter: Uint8Array | null } {
  const { filterBytes, from, to } = header;
  if (filterBytes === undefined) return { data: body, filter: null };
  const start = body.length - filterBytes;
  const head = start > 0 ? Buffer.from(body.buffer, body.byteOffset + start, skippableHeadBytes) : null;
  if (head === null || head.readUInt32LE(0) !== skippableMagic || head.readUInt32LE(4) !== filterBytes - skippableHeadBytes) {
    throw new RelightError('protocol', `log block ${from}–${to}: the token filter is not where the header says`);
  }
  return { data: body.subarray(0, start), filter: body.subarray(start + skippableHeadBytes) };
}

/** A zstd frame that every decoder skips. */
export function skippableFrame(content: Uint8Array): Buffer {
  const head = Buffer.alloc(skippableHeadBytes);
  head.writeUInt32LE(skippableMagic, 0);
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content]);
}
