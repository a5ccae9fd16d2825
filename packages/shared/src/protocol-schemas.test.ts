/** What a released version has said and would refuse (test/releases), held against what this one says and reads. */
import { describe, expect, it } from 'vitest';
import { recordedFacts, recordedMessages, recordedProtocol, releases } from '../../../test/support/release-recording.ts';
import { unpackBlock } from './log-block.ts';
import { decodeBlock, encodeBlock, verifyBlock } from './log-block-frame.ts';
import { agentMessageSchema, collectorMessageSchema, parseMessage } from './protocol.ts';
import { breaksBetween, ownSchemas } from './protocol-schemas.test-data.ts';

it('there is a release to be understood', () => {
  expect(releases()).not.toEqual([]);
});

describe.each(releases())('%s', (release) => {
  it('and this version understand each other, whoever is the agent', () => {
    expect(breaksBetween(recordedProtocol(release), ownSchemas()), 'docs/upgrade.md says what to do: For those who change Relight').toEqual(
      [],
    );
  });

  const messages = recordedMessages(release);
  it.each([
    { from: 'agent', schema: agentMessageSchema },
    { from: 'collector', schema: collectorMessageSchema },
  ])('every message that its $from has sent is read, and none of its fields is passed over', ({ from, schema }) => {
    const texts = messages.flatMap((message) => (message.from === from && message.text !== undefined ? [message.text] : []));
    expect(texts.length).toBeGreaterThan(10);
    for (const text of texts) {
      const read = parseMessage<object>(schema, JSON.stringify(text)) ?? {};
      expect(Object.entries(read).flatMap(([name, value]) => (value === undefined ? [] : [name]))).toEqual(
        expect.arrayContaining(Object.keys(text)),
      );
    }
  });

  it('every log block is read, and is what was written', () => {
    const blocks = messages.flatMap(({ block }) => (block === undefined ? [] : [Buffer.from(block, 'base64')]));
    const lines = blocks.flatMap((frame) => {
      const block = decodeBlock(frame);
      verifyBlock(block);
      expect(decodeBlock(encodeBlock(block)).header).toEqual(block.header);
      const { workload, source } = block.header.segment;
      return workload === 'worker' && source === 'process' ? unpackBlock(block).map(({ line }) => line) : [];
    });
    const { delivered } = recordedFacts(release);
    expect(lines).toEqual(delivered.map((line) => line.slice(line.indexOf(' ') + 1)));
  });
});

describe('two versions do not understand each other', () => {
  type Schema = Record<string, unknown>;
  const inside = (schema: Schema, ...path: readonly string[]): Schema => path.reduce((outer, name) => outer[name] as Schema, schema);
  /** This version's, with one message of an agent changed. */
  function changed(type: string, change: (message: Schema) => unknown): Record<string, Schema> {
    const copy = structuredClone(ownSchemas()) as Record<string, Schema>;
    const messages = inside(copy, 'agent to collector')['oneOf'] as Schema[];
    const message = messages.find((schema) => inside(schema, 'properties', 'type')['const'] === type);
    if (message === undefined) throw new Error(`there is no ${type}`);
    change(message);
    return copy;
  }
  const add = (message: Schema, schema: Schema): unknown => Object.assign(inside(message, 'properties'), schema);
  const required = (message: Schema): string[] => message['required'] as string[];

  it.each<[what: string, type: string, change: (message: Schema) => unknown, expected: RegExp]>([
    ['a new field that must be there', 'gap', (gap) => [add(gap, { why: {} }), required(gap).push('why')], /\.why: is required/],
    ['a field that is there no more', 'heartbeat', (beat) => delete inside(beat, 'properties')['gate'], /\.gate: is there no more/],
    ['a field that may be left out now', 'gap', (gap) => required(gap).pop(), /\.at: may be left out/],
    ['another type', 'gap', (gap) => add(gap, { reason: { type: 'number' } }), /\.reason: type was "string" and is "number"/],
    [
      'a new word',
      'heartbeat',
      (beat) => add(beat, { engine: { type: 'string', enum: ['up', 'down', 'slow'] } }),
      /\.engine: enum was .*slow/,
    ],
    ['longer lists', 'events', (events) => (inside(events, 'properties', 'events')['maxItems'] = 9_999), /\.events: maxItems was 200/],
  ])('for %s', (_, type, change, expected) => {
    expect(breaksBetween(ownSchemas(), changed(type, change))).toEqual([expect.stringMatching(expected)]);
  });

  it('not for a field that may be missing, wherever, nor for a new type of message', () => {
    const newer = changed('gap', (gap) => add(gap, { colour: { type: 'string' } }));
    (inside(newer, 'agent to collector')['oneOf'] as Schema[]).push({ type: 'object', properties: { type: { const: 'song' } } });
    expect(breaksBetween(ownSchemas(), newer)).toEqual([]);
    // The other way round, both are gone.
    expect(breaksBetween(newer, ownSchemas())).toHaveLength(2);
    const spare = ['properties', 'workloads', 'items', 'properties', 'spare', 'anyOf', '0'];
    const within = changed('heartbeat', (beat) => add(inside(beat, ...spare), { colour: { type: 'string' } }));
    expect(breaksBetween(ownSchemas(), within)).toEqual([]);
    expect(breaksBetween(within, ownSchemas())).toEqual([expect.stringMatching(/spare\.colour: is there no more/)]);
  });
});
