import { packBlock, unpackBlock } from '@relight/shared/log-block';
import { ManualClock } from '@relight/shared/manual-clock';
import SqliteDatabase from 'better-sqlite3';
import { copyFileSync, mkdtempSync, openSync, closeSync, readdirSync, rmSync, statSync, writeSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openForWriting } from '../database.ts';
import { migrate, migrations } from '../migrate.ts';
import { openStore, type SqliteStore, type StoreOptions } from '../sqlite-store.ts';
import type { LogFilter } from '../store.ts';
import { LogWriter, type LogDamage } from './log-writer.ts';
import type { LogPlace, LogSlice } from './port.ts';
import { openLogReader } from './reader.ts';

const day = 86_400_000;
const start = Date.UTC(2026, 10, 22, 12);
const segment = { workload: 'w', generation: 1, source: 'process', run: 'r1' };
const block = (from: number, text: string, run = 'r1') =>
  packBlock({ ...segment, run }, from, from + text.length + 1, [
    { offset: from, at: start + from, approx: false, stream: 'stdout', bytes: Buffer.from(text), truncated: false },
  ]);
const noLimits = { eventsBefore: 0, logsBefore: 0, logsBytesMax: Number.MAX_SAFE_INTEGER };

let dataDir: string;
let store: SqliteStore;
let damages: LogDamage[];

const open = (more: Partial<StoreOptions> = {}): Promise<SqliteStore> =>
  openStore({ dataDir, clock: new ManualClock(), onLogDamage: (damage) => damages.push(damage), ...more });
const files = (): string[] =>
  readdirSync(join(dataDir, 'logs'))
    .filter((name) => !/-(?:wal|shm)$/.test(name))
    .toSorted();
const texts = (from: Pick<SqliteStore, 'logPieces'> = store): string[] =>
  from
    .logPieces({}, { limit: 1_000 })
    .flatMap((piece) => (piece.kind === 'block' ? unpackBlock(piece.block).map(({ line }) => line) : [`gap ${piece.gap.reason}`]));

/** Overwrites bytes in the middle of a file, as a failing disk does. */
function spoil(name: string, from: number, length: number): void {
  const path = join(dataDir, 'logs', name);
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.alloc(length, 0x5a), 0, length, from);
  closeSync(fd);
}

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-log-files-'));
  damages = [];
  store = await open();
});
afterEach(async () => {
  await store.close();
  rmSync(dataDir, { recursive: true });
});

describe('a file a day', () => {
  it('is chosen by the time of receipt; marks and ids go on in it', async () => {
    await store.commitBlock('a', 'h', block(0, 'one'), start);
    expect(await store.commitBlock('a', 'h', block(4, 'two'), start + day)).toMatchObject({ stored: true, id: 2 });
    expect(await store.commitBlock('a', 'h', block(0, 'one'), start + day)).toMatchObject({ committed: 8, stored: false, rewind: false });
    expect(files()).toEqual(['2026-11-22.db', '2026-11-23.db']);
    expect(texts()).toEqual(['one', 'two']);
    expect(store.logPieces({}, { limit: 1, newestFirst: true }).map(({ id }) => id)).toEqual([2]);
    expect(store.logPieces({}, { afterId: 1, limit: 9 }).map(({ id }) => id)).toEqual([2]);
    expect(store.logPieces({}, { beforeId: 2, newestFirst: true, limit: 9 }).map(({ id }) => id)).toEqual([1]);
    await store.close();
    store = await open();
    expect(store.committedOffset('a', segment)).toBe(8);
    expect(await store.commitBlock('a', 'h', block(8, 'three'), start + day)).toMatchObject({ id: 3 });
  });

  it('is not begun by a clock that is set back a little, and is by one that was wrong by days', async () => {
    await store.commitBlock('a', 'h', block(0, 'one'), start + day);
    await store.commitBlock('a', 'h', block(4, 'two'), start);
    expect(files()).toEqual(['2026-11-23.db']);
    await store.commitBlock('a', 'h', block(8, 'three'), start - 30 * day);
    await store.commitBlock('a', 'h', block(14, 'four'), start);
    expect(files()).toEqual(['2026-10-23.db', '2026-11-22.db', '2026-11-23.db']);
    expect(texts()).toEqual(['one', 'two', 'three', 'four']);
    expect(store.committedOffset('a', segment)).toBe(19);
  });

  it('is followed by another one of the same day when it is full', async () => {
    await store.close();
    store = await open({ logFileLimits: { fileBytesMax: 2 ** 30, filePiecesMax: 2 } });
    for (const [index, text] of ['aaa', 'bbb', 'ccc', 'ddd', 'eee'].entries())
      await store.commitBlock('a', 'h', block(index * 4, text), start);
    expect(files()).toEqual(['2026-11-22.2.db', '2026-11-22.3.db', '2026-11-22.db']);
    expect(texts()).toEqual(['aaa', 'bbb', 'ccc', 'ddd', 'eee']);
  });

  it('can be read on other threads and while it goes', async () => {
    const reader = openLogReader(dataDir);
    expect(texts(reader)).toEqual([]);
    await store.commitBlock('a', 'h', block(0, 'one'), start);
    expect(texts(reader)).toEqual(['one']);
    await store.commitBlock('a', 'h', block(4, 'two'), start + day);
    expect(texts(reader)).toEqual(['one', 'two']);
    await store.prune({ ...noLimits, logsBefore: start + 1 });
    expect(texts(reader)).toEqual(['two']);
    expect(reader.committedOffset('a', segment)).toBe(8);
    reader.close();
  });
});

