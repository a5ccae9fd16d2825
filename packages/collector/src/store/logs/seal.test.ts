import type { ApiLogEntry } from '@relight/shared/api';
import { packBlock } from '@relight/shared/log-block';
import { ManualClock } from '@relight/shared/manual-clock';
import fc from 'fast-check';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { quickDirectory } from '../../../../../test/support/quick-directory.ts';
import type { LogCursor } from '../../logs/cursor.ts';
import { lastEntries, newestPlace, readBackwards, readLogs, type PieceReads } from '../../logs/read.ts';
import { openStore } from '../sqlite-store.ts';
import { checkLogFile } from './check.ts';
import { listLogFiles, logDirectory, type LogFileName } from './file-names.ts';
import { LogWriter } from './log-writer.ts';
import type { LogReader } from './port.ts';
import { openLogReader } from './reader.ts';
import { sealLogFile } from './seal.ts';

const start = Date.UTC(2026, 10, 22);
const everything = {};

let dataDir: string;
let logs: string;
let reader: LogReader;

beforeEach(() => {
  dataDir = quickDirectory('relight-seal-');
  logs = logDirectory(dataDir);
});
afterEach(() => {
  reader?.close();
  rmSync(dataDir, { recursive: true });
});

/** One piece: so many lines of a segment, at a time; 0 lines: a gap. */
type Written = readonly [segment: number, lines: number, at: number];

/** Commits them, so many to a file; the last file is empty but for one line, so that all others can be sealed. */
function write(pieces: readonly Written[], filePiecesMax: number): void {
  rmSync(logs, { recursive: true, force: true });
  mkdirSync(logs);
  const writer = new LogWriter({
    directory: logs,
    limits: { fileBytesMax: 2 ** 30, filePiecesMax },
    onDamage: ({ message }) => expect.fail(message),
  });
  const ends = new Map<number, number>();
  for (const [which, count, at] of [...pieces, [9, 1, 1_000_000] as const]) {
    const segment = { workload: 'w', generation: 1, source: 'process', run: `r${which}` };
    const from = ends.get(which) ?? 0;
    let to = from;
    const lines = Array.from({ length: count }, (_, index) => {
      const bytes = Buffer.from(`${which} ${from}+${index} caf\u00e9 \u00ff`);
      const line = { offset: to, at: start + at + index, approx: index === 1, stream: 'stderr' as const, bytes, truncated: index === 2 };
      to += bytes.length + 1;
      return line;
    });
    if (count === 0) to += 7;
    ends.set(which, to);
    const done = writer.inFile(start, ({ db, writes }) => {
      db.pragma('synchronous = OFF');
      if (count > 0) return writes.commitBlock('a', `h${which % 2}`, packBlock(segment, from, to, lines), start + at);
      return writes.commitGap('a', `h${which % 2}`, { type: 'gap', segment, from, to, reason: 'budget', at: start + at }, start + at);
    });
    expect(done).toMatchObject({ stored: true });
  }
  writer.close();
}

const inOrder = (): LogFileName[] => listLogFiles(logs).toSorted((a, b) => a.part - b.part);

function seal(which: (index: number) => boolean = () => true): void {
  for (const [index, name] of inOrder().slice(0, -1).entries()) {
    if (!name.sealed && which(index)) Array.from(sealLogFile(logs, name));
  }
}

const keyOf = (entry: ApiLogEntry): string => JSON.stringify(entry);

async function read(store: PieceReads, from: LogCursor, limit = Infinity, upTo = Infinity): Promise<{ keys: string[]; cursor: LogCursor }> {
  const keys: string[] = [];
  for await (const batch of readLogs(store, everything, { from, upTo, limit })) {
    keys.push(...batch.entries.map(keyOf));
    if (keys.length >= limit && batch.cursor !== null) return { keys: keys.slice(0, limit), cursor: batch.cursor };
  }
  return { keys, cursor: from };
}

const beginning: LogCursor = { done: 0, partly: [] };
const pieces = fc.array(fc.tuple(fc.nat(3), fc.nat(3), fc.nat(200)), { minLength: 1, maxLength: 90 });

