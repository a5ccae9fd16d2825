/** Reads blocks. A search looks at the text as one, and asks about single lines only where it found something. */
import { constants, crc32, zstdDecompressSync } from 'node:zlib';
import { RelightError } from './errors.ts';
import { blockUnpackedBytesMax, type Block, type BlockHeader } from './log-block-frame.ts';
import { agree, Runs, timesOf, type BlockMeta } from './log-block-meta.ts';
import type { RawLine } from './log-block-pack.ts';
import type { LogLine, OutputStream } from './log-stream.ts';

/**
 * A block that unpacks into one piece of memory takes 60 % of the CPU of one that is put together of pieces of 64 KiB. Beside its text
 * there is what is said about the lines.
 */
const metaBytesGuess = 64 * 1024;
const chunkBytesOf = ({ rawBytes }: BlockHeader): number => Math.min(rawBytes + metaBytesGuess, blockUnpackedBytesMax);

/**
 * Decompresses a block; its filter may be there or not. Throws `protocol` when the body is damaged, is not that of the
 * header, or unpacks to too much: what comes back is what was packed.
 */
export function openBlock(block: Block): OpenBlock {
  const { header } = block;
  try {
    const { meta, text } = unpacked(block);
    return new OpenBlock(header, meta, text);
  } catch (cause) {
    throw new RelightError('protocol', `log block ${header.from}–${header.to} is damaged`, { cause });
  }
}

/** So much of a large block is enough for a first look. zstd cuts its own blocks of it: less than one of them cannot be unpacked. */
const partBytes = 128 * 1024;
/** What a look at a part saves of a smaller block is not worth a second look at the rest. */
const partOfBytesMin = 2 * partBytes;
/** Of a body: what is at its front packs a little worse than what refers back to it. */
const frontShare = 0.2;

/**
 * The first lines of a large block (its last lines), at an eighth of the cost (half of it): for who may need no more of it. Null: it
 * is small, or a part says nothing sure about it; then `openBlock` has to be asked. Only lines [firstLine, endLine) are there.
 */
export function openPart(block: Block, part: 'front' | 'back'): OpenBlock | null {
  const { header, body } = block;
  if (header.rawBytes < partOfBytesMin) return null;
  try {
    if (part === 'back') {
      const { meta, text } = unpacked(block);
      return new OpenBlock(header, meta, text, { part, start: text.lastIndexOf(10, text.length - 1 - partBytes) + 1 });
    }
    // zstd's own checksum stands at the end.
    if (header.crc === undefined || crc32(body) !== header.crc) return null;
    const { meta, text } = partsOf(
      zstdDecompressSync(body.subarray(0, Math.ceil(body.length * frontShare)), {
        finishFlush: constants.ZSTD_e_flush,
        maxOutputLength: blockUnpackedBytesMax,
        chunkSize: 2 * partBytes,
      }),
    );
    if (!agree(header, meta)) return null;
    const front = new OpenBlock(header, meta, text.subarray(0, text.lastIndexOf(10) + 1), { part, start: 0 });
    return front.endLine === 0 ? null : front;
  } catch {
    return null;
  }
}

function unpacked({ header, body }: Block): { readonly meta: BlockMeta; readonly text: Buffer } {
  const raw = zstdDecompressSync(body, { maxOutputLength: blockUnpackedBytesMax, chunkSize: chunkBytesOf(header) });
  const { meta, text } = partsOf(ofItsSize(raw));
  if (!agree(header, meta)) throw new Error('the header is another one');
  if (text.length !== header.rawBytes) throw new Error(`${text.length} bytes of text instead of ${header.rawBytes}`);
  return { meta, text };
}

/** What was unpacked of a small block is a window on a chunk that is many times as large; who keeps the block would keep the chunk. */
const ofItsSize = (raw: Buffer): Buffer => (raw.byteLength > raw.buffer.byteLength / 2 ? raw : Buffer.from(new Uint8Array(raw).buffer));

function partsOf(raw: Buffer): { readonly meta: BlockMeta; readonly text: Buffer } {
  const metaLength = raw.readUInt32LE(0);
  return { meta: JSON.parse(raw.toString('utf8', 4, 4 + metaLength)) as BlockMeta, text: raw.subarray(4 + metaLength) };
}

/** The lines of a block, for a reader. Throws what `openBlock` throws. */
export function unpackBlock(block: Block): LogLine[] {
  const open = openBlock(block);
  return Array.from({ length: open.lines }, (_, index) => open.line(index));
}

interface Extent {
  readonly part: 'whole' | 'front' | 'back';
  readonly start: number;
}