describe('a slice of what is looked for', () => {
  it('is of one file at most, found or not, and all of them together are all there is', async () => {
    for (let index = 0; index < 5; index += 1) await store.commitBlock('a', 'h', block(index * 5, `w-${index}x`), start + index * day);
    const reader = openLogReader(dataDir);
    const walk = (filter: LogFilter, newestFirst: boolean): number[][] => {
      const found: number[][] = [];
      for (let place: LogPlace | null = {}; place !== null;) {
        const slice: LogSlice = reader.logSlice(filter, { ...place, limit: 9, newestFirst });
        found.push(slice.pieces.map(({ id }) => id));
        place = slice.next;
      }
      return found;
    };
    expect(walk({}, false)).toEqual([[1], [2], [3], [4], [5]]);
    expect(walk({}, true)).toEqual([[5], [4], [3], [2], [1]]);
    expect(walk({ words: ['nowhere'] }, true)).toEqual([[], [], [], [], []]);
    expect(walk({ words: ['3x'] }, false)).toEqual([[], [], [], [4], []]);
    expect(reader.logPieces({ words: ['3x'] }, { limit: 1, newestFirst: true }).map(({ id }) => id)).toEqual([4]);
    expect(reader.logPieces({}, { limit: 9, afterId: 1, beforeId: 4 }).map(({ id }) => id)).toEqual([2, 3]);
    reader.close();
  });
});

describe('retention', () => {
  it('does not open again what it knows: nothing is written to it any more', async () => {
    for (let index = 0; index < 3; index += 1) await store.commitBlock('a', 'h', block(index * 4, 'abc'), start + index * day);
    expect(await store.prune({ ...noLimits, logsBefore: start - 1 })).toEqual({ events: 0, pieces: 0 });
    // Whoever opens it finds no database, and cannot say how old it is.
    spoil('2026-11-22.db', 0, 8_192);
    expect(await store.prune({ ...noLimits, logsBefore: start + 1 })).toEqual({ events: 0, pieces: 1 });
    expect(files()).toEqual(['2026-11-23.db', '2026-11-24.db']);
  });

  it('removes whole files that are too old, then the oldest until the rest fits', async () => {
    for (let index = 0; index < 5; index += 1) await store.commitBlock('a', 'h', block(index * 4, 'abc'), start + index * day);
    expect(await store.prune({ ...noLimits, logsBefore: start + day + 1 })).toEqual({ events: 0, pieces: 2 });
    expect(files()).toEqual(['2026-11-24.db', '2026-11-25.db', '2026-11-26.db']);
    const size = statSync(join(dataDir, 'logs', '2026-11-24.db')).size;
    expect(await store.prune({ ...noLimits, logsBytesMax: size + 1_000 })).toEqual({ events: 0, pieces: 1 });
    expect(files()).toEqual(['2026-11-25.db', '2026-11-26.db']);
    expect(await store.prune({ ...noLimits, logsBytesMax: 1_000 })).toEqual({ events: 0, pieces: 1 });
    expect(files()).toEqual(['2026-11-26.db']);
    expect(store.committedOffset('a', segment)).toBe(20);
  });

  it('forgets marks of runs that others have followed when nothing of them is stored any more, and no others', async () => {
    const runs = ['r1', 'r2', 'r3', 'r4'];
    for (const [index, run] of runs.entries()) await store.commitBlock('a', 'h', block(0, 'abc', run), start + index * day);
    await store.commitBlock('quiet', 'h', block(0, 'abc', 'q'), start);
    const known = () => [
      ...runs.map((run) => store.committedOffset('a', { ...segment, run })),
      store.committedOffset('quiet', { ...segment, run: 'q' }),
    ];
    await store.prune({ ...noLimits, eventsBefore: start + 9 * day, logsBefore: start + day + 1 });
    expect(known()).toEqual([0, 0, 4, 4, 4]);
    // Its last piece is in the newest file, which keeps its streams.
    await store.prune({ ...noLimits, eventsBefore: start + 9 * day, logsBefore: start + 9 * day });
    expect(known()).toEqual([0, 0, 0, 4, 4]);
  });
});

