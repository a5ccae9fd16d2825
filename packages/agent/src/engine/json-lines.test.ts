import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonLines } from './json-lines.ts';

const collect = (chunks: readonly Buffer[]): Promise<unknown[]> => Readable.from(jsonLines(Readable.from(chunks))).toArray();

describe('jsonLines', () => {
  it('gives the same objects wherever the chunks are cut', async () => {
    const object = fc.record({ status: fc.string({ unit: 'grapheme' }), n: fc.integer() });
    await fc.assert(
      fc.asyncProperty(fc.array(object), fc.constantFrom('\n', '\r\n'), fc.integer({ min: 1, max: 9 }), async (objects, end, size) => {
        const wire = Buffer.from(objects.map((value) => JSON.stringify(value)).join(end));
        const chunks = Array.from({ length: Math.ceil(wire.length / size) }, (_, i) => wire.subarray(i * size, (i + 1) * size));
        expect(await collect(chunks)).toEqual(objects);
      }),
    );
  });

  it.each(['{"a":', 'null', '17', 'not json'])('refuses %s', async (line) => {
    await expect(collect([Buffer.from(`${line}\n`)])).rejects.toMatchObject({ code: 'engine-error' });
  });
});
