import { packBlock, unpackBlock } from '@relight/shared/log-block';
import fc from 'fast-check';
import { rmSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import { MemoryStore } from '../../../../../test/support/memory-store.ts';
import { quickDirectory } from '../../../../../test/support/quick-directory.ts';
import type { LogFilter } from '../store.ts';
import { listLogFiles, logDirectory } from './file-names.ts';
import { LogWriter } from './log-writer.ts';
import type { LogReads } from './port.ts';
import { openLogReader } from './reader.ts';
import { sealLogFile } from './seal.ts';

const day = 86_400_000;
const start = Date.UTC(2026, 10, 22);

/** A piece of one of three segments that begins so far behind what is committed; or something that happens to the files. */
type Step =
  | { readonly do: 'block' | 'gap'; readonly segment: number; readonly skip: number; readonly length: number; readonly later: number }
  | { readonly do: 'open-again' }
  | { readonly do: 'seal' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constantFrom('block' as const, 'block' as const, 'gap' as const),
      segment: fc.nat(2),
      skip: fc.constantFrom(0, 0, 0, 0, -5, 3),
      length: fc.integer({ min: 2, max: 9 }),
      later: fc.constantFrom(0, 0, 1, day, 3 * day, -day),
    }),
  },
  { weight: 2, arbitrary: fc.constantFrom({ do: 'open-again' as const }, { do: 'seal' as const }) },
);

const segmentOf = (which: number) => ({ workload: `w${which}`, generation: 1, source: 'process', run: 'r' });

/** What a reader finds, without the shape of the pieces: sealing joins them. */
const found = (from: LogReads, filter: LogFilter): string[] =>
  from
    .logPieces(filter, { limit: 10_000 })
    .flatMap((piece) =>
      piece.kind === 'gap'
        ? [`${piece.host} gap ${piece.gap.from}-${piece.gap.to}`]
        : unpackBlock(piece.block).map(({ offset, line }) => `${piece.host} ${piece.block.header.segment.workload} ${offset} ${line}`),
    )
    .toSorted((a, b) => a.localeCompare(b));

it('the files say what a store in memory says, over days, restarts and seals', async () => {
  const directories: string[] = [];
  onTestFinished(() => directories.forEach((directory) => rmSync(directory, { recursive: true, force: true })));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.integer({ min: 2, max: 12 }), async (steps, filePiecesMax) => {
      const dataDir = quickDirectory('relight-model-');
      directories.push(dataDir);
      const logs = logDirectory(dataDir);
      const open = (): LogWriter =>
        new LogWriter({
          directory: logs,
          limits: { fileBytesMax: 2 ** 30, filePiecesMax },
          onDamage: ({ message }) => expect.fail(message),
        });
      const model = new MemoryStore();
      const reader = openLogReader(dataDir);
      let writer = open();
      let now = start;
      const ids: number[] = [];
      const answers: object[] = [];
      const expected: object[] = [];
      for (const one of steps) {
        if (one.do === 'open-again') {
          writer.close();
          writer = open();
        } else if (one.do === 'seal') {
          for (const name of listLogFiles(logs))
            if (!name.sealed && name.path !== writer.current?.path) Array.from(sealLogFile(logs, name));
        } else {
          now += one.later;
          const segment = segmentOf(one.segment);
          const host = `h${one.segment % 2}`;
          const from = Math.max(0, model.committedOffset('a', segment) + one.skip);
          const to = from + one.length;
          const gap = { type: 'gap' as const, segment, from, to, reason: 'budget', at: now };
          const line = {
            offset: from,
            at: now,
            approx: false,
            stream: 'stdout' as const,
            bytes: Buffer.alloc(one.length - 1, 'x'),
            truncated: false,
          };
          const block = packBlock(segment, from, to, [line]);
          const right = one.do === 'gap' ? await model.commitGap('a', host, gap, now) : await model.commitBlock('a', host, block, now);
          const receivedAt = now;
          const { id, ...done } = writer.inFile(receivedAt, ({ db, writes }) => {
            db.pragma('synchronous = OFF');
            return one.do === 'gap' ? writes.commitGap('a', host, gap, receivedAt) : writes.commitBlock('a', host, block, receivedAt);
          });
          answers.push(done);
          expected.push({ committed: right.committed, stored: right.stored, rewind: right.rewind });
          if (id !== undefined) ids.push(id);
        }
        for (const which of [0, 1, 2])
          expect(reader.committedOffset('a', segmentOf(which))).toBe(model.committedOffset('a', segmentOf(which)));
      }
      expect(answers).toEqual(expected);
      expect(ids).toEqual([...new Set(ids)].toSorted((a, b) => a - b));
      const filters: LogFilter[] = [
        {},
        { hosts: ['h0'] },
        { workload: 'w1' },
        { hosts: ['h0', 'h1'], workload: 'w2' },
        { words: ['nothing'], hosts: [] },
      ];
      for (const filter of filters) expect(found(reader, filter)).toEqual(found(model, filter));
      writer.close();
      reader.close();
      rmSync(dataDir, { recursive: true });
    }),
    {
      numRuns: 25,
      examples: [
        // A file that nothing was ever written to, and the one after it: which one is the newer?
        [
          [
            { do: 'block', segment: 0, skip: 3, length: 2, later: 0 },
            { do: 'block', segment: 0, skip: 0, length: 2, later: 86_400_000 },
            { do: 'seal' },
          ],
          2,
        ],
      ],
    },
  );
}, 300_000);
