import { expect, it } from 'vitest';
import { chooseProtocol } from './common-protocol.ts';

const hello = (protocol: number, protocolOldest?: number): string =>
  JSON.stringify({ type: 'hello', protocol, protocolOldest, host: 'h1', version: '9.0', more: { of: 'another form' } });
const own = { oldest: 2, newest: 3 };

it('the highest that both speak', () => {
  expect([hello(2), hello(3), hello(4, 3), hello(4, 1)].map((text) => chooseProtocol(text, own))).toEqual(
    [2, 3, 3, 3].map((protocol) => ({ protocol })),
  );
});

it.each([
  [hello(1), 'the agent speaks protocol 1, the collector 2 to 3: upgrade the agent'],
  [hello(5, 4), 'the agent speaks protocol 4 to 5, the collector 2 to 3: upgrade the collector'],
])('none: says so to both, with what could be understood of the hello', (text, reason) => {
  expect(chooseProtocol(text, own)).toMatchObject({
    closeCode: 4426,
    refusal: { code: 'protocol', reason, written: false, greeting: { host: 'h1', version: '9.0' } },
  });
});

it.each(['', 'not json', '{}', '{"type":"welcome","protocol":1}', '{"type":"hello","protocol":"1"}'])('%s is no hello', (text) => {
  expect(chooseProtocol(text, own)).toBeNull();
});
