/** What one reader of live lines has not fetched yet. */
import { expect, test } from 'vitest';
import { packBlock } from '@relight/shared/log-block';
import { systemClock } from '@relight/shared/clock';
import { epoch } from '../../../../test/support/fleet-records.ts';
import { PieceBuffer } from './piece-buffer.ts';

test('of a small block it keeps the bytes of that block, not all that the socket was read with at once', () => {
  const buffer = new PieceBuffer(() => true, systemClock);
  const line = { offset: 0, at: epoch, approx: false, stream: 'stdout' as const, bytes: Buffer.from('x'), truncated: false };
  const block = packBlock({ workload: 'w', generation: 1, source: 'process', run: '1' }, 0, 2, [line]);
  const read = new Uint8Array(65_536);
  read.set(block.body, 1_000);
  const body = read.subarray(1_000, 1_000 + block.body.byteLength);
  buffer.add({ kind: 'block', id: 1, host: 'h', receivedAt: epoch, block: { ...block, body } });
  const [kept] = buffer.take(epoch).pieces;
  if (kept?.piece.kind !== 'block') throw new Error('it is not there');
  expect(kept.piece.block.body).toEqual(new Uint8Array(block.body));
  expect(kept.piece.block.body.buffer.byteLength).toBe(block.body.byteLength);
});
