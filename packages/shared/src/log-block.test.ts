import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { crc32, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  blockUnpackedBytesMax,
  BlockBuilder,
  decodeBlock,
  encodeBlock,
  mergeBlocks,
  openBlock,
  openPart,
  packBlock,
  splitFilter,
  unpackBlock,
  verifyBlock,
  type Block,
  type RawLine,
} from './log-block.ts';
import { filterMayHold, tokensOf } from './token-filter.ts';

const segment = { workload: 'w', generation: 1, source: 'process', run: '1' } as const;

/** A line of three characters each; those whose time is only about right are named. */
const blockOf = (count: number, approx: ReadonlySet<number>): Block => {
  const lines = Array.from({ length: count }, (_, i): RawLine => ({
    offset: 4 * i,
    at: 1_000 + i,
    approx: approx.has(i),
    stream: 'stdout',
    bytes: Buffer.from(String(i).padStart(3, '0')),
    truncated: false,
  }));
  return packBlock(segment, 0, 4 * count, lines);
};

interface AnyLine extends Omit<RawLine, 'offset'> {
  /** Bytes of the segment behind the line that are no text: the rest of an over-long line, what the engine writes about it. */
  readonly skip: number;
}

const anyLine: fc.Arbitrary<AnyLine> = fc.record({
  at: fc.oneof(fc.constant(1_700_000_000_000), fc.integer({ min: 0, max: 2 ** 42 })),
  approx: fc.boolean(),
  stream: fc.constantFrom('stdout', 'stderr', 'both'),
  bytes: fc
    .oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.string({ maxLength: 30 }).map((text) => new Uint8Array(Buffer.from(text))),
    )
    .map((bytes) => bytes.map((byte) => (byte === 10 ? 13 : byte))),
  truncated: fc.boolean(),
  collapsed: fc.option(fc.integer({ min: 1, max: 1_000 }), { nil: undefined }),
  skip: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 200 }) }),
}) as fc.Arbitrary<AnyLine>;

/** Lines that begin at `from` or a bit behind it, and where they end. */
function placed(from: number, lines: readonly AnyLine[]): { lines: RawLine[]; to: number } {
  let to = from;
  const placedLines = lines.map(({ skip, ...line }): RawLine => {
    const offset = to + (to === from ? skip : 0);
    to = offset + line.bytes.length + 1 + skip;
    return { ...line, offset };
  });
  return { lines: placedLines, to };
}

const plain = ({ bytes, collapsed, ...line }: RawLine): object => ({
  ...line,
  ...(collapsed === undefined ? {} : { collapsed }),
  hex: Buffer.from(bytes).toString('hex'),
});
const rawLines = (block: Block): object[] => {
  const open = openBlock(block);
  return Array.from({ length: open.lines }, (_, index) => plain(open.raw(index)));
};

const anyBlock = fc.tuple(fc.nat(), fc.array(anyLine, { minLength: 1, maxLength: 40 }));

describe('there and back', () => {
  test('every line with any bytes, over the wire, also without its filter', () => {
    fc.assert(
      fc.property(anyBlock, ([from, any]) => {
        const { lines, to } = placed(from, any);
        const block = decodeBlock(encodeBlock(packBlock(segment, from, to, lines)));
        verifyBlock(block);
        expect(rawLines(block)).toEqual(lines.map(plain));
        const { data, filter } = splitFilter(block);
        expect(rawLines({ ...block, body: data })).toEqual(lines.map(plain));
        expect(unpackBlock(block).map(({ line }) => line)).toEqual(lines.map(({ bytes }) => Buffer.from(bytes).toString('utf8')));
        const tokens = lines.flatMap(({ bytes }) => tokensOf(Buffer.from(bytes).toString('utf8')));
        expect(tokens.filter((token) => filter === null || !filterMayHold(filter, token))).toEqual([]);
      }),
    );
  });

  test('whole runs of text are what their lines are', () => {
    fc.assert(
      fc.property(
        fc.nat(1_000),
        fc.array(fc.array(fc.stringMatching(/^[a-z ]{0,9}$/), { minLength: 1 }), { minLength: 1 }),
        (from, runs) => {
          const [whole, single] = [new BlockBuilder(segment, from), new BlockBuilder(segment, from)];
          let offset = from;
          for (const [index, texts] of runs.entries()) {
            const common = { at: 5_000 + 10 * (index >> 1), approx: index % 3 === 0, stream: 'both' as const };
            const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(''));
            whole.addText({ ...common, offset, bytes, lines: texts.length });
            for (const text of texts) {
              single.addLine({ ...common, offset, bytes: Buffer.from(text), truncated: false });
              offset += text.length + 1;
            }
          }
          expect(rawLines(whole.finish(offset))).toEqual(rawLines(single.finish(offset)));
        },
      ),
    );
  });

  test('where in the text a line is', () => {
    fc.assert(
      fc.property(anyBlock, ([from, any]) => {
        const { lines, to } = placed(from, any);
        const open = openBlock(packBlock(segment, from, to, lines));
        for (let index = 0; index < open.lines; index += 1) {
          expect([open.indexAt(open.start(index)), open.indexAt(open.end(index))]).toEqual([index, index]);
        }
      }),
    );
  });

  test('merged blocks hold the same lines', () => {
    fc.assert(
      fc.property(fc.array(anyBlock, { minLength: 1, maxLength: 6 }), (all) => {
        let position = 0;
        const blocks: Block[] = [];
        for (const [before, any] of all) {
          const from = position + (before % 3 === 0 ? before % 1_000 : 0);
          const { lines, to } = placed(from, any);
          blocks.push(packBlock(segment, from, to, lines));
          position = to;
        }
        const merged = mergeBlocks(blocks, 9);
        verifyBlock(merged);
        expect(rawLines(merged)).toEqual(blocks.flatMap(rawLines));
        expect([merged.header.from, merged.header.to]).toEqual([blocks[0]?.header.from, position]);
      }),
      { numRuns: 50 },
    );
  });
});

