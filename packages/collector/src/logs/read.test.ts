import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { ApiLogEntry } from '@relight/shared/api';
import { packBlock, type Block } from '@relight/shared/log-block';
import type { SegmentKey } from '@relight/shared/log-stream';
import { epoch, FakeFleet, hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import { decodeCursor, encodeCursor, type LogCursor } from './cursor.ts';
import { compileGrep } from './grep.ts';
import { lastEntries, newestPlace, readBackwards, readLogs } from './read.ts';
import { questionOf, type LogQuestion, type LogSelection } from './selection.ts';

const everything: LogSelection = { hosts: [], labels: [], previous: false };
const everywhere = {};
const beginning: LogCursor = { done: 0, partly: [] };
const segment = (run: string, more: Partial<SegmentKey> = {}): SegmentKey => ({
  workload: 'w',
  generation: 1,
  source: 'process',
  run,
  ...more,
});

/** Appends blocks to segments as an agent does, each from where the last one ended. */
class Writer {
  readonly store = new MemoryStore();
  readonly fleet = new FakeFleet();
  readonly #ends = new Map<string, number>();

  async block(
    host: string,
    key: SegmentKey,
    lines: readonly (readonly [at: number, text: string])[],
    receivedAt = Infinity,
  ): Promise<Block> {
    const id = `${host} ${key.run}`;
    const from = this.#ends.get(id) ?? 0;
    let to = from;
    const raw = lines.map(([at, text]) => {
      const bytes = Buffer.from(text);
      const offset = to;
      to += bytes.length + 1;
      return { offset, at: epoch + at, approx: false, stream: 'stdout' as const, bytes, truncated: false };
    });
    this.#ends.set(id, to);
    const block = packBlock(key, from, to, raw);
    const last = Math.max(...raw.map((line) => line.at));
    await this.store.commitBlock(host, host, block, receivedAt === Infinity ? last : epoch + receivedAt);
    return block;
  }
}

const textOf = (entry: ApiLogEntry): string => ('gap' in entry ? `gap ${entry.gap.reason}` : entry.line);

const newest = (writer: Writer): number => newestPlace(writer.store)?.done ?? 0;
const last = (writer: Writer, selection: LogSelection, limit: number, upTo: number): Promise<readonly ApiLogEntry[]> =>
  lastEntries(writer.store, questionOf(selection, writer.fleet), { limit, upTo });

async function readAll(writer: Writer, selection = everything, from = beginning): Promise<ApiLogEntry[]> {
  const found: ApiLogEntry[] = [];
  const question = questionOf(selection, writer.fleet);
  for await (const { entries } of readLogs(writer.store, question, { from, upTo: newest(writer) })) found.push(...entries);
  return found;
}

describe('reading', () => {
  test('lines of several segments come by time, those of one segment by offset even when its clock jumps back', async () => {
    const writer = new Writer();
    await writer.block('a', segment('1'), [
      [0, 'a0'],
      [100, 'a100'],
      [50, 'a50 after the jump'],
    ]);
    await writer.block('b', segment('1'), [
      [60, 'b60'],
      [120, 'b120'],
    ]);
    expect((await readAll(writer)).map(textOf)).toEqual(['a0', 'b60', 'a100', 'a50 after the jump', 'b120']);
  });

  test('what an agent held back stands where it belongs', async () => {
    const writer = new Writer();
    await writer.block('b', segment('1'), [[60, 'b60']]);
    await writer.block('b', segment('1'), [[90, 'b90']]);
    await writer.block(
      'a',
      segment('1'),
      [
        [0, 'a0'],
        [70, 'a70'],
      ],
      5_000,
    );
    expect((await readAll(writer)).map(textOf)).toEqual(['a0', 'b60', 'a70', 'b90']);
  });

  test('a damaged block is one counted gap, and reading goes on', async () => {
    const writer = new Writer();
    await writer.block('a', segment('1'), [[0, 'before']]);
    const { header, body } = await writer.block('a', segment('1'), [
      [1, 'x'],
      [2, 'y'],
    ]);
    body.fill(0xff, 4);
    await writer.block('a', segment('1'), [[3, 'after']]);
    const found = await readAll(writer);
    expect(found.map(textOf)).toEqual(['before', 'gap damaged', 'after']);
    expect(found[1]).toMatchObject({ host: 'a', run: '1', gap: { from: header.from, to: header.to, lines: 2 } });
    expect((await last(writer, everything, 2, 99)).map(textOf)).toEqual(['gap damaged', 'after']);
  });

  test('filters: workload, source, generation, previous, labels, time, text; gaps stay visible', async () => {
    const writer = new Writer();
    writer.fleet.put(hostRecord('a', { labels: { pool: 'x' }, workloads: [workloadStatus('w', { generation: 2 })] }), hostRecord('b'));
    await writer.block('a', segment('1'), [[0, 'old']]);
    await writer.block('a', segment('2', { generation: 2 }), [
      [10, 'new error'],
      [20, 'new'],
    ]);
    await writer.block('b', segment('3', { source: 'setup' }), [[30, 'setup']]);
    await writer.block('b', segment('4', { workload: 'v' }), [[40, 'other']]);
    const gap = { type: 'gap' as const, segment: segment('2', { generation: 2 }), from: 14, to: 99, reason: 'rotated', at: epoch + 25 };
    await writer.store.commitGap('a', 'a', gap, epoch + 25);
    const found = async (more: Partial<LogSelection>): Promise<string[]> => (await readAll(writer, { ...everything, ...more })).map(textOf);
    expect(await found({ workload: 'v' })).toEqual(['other']);
    expect(await found({ source: 'setup' })).toEqual(['setup']);
    expect(await found({ generation: 1, hosts: ['a'] })).toEqual(['old']);
    expect(await found({ previous: true })).toEqual(['old']);
    expect(await found({ labels: [{ key: 'pool', op: '=', value: 'x' }] })).toEqual(['old', 'new error', 'new', 'gap rotated']);
    expect(await found({ labels: [{ key: 'pool', op: '=', value: 'nobody' }] })).toEqual([]);
    expect(await found({ since: epoch + 15, until: epoch + 30 })).toEqual(['new', 'gap rotated', 'setup']);
    expect(await found({ grep: 'err(or)?$' })).toEqual(['new error', 'gap rotated']);
  });

  test('in pages of any size: every line once, each page behind the one before', async () => {
    const line = fc.record({
      host: fc.constantFrom('a', 'b', 'c'),
      run: fc.constantFrom('1', '2'),
      at: fc.integer({ min: 0, max: 50 }),
      count: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 30 }), fc.integer({ min: 1, max: 7 }), async (blocks, size) => {
        const writer = new Writer();
        let written = 0;
        for (const { host, run, at, count } of blocks) {
          const lines = Array.from({ length: count }, (_, i) => [at + i, `${host}${run} ${(written += 1)}`] as const);
          await writer.block(host, segment(run), lines);
        }
        const whole = (await readAll(writer)).map(textOf);
        const paged: string[] = [];
        let from = beginning;
        for (;;) {
          const before = paged.length;
          for await (const batch of readLogs(writer.store, everywhere, { from, upTo: newest(writer), limit: size })) {
            paged.push(...batch.entries.map(textOf));
            if (batch.cursor !== null) from = decodeCursor(encodeCursor(batch.cursor)) ?? beginning;
            if (paged.length - before === size) break;
          }
          if (paged.length === before) break;
        }
        expect(whole).toHaveLength(written);
        // Between segments a page may begin differently where clocks jump or times are equal; nothing is lost or doubled.
        expect(paged.toSorted()).toEqual(whole.toSorted());
        const keys = new Map<string, number>();
        for (const text of paged) {
          const [key = '', n = ''] = text.split(' ');
          expect(Number(n)).toBeGreaterThan(keys.get(key) ?? 0);
          keys.set(key, Number(n));
        }
      }),
      { numRuns: 100 },
    );
  });

  test('the last N are the end of everything', async () => {
    const writer = new Writer();
    for (let i = 0; i < 300; i += 1) {
      await writer.block(
        'a',
        segment('1'),
        [
          [i * 10, `a${i}`],
          [i * 10 + 9, `a${i}+`],
        ],
        i * 10 + 9,
      );
      await writer.block('b', segment('1'), [[i * 10 + 5, `b${i}`]], i * 10 + 1_000);
    }
    const whole = (await readAll(writer)).map(textOf);
    const upTo = newest(writer);
    for (const count of [1, 3, 100, 899, 5_000]) {
      expect((await last(writer, everything, count, upTo)).map(textOf)).toEqual(whole.slice(-count));
    }
    const rare = { ...everything, grep: '^b7$' };
    expect((await last(writer, rare, 100, upTo)).map(textOf)).toEqual(['b7']);
  });
});