describe('every line is the same before and after, in its segment in the same order', () => {
  const bySegment = (keys: readonly string[]): string[] => keys.toSorted((a, b) => a.localeCompare(b));

  it('for a reader that goes on from a cursor, made before or between', async () => {
    await fc.assert(
      fc.asyncProperty(
        pieces,
        fc.integer({ min: 10, max: 40 }),
        fc.nat(60),
        fc.nat(60),
        fc.nat(3),
        async (written, filePieces, one, two, mask) => {
          write(written, filePieces);
          reader = openLogReader(dataDir);
          const all = await read(reader, beginning);
          const first = await read(reader, beginning, one + 1);
          seal((index) => index % 2 === mask % 2);
          const second = await read(reader, first.cursor, two + 1);
          seal();
          const rest = await read(reader, second.cursor);
          const found =
            first.keys.length < one + 1
              ? first.keys
              : [...first.keys, ...(second.keys.length < two + 1 ? second.keys : [...second.keys, ...rest.keys])];
          reader.close();
          expect(bySegment(found)).toEqual(bySegment(all.keys));
        },
      ),
      { numRuns: 20 },
    );
  }, 300_000);

  it('for a reader that is under way, forwards up to a place, and backwards', async () => {
    await fc.assert(
      fc.asyncProperty(
        pieces,
        fc.integer({ min: 10, max: 40 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(90),
        async (written, filePieces, when, upTo) => {
          write(written, filePieces);
          reader = openLogReader(dataDir);
          const all = await read(reader, beginning, Infinity, upTo);
          let calls = 0;
          const midway: PieceReads = {
            logPieces(filter, page) {
              calls += 1;
              if (calls === when) seal();
              return reader.logPieces(filter, page);
            },
          };
          const forwards = await read(midway, beginning, Infinity, upTo);
          expect(bySegment(forwards.keys)).toEqual(bySegment(all.keys));
          reader.close();
          write(written, filePieces);
          reader = openLogReader(dataDir);
          calls = 0;
          const backwards: string[] = [];
          for await (const { entries } of readBackwards(midway, everything, { upTo })) backwards.push(...entries.map(keyOf));
          reader.close();
          expect(bySegment(backwards)).toEqual(bySegment(all.keys));
        },
      ),
      { numRuns: 20 },
    );
  }, 300_000);
});

describe('a sealed file', () => {
  const small: Written[] = Array.from({ length: 300 }, (_, index) => [index % 3, 2, index * 10]);

  it('holds few pieces, is smaller, sound, and alone', async () => {
    write(small, 300);
    const path = join(logs, '2026-11-22.db');
    const before = statSync(path).size + (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0);
    reader = openLogReader(dataDir);
    const last = await lastEntries(reader, everything, { upTo: Infinity, limit: 50 });
    seal();
    expect(
      readdirSync(logs)
        .filter((name) => !/-(wal|shm)$/.test(name))
        .toSorted(),
    ).toEqual(['2026-11-22.2.db', '2026-11-22.sealed.db']);
    expect(reader.logPieces({}, { limit: 99 }).map(({ id, sealed, parts }) => [id, sealed, parts?.length])).toEqual([
      [298, true, 100],
      [299, true, 100],
      [300, true, 100],
      [301, undefined, undefined],
    ]);
    const sealed = join(logs, '2026-11-22.sealed.db');
    expect(statSync(sealed).size).toBeLessThan(before);
    expect(checkLogFile(sealed, { unpack: true })).toEqual({ pieces: 3, lines: 600, problems: [] });
    expect(await lastEntries(reader, everything, { upTo: Infinity, limit: 50 })).toEqual(last);
    expect(newestPlace(reader)).toMatchObject({ done: 301 });
  });

  it('is made anew when that was interrupted, and the old one goes when it was not quite', () => {
    write(small, 300);
    const [name] = inOrder();
    if (name === undefined) throw new Error('there is no file');
    const steps = sealLogFile(logs, name);
    for (let step = 0; step < 20; step += 1) steps.next();
    // As a kill leaves it: nothing of the generator runs any more.
    writeFileSync(join(logs, '2026-11-22.sealed.db.sealing'), 'half of it');
    seal();
    writeFileSync(join(logs, '2026-11-22.db'), 'the old one');
    new LogWriter({ directory: logs, onDamage: ({ message }) => expect.fail(message) }).close();
    expect(
      readdirSync(logs)
        .filter((file) => !/-(wal|shm)$/.test(file))
        .toSorted(),
    ).toEqual(['2026-11-22.2.db', '2026-11-22.sealed.db']);
    reader = openLogReader(dataDir);
    expect(reader.logPieces({}, { limit: 99 })).toHaveLength(4);
  });

  it('is made by the thread of the store, while a reader has the old one open', async () => {
    write(small, 300);
    reader = openLogReader(dataDir);
    const all = await read(reader, beginning);
    const store = await openStore({ dataDir, clock: new ManualClock(), onBackgroundError: (error) => expect.fail(error.message) });
    await store.sealLogs();
    expect(inOrder().map(({ sealed }) => sealed)).toEqual([true, false]);
    expect((await read(reader, beginning)).keys.toSorted()).toEqual(all.keys.toSorted());
    expect((await read(store, beginning)).keys.toSorted()).toEqual(all.keys.toSorted());
    await store.close();
  });
});
