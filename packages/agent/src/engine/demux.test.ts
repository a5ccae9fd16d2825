import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameDemuxer, TailBuffer } from './demux.ts';

const frame = (stream: number, payload: Buffer): Buffer => {
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
};

const payload = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));

describe('FrameDemuxer', () => {
  it('gives the same output wherever the chunks are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(0, 1, 2), payload)), fc.array(fc.integer({ min: 1, max: 20 })), (frames, cuts) => {
        const wire = Buffer.concat(frames.map(([stream, bytes]) => frame(stream, bytes)));
        const got = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
        const demuxer = new FrameDemuxer((stream, bytes) => (got[stream] = Buffer.concat([got[stream], bytes])));
        let at = 0;
        for (const size of cuts) demuxer.push(wire.subarray(at, (at += size)));
        demuxer.push(wire.subarray(at));
        expect(got.stdout).toEqual(Buffer.concat(frames.filter(([stream]) => stream !== 2).map(([, bytes]) => bytes)));
        expect(got.stderr).toEqual(Buffer.concat(frames.filter(([stream]) => stream === 2).map(([, bytes]) => bytes)));
      }),
    );
  });

  it('refuses bytes that are no frames', () => {
    const demuxer = new FrameDemuxer(() => undefined);
    expect(() => demuxer.push(Buffer.from('plain text'))).toThrow(/not framed/);
  });
});

describe('TailBuffer', () => {
  it('keeps the last bytes of any chunks', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme-ascii', maxLength: 30 })), fc.integer({ min: 1, max: 50 }), (chunks, max) => {
        const tail = new TailBuffer(max);
        for (const chunk of chunks) tail.push(Buffer.from(chunk));
        expect(tail.text()).toBe(chunks.join('').slice(-max));
      }),
    );
  });

  it('leaves out a character that it has cut', () => {
    const tail = new TailBuffer(5);
    tail.push(Buffer.from('a€b€'));
    expect(tail.text()).toBe('b€');
  });
});