describe('newest first', () => {
  /** Pages of `size`, each behind the one before; the cursor goes out as text and comes back. */
  async function pages(
    writer: Writer,
    question: LogQuestion,
    size: number,
    between: () => Promise<void> = async () => {},
  ): Promise<string[]> {
    const found: string[] = [];
    let from: LogCursor | undefined;
    for (;;) {
      const before = found.length;
      for await (const batch of readBackwards(writer.store, question, { upTo: newest(writer), limit: size, ...(from && { from }) })) {
        found.push(...batch.entries.map(textOf));
        if (batch.cursor !== null) from = decodeCursor(encodeCursor(batch.cursor));
        if (found.length - before >= size) break;
      }
      if (found.length === before) return found;
      await between();
    }
  }

  test('in pages of any size: every line once, and nothing that came meanwhile', async () => {
    const line = fc.record({
      host: fc.constantFrom('a', 'b', 'c'),
      run: fc.constantFrom('1', '2'),
      at: fc.integer({ min: 0, max: 50 }),
      count: fc.integer({ min: 1, max: 4 }),
    });
    // The first piece is begun by one page, and the next one ends before it gets to it.
    const unmet = [
      { host: 'a', run: '1', at: 0, count: 2 },
      ...[0, 0].map((at) => ({ host: 'b', run: '1', at, count: 2 })),
      ...[1, 1, 1, 1, 1].map((at) => ({ host: 'a', run: '1', at, count: 1 })),
      { host: 'c', run: '1', at: 0, count: 1 },
    ];
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 30 }), fc.integer({ min: 1, max: 7 }), async (blocks, size) => {
        const writer = new Writer();
        let written = 0;
        for (const { host, run, at, count } of blocks) {
          await writer.block(
            host,
            segment(run),
            Array.from({ length: count }, (_, i) => [at + i, `${host}${run} ${(written += 1)}`] as const),
          );
        }
        const found = await pages(writer, everywhere, size, async () => void (await writer.block('d', segment('1'), [[99, 'd1 late']])));
        expect(found).toHaveLength(written);
        expect(new Set(found).size).toBe(written);
        const keys = new Map<string, number>();
        for (const text of found) {
          const [key = '', n = ''] = text.split(' ');
          expect(Number(n)).toBeLessThan(keys.get(key) ?? Infinity);
          keys.set(key, Number(n));
        }
      }),
      { numRuns: 100, examples: [[unmet, 1]] },
    );
  });

  test('by time over all hosts, page by page as in one', async () => {
    const writer = new Writer();
    for (let i = 0; i < 300; i += 1) {
      await writer.block(
        'a',
        segment('1'),
        [
          [i * 10, `a${i}`],
          [i * 10 + 9, `a${i}+`],
        ],
        i * 10 + 9,
      );
      await writer.block('b', segment('1'), [[i * 10 + 5, `b${i}`]], i * 10 + 1_000);
    }
    const whole = (await readAll(writer)).map(textOf).toReversed();
    for (const size of [1, 7, 100, 5_000]) expect(await pages(writer, everywhere, size)).toEqual(whole);
    expect(await pages(writer, { words: ['b7'] }, 3)).toEqual(['b7']);
  });
});

