/** What a reader of live lines keeps of what has passed: enough to show what stands around a line, and never much. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packBlock } from '@relight/shared/log-block';
import { epoch } from '../../../../test/support/fleet-records.ts';
import type { BlockPiece } from './decode.ts';
import { RecentPieces } from './recent.ts';

/** Blocks of one segment after the other, each as many lines as asked for. */
class Segment {
  #to = 0;
  readonly #workload: string;
  #id = 0;

  constructor(workload: string) {
    this.#workload = workload;
  }

  next(lines: number, text = 'x'): BlockPiece {
    const segment = { workload: this.#workload, generation: 1, source: 'process', run: '1' };
    const from = this.#to;
    const raw = Array.from({ length: lines }, (_, index) => {
      const bytes = Buffer.from(`${text}${index}`);
      const line = { offset: this.#to, at: epoch, approx: false, stream: 'stdout' as const, bytes, truncated: false };
      this.#to += bytes.length + 1;
      return line;
    });
    this.#id += 1;
    return { kind: 'block', id: this.#id, host: 'h', receivedAt: epoch, block: packBlock(segment, from, this.#to, raw) };
  }
}

/** Lines that can be found before what comes next, going from piece to piece. */
function linesBefore(recent: RecentPieces, next: BlockPiece): number {
  const before = recent.before(next);
  return before === null ? 0 : before.block.header.lines + linesBefore(recent, before);
}

test('of each segment as many lines as may be asked for, where they came in up to 32 blocks', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 60 }),
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 60 }),
      (max, sizes) => {
        const recent = new RecentPieces(max);
        const segment = new Segment('w');
        for (const size of sizes) recent.passed(segment.next(size), false);
        const reachable = sizes.slice(-32).reduce((sum, size) => sum + size, 0);
        const found = linesBefore(recent, segment.next(1));
        expect(found).toBeGreaterThanOrEqual(Math.min(max, reachable));
        // No more than the block that is needed for the last of them.
        expect(found - max).toBeLessThanOrEqual(20);
      },
    ),
  );
});

test('a reader of a whole fleet keeps no more than 8 MiB; the segments that wrote last are those it keeps', () => {
  const recent = new RecentPieces(1_000);
  // What cannot be packed: 30 KB of each.
  const noise = (seed: number): string => createHash('shake256', { outputLength: 30_000 }).update(`${seed}`).digest('base64');
  const segments = Array.from({ length: 300 }, (_, index) => new Segment(`w${index}`));
  for (let round = 0; round < 3; round += 1)
    for (const [index, segment] of segments.entries()) recent.passed(segment.next(1, noise(index * 3 + round)), true);
  expect(recent.bytes).toBeGreaterThan(7 * 1024 ** 2);
  expect(recent.bytes).toBeLessThanOrEqual(8 * 1024 ** 2);
  const [first, last] = [segments[0]?.next(1), segments.at(-1)?.next(1)] as [BlockPiece, BlockPiece];
  expect(recent.before(last)?.block.header.lines).toBe(1);
  expect(recent.opensInto(last)).toBe(true);
  expect(recent.before(first)).toBeNull();
});

test('a small block keeps nothing of the large buffer in which it came', () => {
  const recent = new RecentPieces(100);
  const segment = new Segment('w');
  const piece = segment.next(3);
  const received = new Uint8Array(64 * 1024);
  received.set(piece.block.body, 1_000);
  const body = received.subarray(1_000, 1_000 + piece.block.body.byteLength);
  recent.passed({ ...piece, block: { ...piece.block, body } }, false);
  const kept = recent.before(segment.next(1))?.block.body;
  expect(kept).toEqual(new Uint8Array(piece.block.body));
  expect(kept?.buffer.byteLength).toBe(piece.block.body.byteLength);
});

test('what describes a block counts: thousands of tiny ones with long names do not pass the limit', () => {
  const recent = new RecentPieces(100);
  const segments = Array.from({ length: 1_000 }, (_, index) => new Segment(`${'x'.repeat(4_000)}${index}`));
  for (const segment of segments) for (let block = 0; block < 4; block += 1) recent.passed(segment.next(1), false);
  expect(recent.bytes).toBeLessThanOrEqual(8 * 1024 ** 2);
  const [first, last] = [segments[0]?.next(1), segments.at(-1)?.next(1)] as [BlockPiece, BlockPiece];
  expect(recent.before(first)).toBeNull();
  expect(recent.before(last)?.block.header.lines).toBe(1);
});

test('what is open of small blocks is of their size, and so much of it is counted as is held', () => {
  const recent = new RecentPieces(1_000);
  let most = 0;
  for (let index = 0; index < 5_000; index += 1) {
    const before = recent.bytes;
    const open = recent.opened({ ...new Segment(`w${index}`).next(1), id: index });
    most = Math.max(most, recent.bytes - before);
    // And not the chunk of 64 KiB into which it was unpacked.
    expect(open?.text.buffer.byteLength).toBeLessThan(1_024);
  }
  // Its objects are nearly all of it.
  expect(most).toBeGreaterThan(2_500);
  expect(recent.bytes).toBeLessThanOrEqual(8 * 1024 ** 2);
});