export class OpenBlock {
  readonly header: BlockHeader;
  /** The bytes of all lines, each followed by one \n; of a front, only theirs. */
  readonly text: Buffer;
  /** The lines that are there: all of them, or those of a part, [firstLine, endLine). */
  readonly firstLine: number;
  readonly endLine: number;
  readonly #meta: BlockMeta;
  /** Where every line begins that is there, and the end of the text: found at once, because a wrong number of lines is damage. */
  readonly #starts: Uint32Array;
  readonly #times: Runs<number>;
  readonly #streams = new Runs<OutputStream>();
  readonly #approx = new Runs<number>();
  readonly #skips = new Runs<readonly [index: number, before: number, each: number]>();
  readonly #truncated: ReadonlySet<number>;
  readonly #collapsed: ReadonlyMap<number, number>;

  /** Throws when the text does not hold the header's number of lines, or a part of it more. `start`: of the part's first line. */
  constructor(header: BlockHeader, meta: BlockMeta, text: Buffer, { part, start }: Extent = { part: 'whole', start: 0 }) {
    this.header = header;
    this.text = text;
    this.#meta = meta;
    this.#starts = startsOf(text, start, header.lines);
    const found = this.#starts.length - 1;
    if (part === 'whole' && found !== header.lines) throw new Error(`there are not ${header.lines} lines`);
    this.firstLine = part === 'back' ? header.lines - found : 0;
    this.endLine = this.firstLine + found;
    this.#times = timesOf(header, meta);
    for (const [index, stream] of meta.stream) this.#streams.add(index, stream);
    // Never expanded: a count is a number that somebody else has written.
    for (const [index, count] of meta.approx ?? []) this.#approx.add(index, index + count);
    let [index, before] = [0, meta.lead ?? 0];
    for (let pair = 0; pair < (meta.skips?.length ?? 0); pair += 2) {
      const [lines, each] = [meta.skips?.[pair] ?? 0, meta.skips?.[pair + 1] ?? 0];
      this.#skips.add(index, [index, before, each]);
      index += lines;
      before += lines * each;
    }
    if (meta.skips !== undefined) this.#skips.add(index, [index, before, 0]);
    this.#truncated = new Set(meta.truncated);
    this.#collapsed = new Map(meta.collapsed);
  }

  /** Of the whole block. */
  get lines(): number {
    return this.header.lines;
  }

  /** Position in `text` of the first byte of a line, and, for `lines`, the length of the text. */
  start(index: number): number {
    return this.#starts[index - this.firstLine] ?? this.text.length;
  }

  /** Position in `text` of the newline behind a line. */
  end(index: number): number {
    return this.start(index + 1) - 1;
  }

  /** Which line holds the byte at `position` of the text (its newline belongs to it). */
  indexAt(position: number): number {
    let [low, high] = [this.firstLine, this.endLine];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.start(middle + 1) > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Epoch milliseconds. */
  at(index: number): number {
    return this.#times.at(index) ?? this.header.firstAt;
  }

  /** Offset of the line's first byte in its segment. */
  offset(index: number): number {
    const { lead = 0, offsets } = this.#meta;
    const { from } = this.header;
    if (offsets !== undefined) return from + (offsets[index] ?? this.start(index));
    const [first, before, each] = this.#skips.at(index) ?? [0, lead, 0];
    return from + this.start(index) + before + (index - first) * each;
  }

  /** As the agent cut it: for whoever packs it again. */
  raw(index: number): RawLine {
    const collapsed = this.#collapsed.get(index);
    return {
      offset: this.offset(index),
      at: this.at(index),
      approx: index < (this.#approx.at(index) ?? 0),
      stream: this.#streams.at(index) ?? 'both',
      bytes: this.text.subarray(this.start(index), this.end(index)),
      truncated: this.#truncated.has(index),
      ...(collapsed === undefined ? {} : { collapsed }),
    };
  }

  line(index: number): LogLine {
    const { approx, at, collapsed, offset, stream, truncated } = this.raw(index);
    return {
      offset,
      at,
      ...(approx ? { atApprox: true as const } : {}),
      stream,
      line: this.text.toString('utf8', this.start(index), this.end(index)),
      ...(truncated ? { truncated: true as const } : {}),
      ...(collapsed === undefined ? {} : { collapsed }),
    };
  }
}

/** From the line at `start` on. */
function startsOf(text: Buffer, start: number, linesMax: number): Uint32Array {
  // Every line has its newline: a number that somebody made up asks for no more than the text is long.
  const starts = new Uint32Array(Math.min(linesMax, text.length - start) + 1);
  let found = 0;
  starts[0] = start;
  for (let newline = text.indexOf(10, start); newline >= 0 && found < linesMax; newline = text.indexOf(10, newline + 1)) {
    starts[(found += 1)] = newline + 1;
  }
  if (starts[found] !== text.length) throw new Error(`there are more than ${linesMax} lines`);
  return starts.subarray(0, found + 1);
}
