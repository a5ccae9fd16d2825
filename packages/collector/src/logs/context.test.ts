/** What is shown around lines that are wanted, wherever blocks are cut: as if the log were one file. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ApiLogEntry, ApiLogLine } from '@relight/shared/api';
import { packBlock } from '@relight/shared/log-block';
import { epoch } from '../../../../test/support/fleet-records.ts';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import { decodeCursor, encodeCursor, type LogCursor } from './cursor.ts';
import { PieceDecoder } from './decode.ts';
import { lastEntries, readBackwards, readLogs } from './read.ts';
import type { LogQuestion } from './selection.ts';

const beginning = { done: 0, partly: [] };

/** Writes lines of one segment a host, in blocks as they are given; null is a gap. */
class Log {
  readonly store = new MemoryStore();
  readonly #ends = new Map<string, number>();
  #at = epoch;

  /** `at`: when the first line is written, if not behind all others. */
  async write(host: string, blocks: readonly (readonly string[] | null)[], at?: number): Promise<this> {
    const segment = { workload: 'w', generation: 1, source: 'process', run: '1' };
    if (at !== undefined) this.#at = epoch + at;
    for (const lines of blocks) {
      const from = this.#ends.get(host) ?? 0;
      let to = from;
      const raw = (lines ?? []).map((text) => {
        const line = {
          offset: to,
          at: (this.#at += 1),
          approx: false,
          stream: 'stdout' as const,
          bytes: Buffer.from(text),
          truncated: false,
        };
        to += line.bytes.length + 1;
        return line;
      });
      if (lines === null) to += 10;
      this.#ends.set(host, to);
      if (lines === null)
        await this.store.commitGap(host, host, { type: 'gap', segment, from, to, reason: 'rotated', at: this.#at }, this.#at);
      else await this.store.commitBlock(host, host, packBlock(segment, from, to, raw), this.#at);
    }
    return this;
  }

  async forwards(question: LogQuestion): Promise<ApiLogEntry[]> {
    const found: ApiLogEntry[] = [];
    for await (const { entries } of readLogs(this.store, question, { from: beginning, upTo: Infinity })) found.push(...entries);
    return found;
  }
  /** As somebody reads them who asks for the next page with what the one before gave. */
  async pages(question: LogQuestion, limit: number): Promise<ApiLogEntry[]> {
    const found: ApiLogEntry[] = [];
    for (let from: LogCursor = beginning; ;) {
      const before = found.length;
      for await (const { entries, cursor } of readLogs(this.store, question, { from, upTo: Infinity, limit })) {
        found.push(...entries);
        from = (cursor === null ? undefined : decodeCursor(encodeCursor(cursor))) ?? from;
        if (found.length - before >= limit) break;
      }
      if (found.length === before) return found;
    }
  }
  async backwards(question: LogQuestion): Promise<ApiLogEntry[]> {
    const found: ApiLogEntry[] = [];
    for await (const { entries } of readBackwards(this.store, question, { upTo: Infinity })) found.push(...entries);
    return found;
  }
  /** `ahead`: so many pieces have come when it is the turn of one. */
  live(question: LogQuestion, ahead = 0): ApiLogEntry[] {
    const decoder = new PieceDecoder(question, 'live');
    const pieces = this.store.pieceRows;
    let arrived = 0;
    return pieces.flatMap((piece, index) => {
      for (const other of pieces.slice(arrived, index + 1 + ahead)) decoder.arrived(other);
      arrived = Math.max(arrived, index + 1 + ahead);
      return decoder.decode(piece).entries.map(({ entry }) => entry);
    });
  }
}

/** `=x` wanted, `-x` context, `--` where something was left out. */
function shown(entries: readonly ApiLogEntry[]): string[] {
  return entries.flatMap((entry) => {
    if ('gap' in entry) return ['gap'];
    return [...(entry.apart === true ? ['--'] : []), `${entry.context === true ? '-' : '='}${entry.line}`];
  });
}

/** What grep -A -B would show of one file. */
function grep(lines: readonly string[], wanted: (line: string) => boolean, before: number, after: number): string[] {
  const out: string[] = [];
  let last = -1;
  for (const [index, line] of lines.entries()) {
    const near = lines.slice(Math.max(0, index - after), index + before + 1).some(wanted);
    if (!near) continue;
    if (last !== index - 1 || out.length === 0) out.push('--');
    last = index;
    out.push(`${wanted(line) ? '=' : '-'}${line}`);
  }
  return out;
}

test('lines around a match, over the ends of blocks', async () => {
  const log = await new Log().write('a', [['1', '2'], ['3'], ['hit', '5'], ['6', '7', '8', 'hit'], ['10']]);
  const question = { grep: 'hit', linesBefore: 2, linesAfter: 1 };
  expect(shown(await log.forwards(question))).toEqual(['--', '-2', '-3', '=hit', '-5', '--', '-7', '-8', '=hit', '-10']);
  expect(shown(await lastEntries(log.store, question, { upTo: Infinity, limit: 3 }))).toEqual(['-8', '=hit', '-10']);
});

test('groups of several hosts come one behind the other, gaps stay visible', async () => {
  const log = new Log();
  for (let i = 0; i < 3; i += 1) {
    await log.write('a', [['x', `hit a${i}`, 'y']]);
    await log.write('b', [['x', `hit b${i}`, 'y']]);
  }
  await log.write('a', [null, ['hit after']]);
  const entries = await log.forwards({ grep: 'hit', linesBefore: 1, linesAfter: 1 });
  const group = (name: string): string[] => ['-x', `=hit ${name}`, '-y'];
  // What follows without a hole is not apart; blocks of another host stand between.
  expect(shown(entries).filter((text) => text !== '--')).toEqual([
    ...group('a0'),
    ...group('b0'),
    ...group('a1'),
    ...group('b1'),
    ...group('a2'),
    ...group('b2'),
    'gap',
    '=hit after',
  ]);
});

describe('as grep on one file', () => {
  const line = fc.constantFrom('hit', 'miss', 'other');
  const blocks = fc.array(fc.array(line, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 8 });
  const around = fc.integer({ min: 0, max: 4 });

  test('forwards, backwards and live', async () => {
    await fc.assert(
      fc.asyncProperty(blocks, around, around, async (cut, before, after) => {
        const numbered = cut.map((lines, block) => lines.map((text, index) => `${text} ${block}.${index}`));
        const log = await new Log().write('a', numbered);
        const question = { grep: '^hit', linesBefore: before, linesAfter: after };
        const expected = grep(numbered.flat(), (text) => text.startsWith('hit'), before, after).filter((text) => text !== '--');
        const withoutMarks = (entries: readonly ApiLogEntry[]): string[] => shown(entries).filter((text) => text !== '--');
        expect(withoutMarks(await log.forwards(question))).toEqual(expected);
        expect(withoutMarks(await lastEntries(log.store, question, { upTo: Infinity, limit: 1_000 }))).toEqual(expected);
        expect(withoutMarks(await log.backwards(question)).toSorted()).toEqual(expected.toSorted());
        expect(withoutMarks(log.live(question))).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  test('marks what was left out in between', async () => {
    await fc.assert(
      fc.asyncProperty(blocks, fc.integer({ min: 1, max: 3 }), async (cut, size) => {
        const numbered = cut.map((lines, block) => lines.map((text, index) => `${text} ${block}.${index}`));
        const log = await new Log().write('a', numbered);
        const expected = grep(numbered.flat(), (text) => text.startsWith('hit'), size, size);
        expect(shown(await log.forwards({ grep: '^hit', linesBefore: size, linesAfter: size }))).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });
});

const traceback = ['Traceback (most recent call last):', '  File "x.py", line 1, in f', '    g()', 'ValueError: bad shape'];

describe('records', () => {
  test('wherever blocks are cut, a traceback is one entry: forwards and backwards', async () => {
    const lines = ['INFO up', 'ERROR:root:step failed', ...traceback, 'INFO on', '  indented', 'INFO end'];
    const whole = ['INFO up', ['ERROR:root:step failed', ...traceback].join('\n'), 'INFO on\n  indented', 'INFO end'];
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.integer({ min: 1, max: lines.length - 1 })), async (cuts) => {
        const edges = [0, ...cuts.toSorted((a, b) => a - b), lines.length];
        const log = await new Log().write(
          'a',
          edges.slice(1).map((end, index) => lines.slice(edges[index], end)),
        );
        const texts = (entries: readonly ApiLogEntry[]): string[] => entries.map((entry) => ('gap' in entry ? 'gap' : entry.line));
        expect(texts(await log.forwards({ multiline: true }))).toEqual(whole);
        expect(texts(await lastEntries(log.store, { multiline: true }, { upTo: Infinity, limit: 100 }))).toEqual(whole);
        expect(texts(log.live({ multiline: true }, lines.length))).toEqual(whole);
        expect(texts(log.live({ multiline: true, grep: 'bad shape' }, lines.length))).toEqual([whole[1]]);
        expect(texts(log.live({ multiline: true, grep: 'root:step failed' }, lines.length))).toEqual([whole[1]]);
        expect(texts(await log.forwards({ multiline: true, grep: 'bad shape' }))).toEqual([whole[1]]);
        expect(texts(await log.forwards({ multiline: true, level: 'error', words: ['shape'] }))).toEqual([whole[1]]);
      }),
    );
  });

  const overlapping: [host: 'a' | 'b', lines: string[], at: number][] = [
    ['a', ['ValueError 1', 'x', 'x', 'x', 'ValueError 2', 'x', 'x', 'x', 'ValueError 3'], 1],
    ['b', ['INFO x', 'Traceback (most recent call last):'], 2],
    ['b', ['  File "x.py", line 1, in f', 'ValueError: b'], 8],
  ];
  test('page by page of any size the records are those of one answer', async () => {
    const line = fc.constantFrom(...traceback, 'INFO x', '', '  y', 'ERROR z');
    const block = fc.tuple(fc.constantFrom('a', 'b'), fc.array(line, { minLength: 1, maxLength: 5 }), fc.nat(30));
    const several = fc.array(block, { maxLength: 9 });
    const grep = fc.constantFrom({}, { grep: 'ValueError' }, { grep: 'x.py' }, { level: 'error' as const });
    await fc.assert(
      fc.asyncProperty(several, grep, fc.integer({ min: 1, max: 4 }), async (blocks, criteria, limit) => {
        const log = new Log();
        for (const [host, lines, at] of blocks) await log.write(host, [lines], at);
        const question = { ...criteria, multiline: true };
        // Of one host in their order; with clocks that jump, that of several hosts is another one on the next page.
        const told = (entries: readonly ApiLogEntry[], of: string): object[] =>
          entries.filter(({ host }) => host === of).map((entry) => ({ ...entry, apart: false }));
        const [paged, whole] = [await log.pages(question, limit), await log.forwards(question)];
        for (const host of ['a', 'b']) expect(told(paged, host)).toEqual(told(whole, host));
      }),
      {
        numRuns: 500,
        // A page ends while a block is read to its end at which a record begins that only the next block makes wanted.
        examples: [[overlapping, { grep: 'ValueError' }, 2]],
      },
    );
  });

  test('every line once, whatever the blocks', async () => {
    const line = fc.constantFrom(...traceback, 'INFO x', '', '  y', 'During handling of the above exception, another exception occurred:');
    const several = fc.array(fc.array(line, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(several, fc.nat(3), fc.nat(2), async (blocks, ahead, linesAfter) => {
        const log = await new Log().write('a', blocks);
        const lines = (entries: readonly ApiLogEntry[]): string[] =>
          entries.flatMap((entry) => ('gap' in entry ? [] : entry.line.split('\n')));
        expect(lines(await log.forwards({ multiline: true }))).toEqual(blocks.flat());
        expect(lines(await lastEntries(log.store, { multiline: true }, { upTo: Infinity, limit: 1_000 }))).toEqual(blocks.flat());
        expect(lines(log.live({ multiline: true, linesAfter }, ahead))).toEqual(blocks.flat());
      }),
      { numRuns: 300 },
    );
  });
});

test('levels: what says that it is serious enough', async () => {
  const log = await new Log().write('a', [['DEBUG a', 'INFO b', 'plain'], ['WARNING c', 'ERROR d'], ['{"level":"fatal"}']]);
  const found = async (level: 'debug' | 'warning' | 'critical'): Promise<string[]> => shown(await log.forwards({ level }));
  expect(await found('debug')).toEqual(['=DEBUG a', '=INFO b', '=WARNING c', '=ERROR d', '={"level":"fatal"}']);
  expect(await found('warning')).toEqual(['=WARNING c', '=ERROR d', '={"level":"fatal"}']);
  expect(await found('critical')).toEqual(['={"level":"fatal"}']);
  expect((await log.forwards({ words: ['d'] }))[0]).toMatchObject({ level: 'error' });
});

test('words and expressions are found in the bytes as in the lines', async () => {
  const letter = fc.constantFrom('a', 'B', 'é', '日', '_', ' ', '1', '.', '\ufffd');
  const text = fc.array(letter, { maxLength: 8 }).map((letters) => letters.join(''));
  const bytes = fc.oneof(
    text,
    text.map((one) => Buffer.from(one, 'latin1').toString('latin1')),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(bytes, { minLength: 1, maxLength: 12 }), text, async (lines, word) => {
      fc.pre(/\S/.test(word));
      const log = await new Log().write('a', [lines]);
      const letters = word.replaceAll('.', String.raw`\.`).replaceAll(/[aB]/g, (c) => `[${c.toLowerCase()}${c.toUpperCase()}]`);
      const plain = new RegExp(`(?<![0-9A-Za-z_\\u0080-\\uffff])${letters}(?![0-9A-Za-z_\\u0080-\\uffff])`);
      const token = /[0-9A-Za-z_\u0080-\uffff]/;
      // At other ends a word needs no boundary.
      const isToken = token.test(word[0] ?? '') && token.test(word.at(-1) ?? '');
      const found = isToken ? shown(await log.forwards({ words: [word] })) : [];
      expect(found).toEqual(lines.filter((one) => isToken && plain.test(one)).map((one) => `=${one}`));
      const quoted = word.replaceAll('.', String.raw`\.`);
      expect(shown(await log.forwards({ grep: quoted }))).toEqual(lines.filter((one) => one.includes(word)).map((one) => `=${one}`));
    }),
    { numRuns: 500 },
  );
});

test.each(['forwards', 'backwards'] as const)(
  'whole records, %s, of a log that came line by line: the store is asked for what stands beside them once for many, not for each 64 times',
  async (way) => {
    const lines = Array.from({ length: 300 }, (_, index) => (index % 3 === 0 ? `record ${index}` : `  more ${index}`));
    const log = await new Log().write(
      'h',
      lines.map((line) => [line]),
    );
    let asked = 0;
    const ask = log.store.logPieces.bind(log.store);
    log.store.logPieces = (...given) => {
      asked += 1;
      return ask(...given);
    };
    const entries = await log[way]({ multiline: true });
    expect(entries).toHaveLength(100);
    expect(entries.every((entry) => 'lines' in entry && entry.lines === 3)).toBe(true);
    // A page of 64 and its neighbours by 32.
    expect(asked).toBeLessThan(40);
  },
);

describe('what belongs together and is longer than an entry may be', () => {
  const long = [
    'Traceback (most recent call last):',
    ...Array.from({ length: 1_100 }, (_, i) => `  File "f.py", line ${i}`),
    'ValueError: x',
  ];

  test.each(['forwards', 'backwards'] as const)('comes in parts that say which they are, read %s', async (way) => {
    const log = await new Log().write('a', [['step 1', ...long, 'step 2']]);
    const entries = (await log[way]({ multiline: true })).flatMap((entry) => ('gap' in entry ? [] : entry));
    const parts = entries.toSorted((a, b) => a.offset - b.offset).map(({ part, lines }) => [part, lines]);
    expect(parts).toEqual([
      [undefined, undefined],
      ['first', 512],
      ['middle', 512],
      ['last', 78],
      [undefined, undefined],
    ]);
  });

  /** Indented throughout: no line of it needs to know how it began. */
  const indented = ['ERROR step failed', ...Array.from({ length: 1_101 }, (_, i) => `  detail ${i}`)];
  const lines = ['step 1', ...indented, 'step 2'];
  const inBlocksOf = (size: number): string[][] =>
    Array.from({ length: Math.ceil(lines.length / size) }, (_, i) => lines.slice(i * size, (i + 1) * size));
  const inOrder = (entries: readonly ApiLogEntry[]): ApiLogLine[] =>
    entries.flatMap((entry) => ('gap' in entry ? [] : entry)).toSorted((a, b) => a.offset - b.offset);
  const question = { multiline: true };
  const ways = {
    forwards: (log: Log) => log.forwards(question),
    backwards: (log: Log) => log.backwards(question),
    last: (log: Log) => lastEntries(log.store, question, { upTo: Infinity }),
  };

  // Of 1 and 10 lines: 32 of them, so far is looked for the rest, are less than an entry may have.
  describe.each([1, 10, 100, 400])('in blocks of %i lines', (size) => {
    test.each(['forwards', 'backwards', 'last'] as const)('one first part, one last, all between them middle: %s', async (way) => {
      const log = await new Log().write('a', inBlocksOf(size));
      const found = inOrder(await ways[way](log));
      expect(found.flatMap(({ line }) => line.split('\n'))).toEqual(lines);
      expect(found.length).toBeGreaterThan(4);
      const middle = found.slice(2, -2).map(() => 'middle');
      expect(found.map(({ part }) => part)).toEqual([undefined, 'first', ...middle, 'last', undefined]);
    });
  });

  test.each([32, 33, 34, 65, 66, 67])(
    'one of %i lines, each in a block: whether it ends where no further is looked is known',
    async (count) => {
      const log = await new Log().write(
        'a',
        ['step 1', ...indented.slice(0, count), 'step 2'].map((line) => [line]),
      );
      for (const way of ['forwards', 'backwards', 'last'] as const) {
        const parts = inOrder(await ways[way](log))
          .slice(1, -1)
          .map(({ part }) => part);
        const middle = parts.slice(1, -1).map(() => 'middle');
        expect({ way, parts }).toEqual({ way, parts: parts.length === 1 ? [undefined] : ['first', ...middle, 'last'] });
      }
    },
  );

  test.each([0, 3, 100])('live it is not said: where it ends is not known while it is written (%i blocks ahead)', async (ahead) => {
    const log = await new Log().write('a', inBlocksOf(100));
    const found = log.live(question, ahead).flatMap((entry) => ('gap' in entry ? [] : entry));
    expect(found.flatMap(({ line }) => line.split('\n'))).toEqual(lines);
    expect(found.map(({ part }) => part).filter((part) => part !== undefined)).toEqual([]);
  });
});
