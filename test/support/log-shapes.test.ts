import { zstdCompressSync, constants } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { logKinds, logShapes } from './log-shapes.ts';

const sample = 20_000;

test('the same seed gives the same bytes, however they are asked for; another seed gives others', () => {
  const all = logShapes(7).lines(sample);
  const inPieces = logShapes(7);
  const pieces = [1, 2, 3, 500, sample - 506].flatMap((count) => inPieces.lines(count));
  expect(pieces).toEqual(all);
  const chunks = [...logShapes(7).chunks(sample, 64 << 10)];
  expect(chunks.length).toBeGreaterThan(10);
  expect(chunks.reduce((sum, { lines }) => sum + lines, 0)).toBe(sample);
  expect(
    Buffer.concat(chunks.map(({ bytes }) => bytes))
      .toString()
      .split('\n')
      .slice(0, -1),
  ).toEqual(all);
  expect(logShapes(8).lines(sample)).not.toEqual(all);
});

describe.each([undefined, ...logKinds])('of kind %s', (kind) => {
  const lines = logShapes(1, kind === undefined ? {} : { kind }).lines(sample);

  test('every slot is filled, nothing is broken', () => {
    expect(lines).toHaveLength(sample);
    const unfilled = /\{[a-z]+[:}]|undefined|NaN|Infinity/;
    expect(lines.filter((line) => unfilled.test(line) || line.includes('�'))).toEqual([]);
  });

  test('hardly a record is there twice (frames of tracebacks are), and it compresses as logs do: not a hundredfold', () => {
    const long = lines.filter((line) => line.length > 100);
    expect(new Set(long).size / long.length).toBeGreaterThan(0.95);
    const raw = Buffer.from(lines.join('\n')).subarray(0, 1 << 20);
    const ratio = zstdCompressSync(raw, { params: { [constants.ZSTD_c_compressionLevel]: 9 } }).length / raw.length;
    expect(ratio).toBeGreaterThan(0.06);
    expect(ratio).toBeLessThan(0.4);
  });
});

test('structured lines are JSON, and time only goes forward', () => {
  const stamps = logShapes(3, { kind: 'json' })
    .lines(2_000)
    .map((line) => JSON.parse(line) as Readonly<Record<string, string | number>>)
    .map(({ ts, time, timestamp }) => ts ?? time ?? timestamp)
    .map((stamp) => (typeof stamp === 'number' ? stamp * 1_000 : Date.parse(String(stamp))));
  expect(stamps.every(Number.isFinite)).toBe(true);
  expect(stamps.map(Math.floor)).toEqual(stamps.map(Math.floor).toSorted((a, b) => a - b));
});

test('a mixed line has 130 to 150 bytes on average', () => {
  const bytes = logShapes(1)
    .lines(sample)
    .reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
  expect(bytes / sample).toBeGreaterThan(130);
  expect(bytes / sample).toBeLessThan(150);
});