/** 180 characters that do not pack well. */
const noise = (seed: number): string => createHash('shake256', { outputLength: 90 }).update(String(seed)).digest('hex');

describe('blocks that are large enough to be looked into in part', () => {
  /** Three hosts that write at the same time: of each block a word in every 50th line, and one only in its middle. */
  async function large(): Promise<{ readonly writer: Writer; readonly lines: readonly (readonly [at: number, text: string])[] }> {
    const writer = new Writer();
    const lines: (readonly [at: number, text: string])[] = [];
    for (let block = 0; block < 3; block += 1) {
      for (const [shift, host] of ['a', 'b', 'c'].entries()) {
        const mine = Array.from({ length: 2_500 }, (_, i) => {
          const at = block * 30_000 + i * 10 + shift;
          const word = i % 50 === 0 ? ' common' : i === 1_250 ? ' middle' : '';
          return [at, `${at} ${host}${word} ${noise(at)}`] as const;
        });
        lines.push(...mine);
        await writer.block(host, segment('1'), mine, block * 30_000 + 26_000);
      }
    }
    return { writer, lines: lines.toSorted((x, y) => x[0] - y[0]) };
  }

  test('say the same in either direction, whole and in pages', async () => {
    const { writer, lines } = await large();
    for (const [more, test] of [
      [{}, () => true],
      [{ words: ['common'] }, (text: string) => text.includes(' common')],
      [{ words: ['middle'] }, (text: string) => text.includes(' middle')],
      [{ grep: 'commo[n] [0-4]' }, (text: string) => /common [0-4]/.test(text)],
      [{ words: ['common'], since: epoch + 12_000, until: epoch + 77_000 }, (text: string) => text.includes(' common') && inTime(text)],
    ] as const) {
      const expected = lines.map(([, text]) => text).filter(test);
      expect((await readAll(writer, { ...everything, ...more })).map(textOf)).toEqual(expected);
      const question = questionOf({ ...everything, ...more }, writer.fleet);
      const paged: string[] = [];
      let from: LogCursor | undefined;
      for (;;) {
        const before = paged.length;
        for await (const batch of readBackwards(writer.store, question, { upTo: newest(writer), limit: 40, ...(from && { from }) })) {
          paged.push(...batch.entries.map(textOf));
          from = batch.cursor ?? from;
          if (paged.length >= before + 40) break;
        }
        if (paged.length === before || paged.length > 200) break;
      }
      expect(paged).toEqual(expected.toReversed().slice(0, paged.length));
      expect(paged.length).toBeGreaterThanOrEqual(Math.min(200, expected.length));
    }
  });
  const inTime = (text: string): boolean => Number(text.split(' ')[0]) >= 12_000 && Number(text.split(' ')[0]) <= 77_000;
});

