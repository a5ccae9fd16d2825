import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sseParser } from './sse.ts';

const stream = [
  ': a comment\r\n',
  'id: 1\nevent: line\ndata: {"a":1}\n\n',
  'retry: 100\r\nid: 2\r\nevent: gap\r\ndata: first\r\ndata: second\r\n\r\n',
  'data:no blank\n\n',
  'event: nothing\n\n',
  'id\ndata: über\n\n',
].join('');

const expected = [
  { event: 'line', data: '{"a":1}', id: '1' },
  { event: 'gap', data: 'first\nsecond', id: '2' },
  { event: 'message', data: 'no blank', id: '2' },
  { event: 'message', data: 'über', id: '' },
];

test('reads fields, comments, several data lines and all line ends', () => {
  expect(sseParser().push(stream)).toEqual(expected);
});

test('an id without a message moves on, but only when it is complete', () => {
  const parser = sseParser();
  expect(parser.push('id: 7\n')).toEqual([]);
  expect(parser.lastId).toBe('');
  expect(parser.push('\nid: 8\ndata: x\n')).toEqual([]);
  expect(parser.lastId).toBe('7');
});

test('does not care where the network cuts the text', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: stream.length }), { maxLength: 40 }), (cuts) => {
      const parser = sseParser();
      const edges = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
      const messages = edges.slice(1).flatMap((edge, i) => parser.push(stream.slice(edges[i], edge)));
      expect(messages).toEqual(expected);
    }),
  );
});
