import { packBlock } from '@relight/shared/log-block';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { StoredLogPiece } from '../store.ts';
import { linesRead, linesUpTo, placeIn } from './parts.ts';

const line = { offset: 0, at: 1, approx: false, stream: 'stdout' as const, bytes: Buffer.from('x'), truncated: false };
const { body, header } = packBlock({ workload: 'w', generation: 1, source: 'process', run: 'r' }, 0, 2, [line]);

/** A piece merged of parts with these ids and lines. */
function merged(parts: readonly (readonly [id: number, lines: number])[]): StoredLogPiece {
  const lines = parts.reduce((sum, [, count]) => sum + count, 0);
  return {
    kind: 'block',
    id: parts.at(-1)?.[0] ?? 0,
    host: 'h',
    receivedAt: 1,
    block: { body, header: { ...header, lines } },
    parts: parts.map(([id, count]) => ({ id, lines: count, receivedAt: 1 })),
    sealed: true,
  };
}

const piece = merged([
  [3, 2],
  [7, 1],
  [9, 4],
]);

it('counts what was read before the merge by its parts', () => {
  expect(linesRead(piece, { done: 2 })).toBe(0);
  expect(linesRead(piece, { done: 3 })).toBe(2);
  expect(linesRead(piece, { done: 8 })).toBe(3);
  expect(linesRead(piece, { done: 3, partly: [{ id: 9, read: 2 }] })).toBe(5);
  expect(linesRead(piece, { done: 1, partly: [{ id: 3, read: 1 }] })).toBe(1);
});

it('knows that nothing of it was read when the reader saw the sealed file', () => {
  expect(linesRead(piece, { done: 8, sealed: true })).toBe(0);
  expect(linesRead(piece, { done: 8, sealed: true, partly: [{ id: 7, read: 1 }] })).toBe(3);
  expect(linesRead(piece, { done: 9, sealed: true })).toBe(7);
});

it('leaves out what came behind the place up to which is read', () => {
  expect([2, 3, 8, 9].map((upTo) => linesUpTo(piece, upTo))).toEqual([0, 2, 3, 7]);
});

it('names any place in it so that it is found again, also when it was merged into something larger', () => {
  const counts = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(counts, counts, fc.nat(30), (first, behind, at) => {
      const parts = [...first, ...behind].map((lines, index) => [10 + index, lines] as const);
      const small = merged(parts.slice(0, first.length));
      const read = Math.min(at, linesUpTo(small, Infinity));
      const partly = [placeIn(small, read)];
      expect(linesRead(small, { done: 0, partly })).toBe(read);
      expect(linesRead(merged(parts), { done: 0, partly })).toBe(read);
    }),
  );
});
