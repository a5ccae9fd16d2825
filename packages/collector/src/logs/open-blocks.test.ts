/** How often a reader of live lines unpacks what has come: ingest waits for it. */
import { openBlock, packBlock, type Block } from '@relight/shared/log-block';
import { beforeEach, expect, test, vi } from 'vitest';
import { epoch } from '../../../../test/support/fleet-records.ts';
import { PieceDecoder, type BlockPiece } from './decode.ts';
import { OpenBlocks } from './open-blocks.ts';
import { RecentPieces } from './recent.ts';

vi.mock(import('@relight/shared/log-block'), async (original) => {
  const all = await original();
  return { ...all, openBlock: vi.fn<typeof all.openBlock>(all.openBlock) };
});
const unpackings = vi.mocked(openBlock);
beforeEach(() => void unpackings.mockClear());

/** One segment, a block for every few lines, as an agent sends them while somebody watches. */
function pieces(count: number, lines: number, textOf: (line: number) => string, workload = 'w'): readonly BlockPiece[] {
  const segment = { workload, generation: 1, source: 'process', run: '1' };
  let [to, line] = [0, 0];
  return Array.from({ length: count }, (_, index) => {
    const from = to;
    const raw = Array.from({ length: lines }, () => {
      const bytes = Buffer.from(textOf((line += 1)));
      const one = { offset: to, at: epoch + line, approx: false, stream: 'stdout' as const, bytes, truncated: false };
      to += bytes.length + 1;
      return one;
    });
    const block: Block = packBlock(segment, from, to, raw);
    return { kind: 'block', id: index + 1, host: 'h', receivedAt: epoch, block };
  });
}

const watched = { hosts: [], labels: [], previous: false };

test.each([
  ['whole records', { ...watched, multiline: true }],
  ['lines around what is sought', { ...watched, grep: 'line', linesBefore: 40, linesAfter: 40 }],
])('of %s: each block once, however many look into it, and what is shown is the same', (_, selection) => {
  const all = pieces(400, 2, (line) => (line % 3 === 0 ? `line ${line}` : `  at frame ${line}`));
  const decoder = new PieceDecoder(selection, 'live');
  const shown = all.flatMap((piece) => {
    decoder.arrived(piece);
    return decoder.decode(piece).entries.map(({ entry }) => ('line' in entry ? entry.line : 'gap'));
  });
  expect(unpackings).toHaveBeenCalledTimes(all.length);
  // Nothing is kept: what was done before, forty times as often.
  const kept = vi.spyOn(OpenBlocks.prototype, 'open').mockImplementation((piece) => openBlock(piece.block));
  const slow = new PieceDecoder(selection, 'live');
  const expected = all.flatMap((piece) => {
    slow.arrived(piece);
    return slow.decode(piece).entries.map(({ entry }) => ('line' in entry ? entry.line : 'gap'));
  });
  kept.mockRestore();
  expect(unpackings.mock.calls.length).toBeGreaterThan(10 * all.length);
  expect(shown).toEqual(expected);
  expect(shown.join('\n')).toContain('line 3');
});

test('what is kept, packed and unpacked, is no more than 8 MiB, of however many segments', () => {
  const recent = new RecentPieces(512);
  // Packed it is next to nothing.
  const long = 'x'.repeat(100_000);
  for (let workload = 0; workload < 100; workload += 1) {
    for (const piece of pieces(3, 1, () => long, `w${workload}`)) {
      recent.opened({ ...piece, id: workload * 3 + piece.id });
      recent.passed(piece, false);
      expect(recent.bytes).toBeLessThanOrEqual(8 * 1024 ** 2);
    }
  }
  expect(recent.bytes).toBeGreaterThan(7 * 1024 ** 2);
});

test('what is larger than all that may be kept is unpacked each time, and drives nothing out', () => {
  const open = new OpenBlocks();
  const [small, large] = [pieces(1, 1, () => 'x')[0], pieces(2, 1, () => 'x'.repeat(50_000))[1]] as [BlockPiece, BlockPiece];
  for (let i = 0; i < 3; i += 1) for (const piece of [small, large]) expect(open.open(piece, 10_000)).not.toBeNull();
  expect(unpackings).toHaveBeenCalledTimes(4);
  expect(open.bytes).toBeGreaterThan(0);
  open.shrink(0);
  expect(open.bytes).toBe(0);
});