describe('a name that retention has made free', () => {
  it('is not given to a new file: no thread takes that for the old one', async () => {
    await store.close();
    store = await open({ logFileLimits: { fileBytesMax: 2 ** 30, filePiecesMax: 2 } });
    const reader = openLogReader(dataDir);
    let written = 0;
    const write = async (count: number): Promise<void> => {
      for (const end = written + count; written < end; written += 1)
        await store.commitBlock('a', 'h', block(written * 4, name(written)), start);
    };
    const name = (index: number): string => `n${index}`.padEnd(3);
    const names = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, index) => name(from + index));
    await write(5);
    await store.sealLogs();
    expect(texts(reader)).toEqual(names(0, 5));
    await store.prune({ ...noLimits, logsBytesMax: 1_000 });
    expect(files()).toEqual(['2026-11-22.3.db']);
    await write(2);
    // It would be sealed while it is written to, or be taken for one that has been read through.
    await store.sealLogs();
    await write(3);
    await store.sealLogs();
    expect(texts()).toEqual(names(4, 10));
    expect(texts(reader)).toEqual(names(4, 10));
    reader.close();
  });

  it('and one that a wrong clock gives again is opened anew', async () => {
    const reader = openLogReader(dataDir);
    await store.commitBlock('a', 'h', block(0, 'one'), start - 30 * day);
    expect(texts(reader)).toEqual(['one']);
    await store.commitBlock('a', 'h', block(4, 'two'), start);
    await store.prune({ ...noLimits, logsBefore: start - day });
    await store.commitBlock('a', 'h', block(8, 'abc'), start - 30 * day);
    expect(files()).toEqual(['2026-10-23.db', '2026-11-22.db']);
    await store.sealLogs();
    await store.commitBlock('a', 'h', block(12, 'new'), start - 30 * day);
    expect([texts(), texts(reader)]).toEqual([
      ['two', 'abc', 'new'],
      ['two', 'abc', 'new'],
    ]);
    reader.close();
  });

  it('nor does what a crash has left beside one come back in a new one', async () => {
    await store.commitBlock('a', 'h', block(0, 'one'), start);
    copyFileSync(join(dataDir, 'logs', '2026-11-22.db-wal'), join(dataDir, 'logs', '2026-11-23.db-wal'));
    await store.commitBlock('a', 'h', block(4, 'two'), start + day);
    expect(files()).toEqual(['2026-11-22.db', '2026-11-23.2.db']);
    expect(texts()).toEqual(['one', 'two']);
    expect(damages).toEqual([]);
    await store.close();
    store = await open();
    expect(texts()).toEqual(['one', 'two']);
    expect(existsSync(join(dataDir, 'logs', '2026-11-23.db-wal'))).toBe(false);
  });
});

describe('a transaction that a crash has left in a journal', () => {
  it('is rolled back at the start: who only reads could not', async () => {
    await store.commitBlock('a', 'h', block(0, 'one'), start);
    await store.close();
    const path = join(dataDir, 'logs', '2026-11-22.db');
    const copy = join(dataDir, 'copy.db');
    copyFileSync(path, copy);
    const db = new SqliteDatabase(copy);
    db.pragma('journal_mode = DELETE');
    db.pragma('cache_size = 1');
    db.exec('BEGIN');
    for (let id = 2; id < 50; id += 1) db.prepare('INSERT INTO bodies VALUES (?, ?)').run(id, Buffer.alloc(9_000));
    copyFileSync(copy, path);
    copyFileSync(`${copy}-journal`, `${path}-journal`);
    db.close();
    store = await open();
    expect(texts()).toEqual(['one']);
    expect(await store.commitBlock('a', 'h', block(4, 'two'), start)).toMatchObject({ stored: true, id: 2 });
    expect([texts(), damages]).toEqual([['one', 'two'], []]);
  });
});

