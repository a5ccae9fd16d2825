import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { Cursor } from './cursor.ts';
import { EngineLines, type Entry } from './engine-lines.ts';

const time = '2026-11-22T08:00:00.123456789Z';
const later = '2026-11-22T08:00:01.000000001Z';

const frame = (stream: 1 | 2, text: Buffer | string): Buffer => {
  const payload = Buffer.from(text);
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
};

function read(tty: boolean, bytes: Buffer, chunk = bytes.length, driver = 'local'): Entry[] {
  const entries: Entry[] = [];
  const lines = new EngineLines({ tty, driver }, (entry) => entries.push(entry));
  for (let at = 0; at < bytes.length; at += chunk) lines.push(bytes.subarray(at, at + chunk));
  lines.end();
  return entries;
}

/** What the cutter of json-file would make of it. */
const joined = (entries: readonly Entry[], stream: Entry['stream'] = 'stdout'): string[] =>
  entries
    .filter((entry) => entry.stream === stream)
    .map(({ log }) => log)
    .join('')
    .split('\n')
    .slice(0, -1);

describe('framed', () => {
  it.each([[1], [7], [100_000]])('streams, times and parts, in chunks of %i bytes', (chunk) => {
    const long = 'ü'.repeat(10_000);
    const parts = Buffer.from(long.slice(0, 10_000));
    const bytes = Buffer.concat([
      frame(1, `${time} out\n`),
      frame(1, Buffer.concat([Buffer.from(`${time} `), parts.subarray(0, 16_384)])),
      frame(2, `${later} err\n`),
      frame(1, Buffer.concat([Buffer.from(`${time} `), parts.subarray(16_384), Buffer.from('\n')])),
    ]);
    const entries = read(false, bytes, chunk);
    expect(joined(entries)).toEqual(['out', long]);
    expect(joined(entries, 'stderr')).toEqual(['err']);
    expect(entries.find(({ stream }) => stream === 'stderr')?.time).toBe(later);
    expect(entries.every(({ log }) => Buffer.byteLength(log) <= 16 * 1024 + 3)).toBe(true);
  });

  it('the zone of the engine becomes UTC, nanoseconds stay', () => {
    expect(read(false, frame(1, '2026-11-22T01:00:00.123456789-07:00 x\n'))).toEqual([{ stream: 'stdout', time, log: 'x\n' }]);
  });

  it('what has no newline yet when the container ends', () => {
    expect(read(false, frame(2, `${time} prompt> `))).toEqual([{ stream: 'stderr', time, log: 'prompt> \n' }]);
  });
});

describe('from journald', () => {
  it.each([
    ['each with a time of its own, as from Engine 20.10', later],
    ['with one time', time],
  ])('parts of a line are one line, %s; a line that is as long as a part ends with its newline', (_, second) => {
    const part = 'x'.repeat(16_384);
    const bytes = Buffer.concat([
      frame(1, `${time} ${part}`),
      frame(1, `${second} ${part}`),
      frame(2, `${later} err\n`),
      frame(1, `${second} end\n`),
      frame(1, `${later} ${part}\n`),
      frame(1, `${later} next\n`),
    ]);
    const entries = read(false, bytes, 1_000, 'journald');
    expect(joined(entries)).toEqual([`${part}${part}end`, part, 'next']);
    expect(joined(entries, 'stderr')).toEqual(['err']);
  });

  it.each([
    ['each with a time of its own, as from Engine 20.10', later],
    ['with one time', time],
  ])('of a terminal, parts of a line are one line, %s; what a line says itself is not taken for a time', (_, second) => {
    const part = 'x'.repeat(16_384);
    const own = `${'y'.repeat(100)}${later.replace('01.', '05.')} ${'y'.repeat(16_384)}`;
    const bytes = Buffer.from(
      `${time} ${part}${second} ${part}${second} end\r\n${later} ${part}\r\n${later} ${own.slice(0, 16_384)}${later} ${own.slice(16_384)}\r\n`,
    );
    for (const size of [100, 16_384, 1_000_000]) {
      expect(joined(read(true, bytes, size, 'journald'))).toEqual([`${part}${part}end\r`, `${part}\r`, `${own}\r`]);
    }
  });
});

