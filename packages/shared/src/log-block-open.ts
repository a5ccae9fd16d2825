/** Reads blocks. A search looks at the text as one, and asks about single lines only where it found something. */
import { zstdDecompressSync } from 'node:zlib';
import { RelightError } from './errors.ts';
import { blockUnpackedBytesMax, type Block, type BlockHeader } from './log-block-frame.ts';
import { agree, Runs, timesOf, type BlockMeta } from './log-block-meta.ts';
import type { RawLine } from './log-block-pack.ts';
import type { LogLine, OutputStream } from './log-stream.ts';

/** Large enough that most blocks unpack in a few steps; the default of 16 KiB takes two to three times as long. */
const chunkBytes = 64 * 1024;

/**
 * Decompresses a block; its filter may be there or not. Throws `protocol` when the body is damaged, is not that of the
 * header, or unpacks to too much: what comes back is what was packed.
 */
export function openBlock(block: Block): OpenBlock {
  const { header } = block;
  try {
    const raw = zstdDecompressSync(block.body, { maxOutputLength: blockUnpackedBytesMax, chunkSize: chunkBytes });
    const metaLength = raw.readUInt32LE(0);
    const meta = JSON.parse(raw.toString('utf8', 4, 4 + metaLength)) as BlockMeta;
    const text = raw.subarray(4 + metaLength);
    if (!agree(header, meta)) throw new Error('the header is another one');
    if (text.length !== header.rawBytes) throw new Error(`${text.length} bytes of text instead of ${header.rawBytes}`);
    return new OpenBlock(header, meta, text);
  } catch (cause) {
    throw new RelightError('protocol', `log block ${header.from}–${header.to} is damaged`, { cause });
  }
}

/** The lines of a block, for a reader. Throws what `openBlock` throws. */
export function unpackBlock(block: Block): LogLine[] {
  const open = openBlock(block);
  return Array.from({ length: open.lines }, (_, index) => open.line(index));
}

export class OpenBlock {
  readonly header: BlockHeader;
  /** The bytes of all lines, each followed by one \n. */
  readonly text: Buffer;
  readonly #meta: BlockMeta;
  /** Where every line begins, and the end of the text: found at once, because a wrong number of lines is damage. */
  readonly #starts: Uint32Array;
  readonly #times: Runs<number>;
  readonly #streams = new Runs<OutputStream>();
  readonly #approx = new Runs<number>();
  readonly #skips = new Runs<readonly [index: number, before: number, each: number]>();
  readonly #truncated: ReadonlySet<number>;
  readonly #collapsed: ReadonlyMap<number, number>;

  /** Throws when the text does not hold the header's number of lines. */
  constructor(header: BlockHeader, meta: BlockMeta, text: Buffer) {
    this.header = header;
    this.text = text;
    this.#meta = meta;
    this.#starts = startsOf(text, header.lines);
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

  get lines(): number {
    return this.header.lines;
  }

  /** Position in `text` of the first byte of a line, and, for `lines`, the length of the text. */
  start(index: number): number {
    return this.#starts[index] ?? this.text.length;
  }

  /** Position in `text` of the newline behind a line. */
  end(index: number): number {
    return this.start(index + 1) - 1;
  }

  /** Which line holds the byte at `position` of the text (its newline belongs to it). */
  indexAt(position: number): number {
    let [low, high] = [0, this.lines];
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

function startsOf(text: Buffer, lines: number): Uint32Array {
  // Every line has its newline: a number that somebody made up asks for no more than the text is long.
  const starts = new Uint32Array(Math.min(lines, text.length) + 1);
  let found = 0;
  for (let newline = text.indexOf(10); newline >= 0 && found < lines; newline = text.indexOf(10, newline + 1)) {
    starts[(found += 1)] = newline + 1;
  }
  if (found !== lines || starts[lines] !== text.length) throw new Error(`there are not ${lines} lines`);
  return starts;
}