describe('damage', () => {
  it('of many files at once fails no reader', async () => {
    for (let index = 0; index < 9; index += 1) await store.commitBlock('a', 'h', block(index * 4, `abc`), start + index * day);
    await store.close();
    for (let index = 1; index < 8; index += 1) spoil(`2026-11-${22 + index}.db`, 0, 4_096);
    const told: string[] = [];
    const reader = openLogReader(dataDir, { onDamage: (file) => told.push(file) });
    expect([texts(reader), told.length]).toEqual([['abc', 'abc'], 7]);
    reader.close();
    store = await open();
  });

  const reset = async (): Promise<void> => {
    await store.close();
    store = await open();
  };

  it('of the newest file at the start: set aside, a new one with the marks from before it', async () => {
    await store.commitBlock('a', 'h', block(0, 'one'), start);
    await store.commitBlock('a', 'h', block(4, 'two'), start + day);
    await store.close();
    spoil('2026-11-23.db', 0, 4_096);
    store = await open();
    expect(damages).toHaveLength(1);
    expect(damages[0]?.file).toMatch(/2026-11-23\.db\.damaged$/);
    expect(files()).toEqual(['2026-11-22.db', '2026-11-23.2.db', '2026-11-23.db.damaged']);
    expect(texts()).toEqual(['one']);
    // What only the damaged file had is asked of the agent again.
    expect(store.committedOffset('a', segment)).toBe(4);
    const again = await store.commitBlock('a', 'h', block(4, 'two'), start + day);
    expect(again).toMatchObject({ stored: true, committed: 8 });
    expect(again.id).toBeGreaterThan(1_000_000);
    expect(texts()).toEqual(['one', 'two']);
    await reset();
    expect(texts()).toEqual(['one', 'two']);
    expect(damages).toHaveLength(1);
  });

  it('of the only file, and of its tables alone', async () => {
    for (let index = 0; index < 50; index += 1) await store.commitBlock('a', 'h', block(index * 4, 'abc'), start);
    await store.close();
    const { size } = statSync(join(dataDir, 'logs', '2026-11-22.db'));
    spoil('2026-11-22.db', 8_192, size - 8_192);
    store = await open();
    expect(damages).toHaveLength(1);
    expect(texts()).toEqual([]);
    expect(await store.commitBlock('a', 'h', block(0, 'new'), start)).toMatchObject({ stored: true });
    expect(texts()).toEqual(['new']);
  });

  it('of an older file loses that file alone, and is told once', async () => {
    for (let index = 0; index < 3; index += 1)
      await store.commitBlock('a', 'h', block(index * 4, `${index}${index}${index}`), start + index * day);
    await store.close();
    const { size } = statSync(join(dataDir, 'logs', '2026-11-23.db'));
    spoil('2026-11-23.db', 8_192, size - 8_192);
    store = await open();
    expect(texts()).toEqual(['000', '222']);
    expect(texts()).toEqual(['000', '222']);
    expect(damages.map(({ file }) => file.slice(-21))).toEqual(['2026-11-23.db.damaged']);
    expect(await store.commitBlock('a', 'h', block(12, '333'), start + 2 * day)).toMatchObject({ stored: true });
    expect(texts()).toEqual(['000', '222', '333']);
  });
});

