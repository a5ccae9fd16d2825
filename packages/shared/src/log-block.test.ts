import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { type Block, packBlock, type RawLine, unpackBlock } from './log-block.ts';

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

test.each([[[]], [[0]], [[4]], [[0, 1, 2, 3, 4]], [[1, 2, 4]], [[0, 2, 3]]])('times that are about right stay so: %j', (approx) => {
  const lines = unpackBlock(blockOf(5, new Set(approx)));
  expect(lines.flatMap(({ atApprox }, i) => (atApprox === true ? [i] : []))).toEqual(approx);
});

test('a count that somebody made up costs nothing', () => {
  const block = blockOf(5, new Set([1]));
  const raw = zstdDecompressSync(block.body);
  const length = raw.readUInt32LE(0);
  const meta = JSON.parse(raw.toString('utf8', 4, 4 + length)) as object;
  const forged = Buffer.from(JSON.stringify({ ...meta, approx: [[1, 1e12]] }));
  const head = Buffer.alloc(4);
  head.writeUInt32LE(forged.length);
  const body = zstdCompressSync(Buffer.concat([head, forged, raw.subarray(4 + length)]));
  expect(unpackBlock({ ...block, body }).map(({ atApprox }) => atApprox === true)).toEqual([false, true, true, true, true]);
});
