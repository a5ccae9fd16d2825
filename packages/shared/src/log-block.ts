/**
 * The wire and storage form of log lines: one compressed run of lines of one segment.
 *
 *   frame  = u32 little-endian header length | header (JSON, UTF-8) | body (zstd)
 *   body   = u32 little-endian meta length   | meta (JSON, UTF-8)   | text
 *   text   = the bytes of the lines, each followed by one \n
 *   meta   = run-length columns: `at` and `stream` hold [first line index, value] pairs; `offsets` holds every line's
 *            offset relative to `header.from`, and is left out when the text bytes are the segment's bytes, so that
 *            a line's offset is where it stands in the text.
 *
 * The agent compresses, the collector stores the body as it came and decompresses only for a reader. A decoder bounds
 * the decompressed size, because a small body can unpack to any size.
 */
import { z } from 'zod';
import { zstdCompressSync, zstdDecompressSync, constants } from 'node:zlib';
import { segmentKeySchema, type LogLine, type OutputStream } from './log-stream.ts';
import { RelightError } from './errors.ts';

/** Frames stay below 256 KiB, so that events and heartbeats never wait long behind one; raw text is cut well before that so it holds uncompressed. */
export const blockRawBytesMax = 192 * 1024;
/** A longer line is cut and marked truncated. */
export const lineBytesMax = 64 * 1024;
/** What a decoder accepts after decompression. */
export const blockUnpackedBytesMax = 4 * 1024 * 1024;

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
});
export type BlockHeader = z.infer<typeof blockHeaderSchema>;

interface BlockMeta {
  at: [index: number, ms: number][];
  stream: [index: number, stream: OutputStream][];
  offsets?: number[];
  approx?: [index: number, count: number][];
  truncated?: number[];
}

export interface Block {
  readonly header: BlockHeader;
  /** zstd-compressed body. */
  readonly body: Uint8Array;
}

/** A line as the agent cut it: raw bytes without the newline. */
export interface RawLine {
  readonly offset: number;
  readonly at: number;
  readonly approx: boolean;
  readonly stream: OutputStream;
  readonly bytes: Uint8Array;
  readonly truncated: boolean;
}

const newline = Uint8Array.of(10);

/** Packs `lines` (at least one, ascending offsets) which cover the segment's bytes [from, to). */
export function packBlock(segment: BlockHeader['segment'], from: number, to: number, lines: readonly RawLine[], level = 3): Block {
  const first = lines[0];
  const last = lines.at(-1);
  if (first === undefined || last === undefined) throw new RelightError('internal', 'a block needs at least one line');
  const meta: BlockMeta = { at: [], stream: [] };
  const parts: Uint8Array[] = [];
  const offsets: number[] = [];
  let position = 0;
  let derivable = true;
  for (const [index, line] of lines.entries()) {
    if (meta.at.at(-1)?.[1] !== line.at) meta.at.push([index, line.at]);
    if (meta.stream.at(-1)?.[1] !== line.stream) meta.stream.push([index, line.stream]);
    if (line.truncated) (meta.truncated ??= []).push(index);
    if (line.approx) {
      const run = meta.approx?.at(-1);
      if (run !== undefined && run[0] + run[1] === index) run[1] += 1;
      else (meta.approx ??= []).push([index, 1]);
    }
    offsets.push(line.offset - from);
    derivable &&= line.offset - from === position;
    position += line.bytes.length + 1;
    parts.push(line.bytes, newline);
  }
  if (!derivable) meta.offsets = offsets;
  const metaBytes = Buffer.from(JSON.stringify(meta));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(metaBytes.length);
  const body = zstdCompressSync(Buffer.concat([length, metaBytes, ...parts]), {
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  const header: BlockHeader = { v: 1, segment, from, to, lines: lines.length, firstAt: first.at, lastAt: last.at, rawBytes: position };
  return { header, body };
}

export function encodeBlock(block: Block): Buffer {
  const header = Buffer.from(JSON.stringify(block.header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return Buffer.concat([length, header, block.body]);
}

/** Splits a binary frame without touching the body. Throws `protocol` when the frame is damaged. */
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

/** The lines of a block, for a reader. Throws `protocol` when the body is damaged or unpacks to too much. */
export function unpackBlock(block: Block): LogLine[] {
  try {
    const raw = zstdDecompressSync(block.body, { maxOutputLength: blockUnpackedBytesMax });
    const metaLength = raw.readUInt32LE(0);
    const meta = JSON.parse(raw.toString('utf8', 4, 4 + metaLength)) as BlockMeta;
    return unpackLines(block.header, meta, raw.subarray(4 + metaLength));
  } catch (cause) {
    throw new RelightError('protocol', `log block ${block.header.from}–${block.header.to} is damaged`, { cause });
  }
}

function unpackLines(header: BlockHeader, meta: BlockMeta, text: Buffer): LogLine[] {
  const lines: LogLine[] = [];
  const truncated = new Set(meta.truncated);
  let position = 0;
  let atRun = 0;
  let streamRun = 0;
  let approxRun = 0;
  for (let index = 0; index < header.lines; index += 1) {
    const end = text.indexOf(10, position);
    if (end < 0) throw new Error(`line ${index} of ${header.lines} is missing`);
    while ((meta.at[atRun + 1]?.[0] ?? Infinity) <= index) atRun += 1;
    while ((meta.stream[streamRun + 1]?.[0] ?? Infinity) <= index) streamRun += 1;
    while ((meta.approx?.[approxRun + 1]?.[0] ?? Infinity) <= index) approxRun += 1;
    // Never expanded: a count is a number that somebody else has written.
    const [approxFrom, approxCount] = meta.approx?.[approxRun] ?? [0, 0];
    lines.push({
      offset: header.from + (meta.offsets?.[index] ?? position),
      at: meta.at[atRun]?.[1] ?? header.firstAt,
      ...(index >= approxFrom && index < approxFrom + approxCount ? { atApprox: true as const } : {}),
      stream: meta.stream[streamRun]?.[1] ?? 'both',
      line: text.toString('utf8', position, end),
      ...(truncated.has(index) ? { truncated: true as const } : {}),
    });
    position = end + 1;
  }
  return lines;
}
