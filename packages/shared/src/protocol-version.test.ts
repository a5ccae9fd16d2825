import fc from 'fast-check';
import { expect, test } from 'vitest';
import { commonProtocol, greetingIn, ownProtocols, protocolsApart, protocolsOf } from './protocol-version.ts';

const range = fc
  .tuple(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 0, max: 9 }))
  .map(([oldest, more]) => ({ oldest, newest: oldest + more }));

test('the version that is spoken is the highest one that both sides speak, whoever is asked', () => {
  fc.assert(
    fc.property(range, range, (one, other) => {
      const shared: number[] = [];
      for (let version = one.oldest; version <= one.newest; version += 1)
        if (version >= other.oldest && version <= other.newest) shared.push(version);
      expect(commonProtocol(one, other)).toBe(shared.at(-1) ?? null);
      expect(commonProtocol(other, one)).toBe(commonProtocol(one, other));
    }),
  );
});

test('this version speaks with itself', () => {
  expect(commonProtocol(ownProtocols, ownProtocols)).toBe(ownProtocols.newest);
});

test('who says one number speaks that one; an oldest above the newest is none', () => {
  expect(protocolsOf({ protocol: 2 })).toEqual({ oldest: 2, newest: 2 });
  expect(protocolsOf({ protocol: 3, protocolOldest: 2 })).toEqual({ oldest: 2, newest: 3 });
  expect(protocolsOf({ protocol: 3, protocolOldest: 9 })).toEqual({ oldest: 3, newest: 3 });
});

test('the reason names both sides and who is behind, and fits into a close frame', () => {
  expect(protocolsApart({ oldest: 1, newest: 1 }, { oldest: 2, newest: 3 })).toBe(
    'the agent speaks protocol 1, the collector 2 to 3: upgrade the agent',
  );
  fc.assert(
    fc.property(range, range, (agent, collector) => {
      expect(Buffer.byteLength(protocolsApart(agent, collector))).toBeLessThanOrEqual(123);
    }),
  );
});

test('of a first message of any later form the versions are read, and nothing that a terminal could take for a command', () => {
  const hello = { type: 'hello', protocol: 9, protocolOldest: 7, host: 'h', version: '9.0', agent: {}, labels: 7 };
  const read = { type: 'hello', protocols: { oldest: 7, newest: 9 }, host: 'h', version: '9.0' };
  expect(greetingIn(JSON.stringify(hello))).toEqual(read);
  expect(greetingIn(JSON.stringify({ ...hello, protocolOldest: {}, host: 'h\u001b[2J', version: '\n' }))).toEqual({
    ...read,
    protocols: { oldest: 9, newest: 9 },
    host: null,
    version: null,
  });
  expect(greetingIn('{"type":"welcome","protocol":2}')).toMatchObject({ type: 'welcome', protocols: { oldest: 2, newest: 2 } });
  for (const text of ['', 'null', '[]', '{"type":"hello"}', '{"type":"hello","protocol":0}', '{"type":"ack","protocol":1}'])
    expect(greetingIn(text)).toBeNull();
});