describe('damage', () => {
  test('anywhere in a block is an error or changes nothing, never a wrong line', () => {
    fc.assert(
      fc.property(anyBlock, fc.nat(), fc.integer({ min: 1, max: 255 }), ([from, any], where, flip) => {
        const { lines, to } = placed(from, any);
        const frame = encodeBlock(packBlock(segment, from, to, lines));
        const headerLength = frame.readUInt32LE(0);
        const position = 4 + headerLength + (where % (frame.length - 4 - headerLength));
        frame[position] = (frame[position] as number) ^ flip;
        const block = decodeBlock(frame);
        expect(() => verifyBlock(block)).toThrow(/checksum/);
        // As the store keeps it, without the filter and what is checked with it.
        const kept = outcome(() =>
          rawLines({ ...block, body: frame.subarray(4 + headerLength, frame.length - (block.header.filterBytes ?? 0)) }),
        );
        expect(kept === 'error' || isDeepStrictEqual(kept, lines.map(plain))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('a block that is cut short, or whose header says something else, is an error', () => {
    const block = blockOf(20, new Set([3]));
    for (let length = 0; length < block.body.length; length += 1) {
      expect(() => verifyBlock({ ...block, body: block.body.subarray(0, length) })).toThrow();
    }
    const { data } = splitFilter(block);
    for (let length = 0; length < data.length; length += 1) {
      expect(() => openBlock({ ...block, body: data.subarray(0, length) })).toThrow(/damaged/);
    }
    const { header } = block;
    for (const other of [{ from: 1 }, { to: header.to + 1 }, { lines: 19 }, { lines: 21 }, { firstAt: 0 }, { rawBytes: 79 }]) {
      expect(() => openBlock({ ...block, header: { ...header, ...other } })).toThrow(/damaged/);
    }
  });

  test('a filter that is not where the header says', () => {
    const block = blockOf(5, new Set());
    const filterBytes = (block.header.filterBytes ?? 0) - 1;
    expect(() => splitFilter({ ...block, header: { ...block.header, filterBytes } })).toThrow(/filter/);
    expect(() => splitFilter({ ...block, header: { ...block.header, filterBytes: 1e9 } })).toThrow(/filter/);
  });

  test('a small body that unpacks to any size', () => {
    const body = zstdCompressSync(Buffer.alloc(blockUnpackedBytesMax + 1));
    expect(() => openBlock({ ...blockOf(1, new Set()), body })).toThrow(/damaged/);
  });
});

const outcome = <T>(work: () => T): T | 'error' => {
  try {
    return work();
  } catch {
    return 'error';
  }
};

test.each([[[]], [[0]], [[4]], [[0, 1, 2, 3, 4]], [[1, 2, 4]], [[0, 2, 3]]])('times that are about right stay so: %j', (approx) => {
  const lines = unpackBlock(blockOf(5, new Set(approx)));
  expect(lines.flatMap(({ atApprox }, i) => (atApprox === true ? [i] : []))).toEqual(approx);
});

/** The same block with another meta, and text. */
function forged(block: Block, change: (meta: Record<string, unknown>) => object): Block {
  const raw = zstdDecompressSync(block.body);
  const length = raw.readUInt32LE(0);
  const meta = Buffer.from(JSON.stringify(change(JSON.parse(raw.toString('utf8', 4, 4 + length)) as Record<string, unknown>)));
  const head = Buffer.alloc(4);
  head.writeUInt32LE(meta.length);
  const { crc: _crc, filterBytes: _filterBytes, ...header } = block.header;
  return { header, body: zstdCompressSync(Buffer.concat([head, meta, raw.subarray(4 + length)])) };
}

describe('a part of a large block', () => {
  /** Of 3,000 lines of 200 bytes that do not pack well, now and then with something else behind them. */
  const large = (() => {
    const lines = Array.from({ length: 3_000 }, (_, i): AnyLine => ({
      at: 1_000_000 + 7 * i,
      approx: i % 100 < 3,
      stream: i % 500 < 20 ? 'stderr' : 'stdout',
      bytes: Buffer.from(createHash('shake256', { outputLength: 100 }).update(String(i)).digest('hex')),
      truncated: i % 300 === 7,
      skip: i % 40 === 3 ? 5 : 0,
    }));
    const { lines: raw, to } = placed(900, lines);
    return { raw, block: packBlock(segment, 900, to, raw, 9) };
  })();
  const { data } = splitFilter(large.block);
  const stored: Block = { header: { ...large.block.header, crc: crc32(data) }, body: data };

  test.each(['front', 'back'] as const)('%s: its lines are those of the whole, and nothing is said about the others', (side) => {
    for (const block of [large.block, stored]) {
      const part = openPart(block, side);
      if (part === null) throw new Error('there is no part');
      const { firstLine, endLine } = part;
      expect(endLine - firstLine).toBeGreaterThan(100);
      expect(endLine - firstLine).toBeLessThan(1_500);
      expect(side === 'front' ? firstLine : endLine).toBe(side === 'front' ? 0 : 3_000);
      const found = Array.from({ length: endLine - firstLine }, (_, index) => plain(part.raw(firstLine + index)));
      expect(found).toEqual(large.raw.slice(firstLine, endLine).map(plain));
      for (const index of [firstLine, firstLine + 1, endLine - 1]) {
        expect([part.start(index), part.end(index)].map((at) => part.indexAt(at))).toEqual([index, index]);
      }
      // The time of what is next is known: it is not in the text.
      expect(part.at(side === 'front' ? endLine : firstLine - 1)).toBe(large.raw[side === 'front' ? endLine : firstLine - 1]?.at);
    }
  });

  test('of a small block, and of one that is not what it was, there is none', () => {
    const { header, body } = stored;
    expect(openPart(blockOf(100, new Set()), 'front')).toBeNull();
    const spoilt = Uint8Array.from(body, (byte, index) => (index === body.length - 9 ? byte ^ 1 : byte));
    for (const side of ['front', 'back'] as const) {
      expect(openPart({ header, body: spoilt }, side)).toBeNull();
      expect(openPart({ header: { ...header, lines: 20 }, body }, side)).toBeNull();
      expect(openPart({ header: { ...header, to: header.to + 1 }, body }, side)).toBeNull();
    }
    const { crc: _crc, ...unchecked } = header;
    expect(openPart({ header: unchecked, body }, 'front')).toBeNull();
  });
});

test('a newline within a line does not make two', () => {
  const line: RawLine = { offset: 0, at: 1, approx: false, stream: 'stdout', bytes: Buffer.from('one\ntwo'), truncated: false };
  const lines = unpackBlock(packBlock(segment, 0, 17, [line, { ...line, offset: 8 }]));
  expect(lines.map(({ offset, line: text }) => [offset, text])).toEqual([
    [0, 'one two'],
    [8, 'one two'],
  ]);
});

test('a count that somebody made up costs nothing', () => {
  const block = blockOf(5, new Set([1]));
  const approx = forged(block, (meta) => ({ ...meta, approx: [[1, 1e12]] }));
  expect(unpackBlock(approx).map(({ atApprox }) => atApprox === true)).toEqual([false, true, true, true, true]);
  const times = forged(block, (meta) => ({ ...meta, times: [1e12, 7], skips: [1e12, 1] }));
  expect(unpackBlock(times).map(({ at }) => at)).toEqual([1_007, 1_007, 1_007, 1_007, 1_007]);
  expect(() => openBlock({ ...block, header: { ...block.header, lines: 1e12 } })).toThrow(/damaged/);
});

test('a block of an older agent: absolute times and offsets, no checksum, no filter', () => {
  const block = forged(blockOf(3, new Set()), ({ stream }) => ({
    stream,
    at: [
      [0, 1_000],
      [2, 9_000],
    ],
    offsets: [0, 40, 80],
  }));
  verifyBlock(block);
  expect(splitFilter(block).filter).toBeNull();
  expect(unpackBlock(decodeBlock(encodeBlock(block))).map(({ offset, at, line }) => [offset, at, line])).toEqual([
    [0, 1_000, '000'],
    [40, 1_000, '001'],
    [80, 9_000, '002'],
  ]);
});