describe('a line whose last part has lost its newline, as from Engine 20.10', () => {
  const parts = ['a'.repeat(16_384), 'b'.repeat(10), 'c'.repeat(16_384)];

  it('ends with a part that is not full, and with one that is when the next line comes', () => {
    const frames = [frame(1, `${time} ${parts[0]}`), frame(1, `${time} ${parts[1]}`), frame(1, `${later} ${parts[2]}`)];
    expect(joined(read(false, Buffer.concat(frames)))).toEqual([`${parts[0]}${parts[1]}`]);
    const next = frame(1, `${later.replace('01.', '02.')} next\n`);
    expect(joined(read(false, Buffer.concat([...frames, next])))).toEqual([`${parts[0]}${parts[1]}`, parts[2], 'next']);
  });

  it('of a terminal too', () => {
    const bytes = Buffer.from(`${time} ${parts[0]}${time} ${parts[1]}${later} next\r\n`);
    expect(joined(read(true, bytes, 100))).toEqual([`${parts[0]}${parts[1]}`, 'next\r']);
  });
});

describe('of a terminal', () => {
  it.each([[1], [13], [100_000]])('lines and the parts of long ones, in chunks of %i bytes', (chunk) => {
    const bytes = Buffer.from(`${time} one\r\n${time} ${'a'.repeat(16_384)}${time} ${'b'.repeat(10)}\r\n${later} three\r\n`);
    expect(joined(read(true, bytes, chunk))).toEqual(['one\r', `${'a'.repeat(16_384)}${'b'.repeat(10)}\r`, 'three\r']);
  });
});

describe('where reading goes on', () => {
  const entry = (second: number, log: string, stream: Entry['stream'] = 'stdout'): Entry => ({
    stream,
    time: `2026-11-22T08:00:${String(second).padStart(2, '0')}.000000000Z`,
    log,
  });

  it('from the beginning, or a second before the last line', () => {
    expect(new Cursor([]).since).toBeNull();
    const seconds = Date.parse('2026-11-22T07:59:59Z') / 1_000;
    expect(new Cursor([{ stream: 'stdout', time, log: 'x' }]).since).toBe(`${seconds}.123456789`);
  });

  it('equal lines at one time are counted', () => {
    const cursor = new Cursor([entry(1, 'same\n'), entry(1, 'same\n')]);
    expect([1, 2, 3].map(() => cursor.take(entry(1, 'same\n')))).toEqual(['known', 'known', 'new']);
  });

  it('the last line is not there any more: a gap, once', () => {
    const cursor = new Cursor([entry(1, 'last\n')]);
    expect([entry(9, 'a\n'), entry(9, 'b\n')].map((one) => cursor.take(one))).toEqual(['gap', 'new']);
  });

  it('model: whatever was written down before reading stopped, nothing comes twice and nothing is missing', () => {
    const line = fc.record({
      second: fc.integer({ min: 0, max: 6 }),
      log: fc.constantFrom('a\n', 'b\n'),
      stream: fc.constantFrom('stdout' as const, 'stderr' as const),
    });
    fc.assert(
      fc.property(fc.array(line, { maxLength: 40 }), fc.nat(), (all, cut) => {
        const log = all.toSorted((a, b) => a.second - b.second).map(({ second, log: text, stream }) => entry(second, text, stream));
        const kept = log.slice(0, log.length === 0 ? 0 : cut % (log.length + 1));
        const cursor = new Cursor(kept);
        const since = cursor.since === null ? 0 : Number(cursor.since);
        const again = log.filter(({ time: at }) => Date.parse(at) / 1_000 >= since);
        const taken = again.filter((one) => cursor.take(one) === 'new');
        expect([...kept, ...taken]).toEqual(log);
      }),
      { numRuns: 500 },
    );
  });
});