describe('damage that is met while reading', () => {
  /** Every table begins with a page of its own, in the order of the schema. */
  const page = (table: 'blocks' | 'bodies'): number => ({ blocks: 4, bodies: 7 })[table] * 8_192;
  beforeEach(async () => {
    for (const [index, text] of ['one', 'two', 'abc'].entries())
      await store.commitBlock('a', 'h', block(index * 4, text), start + index * day);
  });

  it('of a body is a piece that nobody can unpack; those around it can be', async () => {
    await store.close();
    spoil('2026-11-23.db', page('bodies'), 8_192);
    store = await open();
    const [one, two, abc] = store.logPieces({}, { limit: 9 }).map((piece) => (piece.kind === 'block' ? piece.block : null));
    expect([one, abc].map((found) => found && unpackBlock(found)[0]?.line)).toEqual(['one', 'abc']);
    expect(two?.header).toMatchObject({ from: 4, to: 8, lines: 1 });
    expect(() => two && unpackBlock(two)).toThrow('log block 4–8 is damaged');
    expect(damages).toEqual([]);
  });

  it('of an index leaves the file out, and says so', async () => {
    await store.close();
    spoil('2026-11-23.db', page('blocks'), 8_192);
    const told: string[] = [];
    const reader = openLogReader(dataDir, { onDamage: (file) => told.push(file) });
    expect([texts(reader), texts(reader)]).toEqual([
      ['one', 'abc'],
      ['one', 'abc'],
    ]);
    expect(told).toEqual([join(dataDir, 'logs', '2026-11-23.db')]);
    reader.close();
    store = await open();
  });

  it('or while writing: the same commit goes into a new file', async () => {
    await store.close();
    const writer = new LogWriter({ directory: join(dataDir, 'logs'), onDamage: (damage) => damages.push(damage) });
    let tries = 0;
    const done = writer.inFile(start + 2 * day, ({ writes }) => {
      tries += 1;
      if (tries === 1) throw Object.assign(new Error('database disk image is malformed'), { code: 'SQLITE_CORRUPT_INDEX' });
      return writes.commitBlock('a', 'h', block(8, 'abc'), start + 2 * day);
    });
    writer.close();
    expect({ tries, done }).toMatchObject({ tries: 2, done: { stored: true, committed: 12, id: 4 } });
    expect(files()).toEqual(['2026-11-22.db', '2026-11-23.db', '2026-11-24.2.db', '2026-11-24.db.damaged']);
    store = await open();
    expect(texts()).toEqual(['one', 'two', 'abc']);
  });
});

describe('logs of an older version', () => {
  /** A database as it was before there were log files. */
  function older(): void {
    rmSync(dataDir, { recursive: true });
    dataDir = mkdtempSync(join(tmpdir(), 'relight-log-files-'));
    const db = openForWriting(dataDir);
    migrate(db, 1, migrations.slice(0, 2));
    const piece = db.prepare(
      `INSERT INTO log_pieces (kind, received_at, host, workload, generation, source, run, first_at, last_at, bytes, header, body)
       VALUES (?, ?, 'h', 'w', 1, 'process', 'r1', 1, 1, 1, ?, ?)`,
    );
    for (const [index, text] of ['one', 'two', 'abc'].entries()) {
      const { header, body } = block(index * 4, text);
      const { crc: _, filterBytes: __, ...old } = header;
      piece.run('block', start + index * day, JSON.stringify(old), body);
    }
    const gap = { type: 'gap', segment, from: 12, to: 20, reason: 'budget', at: start };
    piece.run('gap', start + 2 * day, JSON.stringify(gap), null);
    db.exec(`INSERT INTO segments VALUES ('a', 'w', 1, 'process', 'r1', 20, ${start})`);
    db.close();
  }
  const expectAllCarriedOver = async (): Promise<void> => {
    expect(files()).toEqual(['2026-11-22.db', '2026-11-23.db', '2026-11-24.db']);
    expect(texts()).toEqual(['one', 'two', 'abc', 'gap budget']);
    expect(store.committedOffset('a', segment)).toBe(20);
    expect(await store.commitBlock('a', 'h', block(0, 'one'), start)).toMatchObject({ stored: false, rewind: false });
    // 5 is where the file began that the clock going back has made: it stayed empty.
    expect(await store.commitBlock('a', 'h', block(20, 'new'), start + 2 * day)).toMatchObject({ stored: true, id: 6 });
  };

  it('are moved into log files, with their ids and marks', async () => {
    await store.close();
    older();
    store = await open();
    await expectAllCarriedOver();
    expect(existsSync(join(dataDir, 'relight.db.before-3'))).toBe(true);
  });

  it('are moved once, also when that was interrupted before the end', async () => {
    await store.close();
    older();
    copyFileSync(join(dataDir, 'relight.db'), join(dataDir, 'kept.db'));
    store = await open();
    await store.close();
    // As if it had been killed: the old tables are still there, the last file is not.
    copyFileSync(join(dataDir, 'kept.db'), join(dataDir, 'relight.db'));
    rmSync(join(dataDir, 'logs', '2026-11-24.db'));
    store = await open();
    await expectAllCarriedOver();
    expect(damages).toEqual([]);
  });
});