describe('grep', () => {
  test('an expression that would stop a backtracking engine is answered at once', () => {
    const before = process.cpuUsage();
    expect(compileGrep('^(a+)+$')(`${'a'.repeat(60_000)}!`)).toBe(false);
    // Microseconds: what others do on the machine meanwhile is not counted.
    expect(process.cpuUsage(before).user).toBeLessThan(2_000_000);
  });

  test('literals, flags and expressions', () => {
    expect(compileGrep('step=12')('x step=12 y')).toBe(true);
    expect(compileGrep('(?i)ERROR|fatal')('an Error')).toBe(true);
    expect(compileGrep('a.c')('abc')).toBe(true);
    expect(compileGrep('a b')('a  b')).toBe(false);
  });

  test.each([
    ['not an expression', '('],
    ['look-ahead', '(?=a)'],
    ['repetition of repetition', '((a{1,1000}){1,1000}){1,1000}'],
    ['a large program', '\\w{900}|[a-z]{900}'],
    ['a long text', 'a'.repeat(1_001)],
  ])('%s is refused', (_name, text) => {
    expect(() => compileGrep(text)).toThrow(/^grep: /);
  });
});

test('a cursor is text and back', () => {
  const part = fc.record({ id: fc.nat(1e9), read: fc.nat(1e9) });
  fc.assert(
    fc.property(fc.nat(1e9), fc.array(part, { maxLength: 5 }), (done, parts) => {
      const cursor = { done, partly: parts.map(({ id, read }) => ({ id: done + id, read })) };
      expect(decodeCursor(encodeCursor(cursor))).toEqual(cursor);
      expect(decodeCursor(encodeCursor({ newestFirst: true, ...cursor }))).toEqual({ newestFirst: true, ...cursor });
    }),
  );
  for (const text of ['', 'x', 'n', '1n', '1_', '1_2', '-1', '1_2.x']) expect(decodeCursor(text)).toBeUndefined();
});
