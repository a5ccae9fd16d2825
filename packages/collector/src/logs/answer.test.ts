import { packBlock } from '@relight/shared/log-block';
import { expect, test } from 'vitest';
import type { StoredLogPiece } from '../store/store.ts';
import { answerLogs } from './answer.ts';
import type { PieceReads } from './read.ts';

const count = 400;
const words = (id: number): string => (id > count - 3 ? `wanted ${id}` : `other ${id}`);

/** A piece a line; counts how many were asked for. */
function oneLineEach(): PieceReads & { asked: number } {
  const segment = { workload: 'w', generation: 1, source: 'process', run: '1' };
  const pieces = Array.from({ length: count }, (_, index): StoredLogPiece => {
    const bytes = Buffer.from(words(index + 1));
    const line = { offset: index * 100, at: index, approx: false, stream: 'stdout' as const, bytes, truncated: false };
    return {
      kind: 'block',
      id: index + 1,
      host: 'h',
      receivedAt: index,
      block: packBlock(segment, line.offset, line.offset + 100, [line]),
    };
  });
  const store = {
    asked: 0,
    logPieces(_filter: unknown, { beforeId = Infinity, limit }: { beforeId?: number; limit: number }) {
      const found = pieces
        .filter(({ id }) => id < beforeId)
        .toReversed()
        .slice(0, limit);
      store.asked += found.length;
      return found;
    },
  };
  return store;
}

const ask = (limit: number) => ({
  question: { grep: 'wanted' },
  order: { newestFirst: true as const, limit },
  upTo: count,
  format: 'text' as const,
});

test('a page that is full but for its last line goes out before the rest of the store has been searched', async () => {
  const store = oneLineEach();
  const answer = answerLogs(store, ask(3));
  // In one text, or in two where a slice of time has ended between them.
  let first = '';
  while (!first.includes('wanted 399')) {
    const next = await answer.next();
    if (next.done === true) break;
    first += next.value;
  }
  expect(first).toMatch(/wanted 400\n.*wanted 399\n$/);
  expect(store.asked).toBeLessThan(count / 2);
  const rest: string[] = [];
  for await (const text of answer) rest.push(text);
  expect(rest.join('')).toMatch(/wanted 398\n$/);
  expect(store.asked).toBe(count);
});
