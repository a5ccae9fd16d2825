/** Makes blocks: collects lines or whole runs of text, then compresses them and adds token filter and checksum. */
import { constants, crc32, zstdCompressSync } from 'node:zlib';
import { RelightError } from './errors.ts';
import { skippableFrame, type Block, type BlockHeader } from './log-block-frame.ts';
import { Differences, type BlockMeta } from './log-block-meta.ts';
import type { OutputStream, SegmentKey } from './log-stream.ts';
import { buildTokenFilter } from './token-filter.ts';

/** A line as the agent cut it: raw bytes without the newline. */
export interface RawLine {
  readonly offset: number;
  readonly at: number;
  readonly approx: boolean;
  readonly stream: OutputStream;
  /** Without its newline. One within it (an engine's log that was tampered with) is packed as a space: it would make two lines. */
  readonly bytes: Uint8Array;
  readonly truncated: boolean;
  /** So many earlier states of a progress bar were left out. */
  readonly collapsed?: number;
}

/** Lines as they stand in the segment, from `offset` on, all of one time and stream. */
export interface RawText {
  readonly offset: number;
  readonly at: number;
  readonly approx: boolean;
  readonly stream: OutputStream;
  /** Ends with \n. */
  readonly bytes: Uint8Array;
  /** How many \n are in it. */
  readonly lines: number;
}

const newline = Uint8Array.of(10);
const defaultLevel = 3;

export class BlockBuilder {
  readonly #segment: SegmentKey;
  readonly #from: number;
  readonly #meta: BlockMeta = { stream: [] };
  readonly #times = new Differences();
  readonly #skips = new Differences();
  readonly #parts: Uint8Array[] = [];
  #skipping = false;
  #lines = 0;
  #rawBytes = 0;
  #firstAt = 0;
  #lastAt = 0;
  /** How many of the last lines the next offset says the skip of, and where the first byte behind them is expected. */
  #open = 0;
  #expected: number;

  constructor(segment: SegmentKey, from: number) {
    this.#segment = segment;
    this.#from = from;
    this.#expected = from;
  }

  get lines(): number {
    return this.#lines;
  }

  /** Bytes of text so far. */
  get rawBytes(): number {
    return this.#rawBytes;
  }

  addLine(line: RawLine): void {
    if (line.truncated) (this.#meta.truncated ??= []).push(this.#lines);
    if (line.collapsed !== undefined) (this.#meta.collapsed ??= []).push([this.#lines, line.collapsed]);
    this.#add(line, 1, line.bytes.length + 1);
    const { bytes } = line;
    this.#parts.push(bytes.includes(10) ? bytes.map((byte) => (byte === 10 ? 32 : byte)) : bytes, newline);
  }

  addText(text: RawText): void {
    this.#add(text, text.lines, text.bytes.length);
    this.#parts.push(text.bytes);
  }

  /** Of at least one line; `to` is the end of the segment's bytes that it covers. */
  finish(to: number, level = defaultLevel): Block {
    if (this.#lines === 0) throw new RelightError('internal', 'a block needs at least one line');
    const [from, lines, firstAt, lastAt] = [this.#from, this.#lines, this.#firstAt, this.#lastAt];
    const meta: BlockMeta = { of: [from, to, lines, firstAt], ...this.#meta, times: this.#times.pairs };
    if (this.#skipping) meta.skips = this.#skips.pairs;
    const metaBytes = Buffer.from(JSON.stringify(meta));
    const raw = Buffer.allocUnsafeSlow(4 + metaBytes.length + this.#rawBytes);
    raw.writeUInt32LE(metaBytes.length, 0);
    raw.set(metaBytes, 4);
    let position = 4 + metaBytes.length;
    const text = raw.subarray(position);
    for (const part of this.#parts) {
      raw.set(part, position);
      position += part.length;
    }
    const data = zstdCompressSync(raw, {
      params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
    });
    const filter = skippableFrame(buildTokenFilter(text));
    const body = Buffer.concat([data, filter]);
    const header: BlockHeader = {
      v: 1,
      segment: this.#segment,
      from,
      to,
      lines,
      firstAt,
      lastAt,
      rawBytes: this.#rawBytes,
      crc: crc32(body),
      filterBytes: filter.length,
    };
    return { header, body };
  }

  #add({ offset, at, approx, stream }: Omit<RawText, 'bytes' | 'lines'>, lines: number, bytes: number): void {
    const { stream: streams } = this.#meta;
    if (this.#lines === 0) [this.#firstAt, this.#lastAt] = [at, at];
    const later = at - this.#lastAt;
    this.#times.add(lines, later, later === 0);
    if (streams.at(-1)?.[1] !== stream) streams.push([this.#lines, stream]);
    if (approx) this.#addApprox(lines);
    this.#addSkip(offset - this.#expected);
    this.#lastAt = at;
    this.#lines += lines;
    this.#rawBytes += bytes;
    this.#open = lines;
    this.#expected = offset + bytes;
  }

  #addApprox(lines: number): void {
    const run = this.#meta.approx?.at(-1);
    if (run !== undefined && run[0] + run[1] === this.#lines) run[1] += lines;
    else (this.#meta.approx ??= []).push([this.#lines, lines]);
  }

  #addSkip(skip: number): void {
    if (this.#open === 0) {
      if (skip !== 0) this.#meta.lead = skip;
      return;
    }
    if (this.#open > 1) this.#skips.add(this.#open - 1, 0, true);
    this.#skips.add(1, skip, true);
    this.#skipping ||= skip !== 0;
  }
}

/** Packs `lines` (at least one, ascending offsets) which cover the segment's bytes [from, to). */
export function packBlock(segment: SegmentKey, from: number, to: number, lines: readonly RawLine[], level = defaultLevel): Block {
  const builder = new BlockBuilder(segment, from);
  for (const line of lines) builder.addLine(line);
  return builder.finish(to, level);
}
